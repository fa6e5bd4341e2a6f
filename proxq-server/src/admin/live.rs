//! What keeps an open page up to date: a stream of events (WHATWG HTML §9.2), each with the page's changing part.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{Call, Page};
use super::desk::Desk;
use super::model::json_text;
use super::pages;
use super::query::parameters;
use crate::current::Current;
use crate::reply::body::{self, Body};
use crate::reply::{self, Problem};
use crate::slots::{Slot, Slots};

/// How often a page is made again. What it shows has no wake-up of its own: counters of a store that others change.
const EVERY: Duration = Duration::from_secs(2);
/// How long a stream may be silent, so that nothing on the way takes it for dead.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How many pages may be kept up to date at once.
pub(crate) const STREAMS_MAX: usize = 64;

struct Viewer {
    desks: Arc<Current<Desk>>,
    page: Page,
    query: String,
    shown: Option<String>,
    comment_at: Instant,
    is_first: bool,
    finished: CancellationToken,
    _slot: Slot,
}

/// The events of the page that the query names.
pub(super) async fn live(
    desks: Arc<Current<Desk>>,
    streams: &Slots,
    finished: CancellationToken,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let (page, query) = page_of(query)?;
    let Some(slot) = streams.try_take().await else {
        return Err(Problem::busy(format!("{STREAMS_MAX} pages are kept up to date, as many as may; close one")));
    };
    let comment_at = Instant::now() + COMMENT_EVERY;
    let viewer = Viewer { desks, page, query, shown: None, comment_at, is_first: true, finished, _slot: slot };
    let events = stream::unfold(viewer, |mut viewer| async move {
        let next = viewer.next().await?;
        Some((Ok::<_, Infallible>(next), viewer))
    });
    Ok(reply::events(body::stream(events)))
}

/// The page and the query in `page=/jobs?state=failed`, encoded.
fn page_of(query: &str) -> Result<(Page, String), Problem> {
    let no_page = || Problem::bad_query("page is not valid: write the path and query of a page, encoded".to_owned());
    let target = parameters(query)?.into_iter().find(|(name, _)| name == "page").ok_or_else(no_page)?.1;
    let request = Request::builder().uri(target).body(()).map_err(|_| no_page())?;
    let head = request.into_parts().0;
    let Call::Page(page) = Call::read(&head)? else { return Err(no_page()) };
    Ok((page, head.uri.query().unwrap_or_default().to_owned()))
}

impl Viewer {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !std::mem::take(&mut self.is_first) {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = self.finished.cancelled() => return None,
                }
            }
            let desk = self.desks.get();
            let html = pages::content(&desk, self.page, &self.query).await.live.into_string();
            if self.shown.as_ref() != Some(&html) {
                self.comment_at = Instant::now() + COMMENT_EVERY;
                let event = event(&html);
                self.shown = Some(html);
                return Some(event);
            }
            if Instant::now() >= self.comment_at {
                self.comment_at = Instant::now() + COMMENT_EVERY;
                return Some(Bytes::from_static(b": nothing has changed\n\n"));
            }
        }
    }
}

/// An event whose data is the HTML as a JSON string, which has no line breaks.
fn event(html: &str) -> Bytes {
    let data = json_text(html);
    format!("event: page\ndata: {data}\n\n").into()
}
