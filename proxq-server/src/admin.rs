//! The listener for operators: the dashboard, the API behind it, and metrics. Comes in: any request on that listener. Goes out:
//! its answer. What is shown is read from the store and from what this instance counts; what is ordered goes through the same
//! verbs of the store as the orders of clients.

mod api;
mod assets;
mod bulk;
mod call;
mod desk;
mod filter;
mod guard;
mod history;
mod jobs;
mod live;
pub(crate) mod model;
mod openapi;
mod orders;
mod overview;
mod pages;
pub(crate) mod query;
mod queues;
mod resubmit;
mod sampling;
mod scrape;
mod search;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio_util::sync::CancellationToken;

use self::api::Answer;
use self::call::Call;
pub(crate) use self::desk::Desk;
pub(crate) use self::guard::Guard;
pub(crate) use self::history::Memory;
use self::live::STREAMS_MAX;
pub(crate) use self::orders::Orders;
pub(crate) use self::sampling::remember;
pub(crate) use self::search::PAGE_MAX;
use crate::arrival::Arrival;
use crate::current::Current;
use crate::listen::Handler;
use crate::metrics::TEXT_FORMAT;
use crate::reply::body::Body;
use crate::reply::{self, Problem};
use crate::slots::Slots;
use crate::tasks::Tasks;
use crate::upload::Upload;

/// The longest order: a filter has a few short texts.
const ORDER_BYTES_MAX: usize = 64 * 1024;

/// What every answer says to browsers: nothing but the dashboard's own files is loaded or run, and no other page has it in a frame.
const FOR_BROWSERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Answers operators.
#[derive(Debug)]
pub(crate) struct Admin {
    guard: Guard,
    desks: Arc<Current<Desk>>,
    streams: Slots,
    /// Where bulk actions run.
    tasks: Tasks,
    /// Pages are kept up to date until then.
    finished: CancellationToken,
}

impl Admin {
    pub(crate) fn new(guard: Guard, desks: Arc<Current<Desk>>, tasks: Tasks, finished: CancellationToken) -> Self {
        Self { guard, desks, streams: Slots::new(STREAMS_MAX), tasks, finished }
    }

    async fn answer(&self, head: &Parts, body: Upload) -> Response<Body> {
        let answered = match self.guard.check(head, &self.desks.get().config.auth).and_then(|()| Call::read(head)) {
            Ok(call) => match read_order(head, body).await {
                Ok(order) => self.carry_out(call, head, &order).await,
                Err(problem) => Err(problem),
            },
            Err(problem) => return body.answer_unread(problem.into_response()),
        };
        answered.unwrap_or_else(Problem::into_response)
    }

    async fn carry_out(&self, call: Call, head: &Parts, order: &[u8]) -> Answer {
        let (desk, query) = (self.desks.get(), head.uri.query().unwrap_or_default());
        match call {
            Call::Page(page) => Ok(pages::page(&desk, page, query).await),
            Call::Asset(name) => Ok(assets::asset(name)),
            Call::Live => live::live(Arc::clone(&self.desks), &self.streams, self.finished.clone(), query).await,
            Call::Metrics => Ok(reply::text(TEXT_FORMAT, desk.scrape().await)),
            Call::OpenApi => Ok(reply::text("application/json", openapi::document().to_owned())),
            Call::Overview => Ok(api::overview(&desk).await),
            Call::History => Ok(api::history(&desk)),
            Call::Queues => api::queues(&desk).await,
            Call::Queue(name) => api::queue(&desk, &name).await,
            Call::Pause(name) => api::pause(&desk, &name).await,
            Call::Resume(name) => api::resume(&desk, &name).await,
            Call::Upstreams => api::upstreams(&desk).await,
            Call::Jobs => api::jobs(&desk, query).await,
            Call::Job(id) => api::job(&desk, id).await,
            Call::Retry(id) => api::retry(&desk, id, api::retry_order(order)?).await,
            Call::Cancel(id) => api::cancel(&desk, id).await,
            Call::Resubmit(id) => api::resubmit(&desk, id).await,
            Call::Failures => api::failures(&desk).await,
            Call::Bulks => Ok(api::bulks(&desk)),
            Call::BeginBulk => api::begin_bulk(&desk, api::bulk_order(order)?, &self.tasks).await,
            Call::Bulk(number) => api::bulk(&desk, number),
            Call::StopBulk(number) => api::stop_bulk(&desk, number),
            Call::Settings => Ok(api::settings(&desk)),
        }
    }
}

impl Handler for Admin {
    fn handle(&self, arrival: Arrival) -> BoxFuture<'_, Option<Response<Body>>> {
        Box::pin(async move {
            let Arrival { head, body, .. } = arrival;
            let mut answer = self.answer(&head, body).await;
            let headers = answer.headers_mut();
            for (name, value) in &FOR_BROWSERS {
                headers.insert(name, value.clone());
            }
            // Who looks asks again and again; who changes something stands in the log.
            if matches!(head.method, Method::GET | Method::HEAD) {
                answer.extensions_mut().insert(reply::IsProbe);
            }
            if head.method == Method::HEAD && answer.status() == StatusCode::OK {
                return Some(answer.map(|_| reply::body::empty()));
            }
            Some(answer)
        })
    }
}

/// The body of an order; empty where nothing is ordered.
async fn read_order(head: &Parts, body: Upload) -> Result<Bytes, Problem> {
    if matches!(head.method, Method::GET | Method::HEAD) {
        return Ok(Bytes::new());
    }
    let too_large =
        || Problem::bad_body(format!("the body has more than {ORDER_BYTES_MAX} bytes, more than any order needs"));
    let collected = Limited::new(body, ORDER_BYTES_MAX).collect().await.map_err(|_| too_large())?;
    Ok(collected.to_bytes())
}
