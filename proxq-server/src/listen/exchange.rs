//! One request, from its head to the head of its answer: what every request has, whoever handles it. That is its id, its
//! span in the log, an answer even if its handler panics, and the shape that the answer has in the client's protocol.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use proxq_protocol::header as proxq;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::watchdog::OpenBody;
use super::{BrokenOff, Handler, Surface, head, http2};
use crate::arrival::Arrival;
use crate::reply::body::Body;
use crate::reply::{self, Problem};
use crate::upload::{Discard, Upload};

/// The phrase of a status code for which nobody gave one.
const NO_REASON: ReasonPhrase = ReasonPhrase::from_static(b"");

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Not at all, and that is right here.
    None,
    /// By TLS.
    Tls,
    /// Not at all, though the listener speaks TLS: every request is refused.
    Missing,
}

impl Security {
    /// The scheme of what is asked for.
    fn scheme(self) -> &'static str {
        match self {
            Self::None | Self::Missing => "http",
            Self::Tls => "https",
        }
    }
}

impl Surface {
    /// Answers one request. `open` makes the guard that is held while the body is coming.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        (peer, security): (SocketAddr, Security),
        open: impl FnOnce() -> OpenBody,
    ) -> Result<Response<Body>, BrokenOff> {
        let began = Instant::now();
        let (mut head, body) = request.into_parts();
        http2::normalize(&mut head);
        let (version, asks_for_head) = (head.version, head.method == Method::HEAD);
        let request_id = head::request_id(&head.headers);
        let span = tracing::info_span!(
            "request",
            method = &*shown(head.method.as_str()),
            path = &*shown(head.uri.path()),
            request_id = &*String::from_utf8_lossy(request_id.as_bytes()),
            job.id = tracing::field::Empty,
            bypass = tracing::field::Empty,
            token = tracing::field::Empty,
        );
        let unanswered = Unanswered { span: &span, began };
        let served = self.served.get();
        let body = Upload::new(&head, body, || Discard {
            bounds: served.settings.discard,
            tasks: self.requests.clone(),
            draining: self.draining.clone(),
            _open: Box::new(open()),
        });
        let arrival = Arrival { head, body, peer, scheme: security.scheme(), request_id: request_id.clone() };
        // Boxed, so that the future of the connection stays small.
        let handled = Box::pin(handle(&*served.handler, arrival, security));
        let answered = AssertUnwindSafe(handled).catch_unwind().instrument(span.clone()).await;
        std::mem::forget(unanswered); // there is an answer now
        let _entered = span.enter();
        let answer = answered.unwrap_or_else(|_panic| {
            tracing::error!("a request's handling panicked");
            Some(Problem::internal().into_response())
        });
        let elapsed_ms = millis_since(began);
        let Some(mut response) = answer else {
            tracing::info!(elapsed_ms, "request broken off");
            return Err(BrokenOff);
        };
        if reply::is_own(&response) {
            response.headers_mut().insert(HeaderName::from_static(proxq::REQUEST_ID), request_id);
        }
        if version == Version::HTTP_2 {
            http2::shape(&mut response, asks_for_head);
        } else {
            let is_last = self.draining.is_cancelled() || security == Security::Missing;
            if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            if response.status().canonical_reason().is_none() {
                response.extensions_mut().get_or_insert(NO_REASON); // the library would make one up
            }
        }
        self.metrics.answered(response.status());
        let status = response.status().as_u16();
        if response.extensions().get::<reply::IsProbe>().is_some() {
            tracing::debug!(status, elapsed_ms, "request answered");
        } else {
            tracing::info!(status, elapsed_ms, "request answered");
        }
        Ok(response)
    }
}

/// Has a request handled, if its head is one that all servers read alike.
async fn handle(handler: &dyn Handler, mut arrival: Arrival, security: Security) -> Option<Response<Body>> {
    if security == Security::Missing {
        return Some(arrival.body.answer_unread(Problem::tls_required().into_response()));
    }
    match head::check(&mut arrival.head) {
        Ok(()) => handler.handle(arrival).await,
        Err(problem) => Some(arrival.body.answer_unread(problem.into_response())),
    }
}

/// Tells the log, when it is dropped, that the client went away before its answer.
struct Unanswered<'a> {
    span: &'a Span,
    began: Instant,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        tracing::info!(elapsed_ms = millis_since(self.began), "client went away before its answer");
    }
}

/// A text that a client chose, cut to as much as people read in a log line.
fn shown(text: &str) -> Cow<'_, str> {
    const SHOWN_BYTES: usize = 200;
    let end = text.floor_char_boundary(SHOWN_BYTES);
    if end == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{}…", &text[..end])) }
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
