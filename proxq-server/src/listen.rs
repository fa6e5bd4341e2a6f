//! The HTTP surface: accepts connections, reads requests, and hands each to the jobs API or to intake.

mod answer;
mod capacity;
mod connection;
mod crowd;
mod host;
mod http2;
mod linger;
mod watchdog;
mod watched;

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use proxq_protocol::header as proxq;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use self::crowd::Crowd;
use self::watchdog::OpenBody;
use crate::arrival::Arrival;
use crate::config::{Config, Limits};
use crate::current::Current;
use crate::forward::headers::list_items;
use crate::intake::Intake;
use crate::jobs_api::JobsApi;
use crate::path;
use crate::process::file_limit;
use crate::reply::{self, Problem};
use crate::shortage::Shortage;
use crate::slots::{Slot, Slots};
use crate::tasks::Tasks;
use crate::upload::{Discard, DiscardBounds, Upload};

/// The pause after a failed `accept`: it fails for want of descriptors or memory, which connections that end give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest id that a client may give its request: a UUID or the id of a trace, with room for a name before it.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Surface {
    stages: Current<Stages>,
    /// Those of connections.
    places: Slots,
    /// The connections that may have to make room for others.
    crowd: Arc<Crowd>,
    /// What handles the requests of HTTP/2 connections, and reads uploads that were answered.
    requests: Tasks,
    /// No new connections; open ones end with their present request.
    draining: CancellationToken,
    /// Open connections are cut.
    cut: CancellationToken,
}

/// What handles requests, and what a reload replaces: a request keeps those that it began with.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) config: Arc<Config>,
    pub(crate) jobs_api: JobsApi,
    pub(crate) intake: Intake,
}

/// The phrase of a status code for which nobody gave one.
const NO_REASON: ReasonPhrase = ReasonPhrase::from_static(b"");

/// The client is gone, or sent what cannot be answered: its connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(crate) struct BrokenOff;

impl Surface {
    pub(crate) fn new(stages: Stages, requests: Tasks, draining: CancellationToken, cut: CancellationToken) -> Self {
        let places = Slots::new(connections_for(&stages.config));
        Self { stages: Current::new(stages), places, crowd: Arc::default(), requests, draining, cut }
    }

    /// Has these stages handle the requests that begin from now on, and allows as many connections as they say.
    pub(crate) fn replace(&self, stages: Stages) {
        self.places.set_limit(connections_for(&stages.config));
        self.stages.replace(stages);
    }

    /// Accepts connections until the server drains.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, connections: Tasks) {
        tokio::select! {
            () = self.draining.cancelled() => {}
            () = self.accept_all(&listener, &connections) => {}
        }
    }

    async fn accept_all(self: &Arc<Self>, listener: &TcpListener, connections: &Tasks) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // While this one waits for its place, others wait in the kernel's backlog.
                    let (surface, place) = (Arc::clone(self), self.place().await);
                    connections.spawn(async move {
                        connection::run(surface, stream, peer, place).await;
                    });
                }
                Err(error) => self.cannot_accept(&error).await,
            }
        }
    }

    /// Takes a place for a connection as soon as there is one. Where all are taken, idle connections give way.
    async fn place(&self) -> Slot {
        loop {
            tokio::select! {
                biased;
                _ = self.places.free() => return self.places.take(),
                () = self.crowd.one_gives_way() => {}
            }
        }
    }

    /// Waits until it is worth trying again.
    async fn cannot_accept(&self, error: &io::Error) {
        let pause = tokio::time::sleep(ACCEPT_PAUSE);
        let Some(shortage) = Shortage::behind(error) else {
            tracing::warn!(%error, "accept a connection");
            return pause.await;
        };
        shortage.report("accept a connection", error);
        tokio::select! {
            () = pause => {}
            () = self.crowd.one_gives_way() => {}
        }
    }

    /// Answers one request. `open` makes what is kept for as long as its body is.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        open: impl FnOnce() -> OpenBody,
    ) -> Result<Response<Body>, BrokenOff> {
        let began = Instant::now();
        let (mut head, body) = request.into_parts();
        http2::normalize(&mut head);
        let (version, asks_for_head) = (head.version, head.method == Method::HEAD);
        let request_id = sent_request_id(&head.headers).cloned().unwrap_or_else(fresh_request_id);
        let span = tracing::info_span!(
            "request",
            method = &*shown(head.method.as_str()),
            path = &*shown(head.uri.path()),
            request_id = %String::from_utf8_lossy(request_id.as_bytes()),
            job.id = tracing::field::Empty,
            bypass = tracing::field::Empty,
        );
        let unanswered = Unanswered { span: &span, began };
        let stages = self.stages.get();
        let body = Upload::new(&head, body, || Discard {
            bounds: DiscardBounds::of(&stages.config),
            tasks: self.requests.clone(),
            draining: self.draining.clone(),
            _open: Box::new(open()),
        });
        let arrival = Arrival { head, body, peer, request_id: request_id.clone() };
        // In a box of its own, it is not copied by each of these.
        let answered =
            AssertUnwindSafe(Box::pin(stages.dispatch(arrival))).catch_unwind().instrument(span.clone()).await;
        std::mem::forget(unanswered); // there is one now
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
            if self.draining.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            if response.status().canonical_reason().is_none() {
                response.extensions_mut().get_or_insert(NO_REASON); // the library would make one up
            }
        }
        tracing::info!(status = response.status().as_u16(), elapsed_ms, "request answered");
        Ok(response)
    }
}

/// How many connections this configuration and the limit on open files allow. That they are fewer is a warning only to
/// somebody who asked for a number: the default is what every machine's limit cuts.
fn connections_for(config: &Config) -> usize {
    const FEWER: &str = "fewer client connections than limits.maxConnections are taken: \
                         the limit on open files has to leave room for upstream connections and the store";
    let (configured, file_limit, concurrency) = (config.limits.max_connections, file_limit(), config.concurrency);
    let allowed = capacity::connections(configured, concurrency, file_limit);
    if allowed < configured {
        if configured == Limits::default().max_connections {
            tracing::info!(configured, allowed, file_limit, concurrency, "{FEWER}");
        } else {
            tracing::warn!(configured, allowed, file_limit, concurrency, "{FEWER}");
        }
    }
    allowed
}

impl Stages {
    /// Boxes the futures of jobs API and intake, so that this one stays small and none of them is copied.
    async fn dispatch(&self, mut arrival: Arrival) -> Option<Response<Body>> {
        let checked = host::settle(&mut arrival.head).and_then(|()| check_head(&arrival.head));
        let path = arrival.head.uri.path();
        if let Err(problem) = checked.and_then(|()| path::check(path).map_err(Problem::bad_path)) {
            return Some(arrival.body.answer_unread(problem.into_response()));
        }
        if self.config.jobs_path.matches(path) {
            let Arrival { head, body, .. } = arrival;
            let response = Box::pin(self.jobs_api.handle(head)).await;
            return Some(body.answer_unread(response));
        }
        Box::pin(self.intake.handle(arrival)).await
    }
}

/// Dropped before there is an answer: its client has gone away.
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

/// A text of a client's choice in a log line: as much of it as people read there.
fn shown(text: &str) -> Cow<'_, str> {
    const SHOWN_BYTES: usize = 200;
    let end = text.floor_char_boundary(SHOWN_BYTES);
    if end == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{}…", &text[..end])) }
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Says what is wrong with a request head that the HTTP library lets pass.
fn check_head(head: &Parts) -> Result<(), Problem> {
    if has_other_coding(head) {
        return Err(Problem::not_implemented(
            "Transfer-Encoding: no coding but chunked is offered; leave the others out",
        ));
    }
    let path = head.uri.path();
    let is_path = path.starts_with('/') || (path == "*" && head.method == Method::OPTIONS);
    if is_path || head.method == Method::CONNECT { Ok(()) } else { Err(Problem::no_path()) }
}

/// Whether a body is coded for its transfer in a way that would be lost (RFC 9112 §6.1).
fn has_other_coding(head: &Parts) -> bool {
    let mut codings = list_items(&head.headers, &http::header::TRANSFER_ENCODING);
    codings.next().is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) || codings.next().is_some()
}

/// The request's id as its client chose it (the first, of several). `None` if there is none, or one that is none: it
/// stands in log lines and in headers.
fn sent_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_id = |id: &HeaderValue| {
        (1..=REQUEST_ID_MAX_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let ids = headers.get_all(proxq::REQUEST_ID);
    ids.iter().all(is_id).then(|| ids.iter().next()).flatten()
}

fn fresh_request_id() -> HeaderValue {
    HeaderValue::try_from(uuid::Uuid::new_v4().to_string()).expect("a UUID is visible ASCII")
}
