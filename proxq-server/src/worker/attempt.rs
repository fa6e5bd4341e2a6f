//! One attempt: sends the stored request, and has the response collected.

use std::convert::Infallible;

use futures_util::TryStreamExt;
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Request, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::ext::ReasonPhrase;
use proxq_protocol::header as proxq;

use super::Worker;
use super::collect::CollectError;
use super::context::Attempt;
use super::time_limit::TimeLimit;
use crate::config::Config;
use crate::failure::chain;
use crate::flow::Trouble;
use crate::forward::headers::strip_response;
use crate::forward::{BodyError, ForwardError, HandedOver, RequestBody, Reuse, target};
use crate::job::{AttemptEnd, Body, JobRequest, Reach, ResponseHead, StoredResponse, ends_with_head, may_send_again};
use crate::store::{BlobWriter, StoreError};
use crate::traces::ActiveSpan;

/// An ended attempt, and the blob of its response, which is removed on drop unless it is kept.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) end: AttemptEnd,
    pub(super) blob: Option<Box<dyn BlobWriter>>,
    /// What the attempt tells of the upstream.
    pub(super) told: Told,
    /// Its span in a trace, which ends when it is judged.
    pub(super) span: Option<ActiveSpan>,
}

/// What an attempt tells of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// What its response says, if there is one.
    Response,
    /// Nothing: the cache answered.
    Nothing,
    /// Why there is no response.
    Trouble(Trouble),
}

impl Attempted {
    /// With a response.
    pub(super) fn responded(response: StoredResponse, blob: Option<Box<dyn BlobWriter>>) -> Self {
        Self { end: AttemptEnd::Responded(response), blob, told: Told::Response, span: None }
    }
}

impl From<AttemptEnd> for Attempted {
    fn from(end: AttemptEnd) -> Self {
        Self { end, blob: None, told: Told::Response, span: None }
    }
}

impl Worker {
    /// Calls the upstream in what is left of the attempt's time. Dropped, it breaks the exchange off.
    pub(super) async fn call(&self, attempt: Attempt<'_>, body: Body, limit: &mut TimeLimit<'_>) -> Attempted {
        let request = attempt.request;
        if self.stop.draining.is_cancelled() {
            return AttemptEnd::NotBegun.into();
        }
        let opened = match self.open(body.clone()).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(error = chain(&error), "read a job's body");
                return unreadable(&error).into();
            }
        };
        let mut head = assemble(request, body.length(), attempt.number);
        let traces = attempt.context.traces.as_ref();
        let span = traces.map(|traces| traces.attempt(request, attempt.queue, attempt.number));
        if let Some(span) = &span {
            span.send_on(head.headers_mut());
        }
        let attempted = tokio::select! {
            biased;
            attempted = self.exchange(attempt, head, (opened, body), limit) => attempted,
            () = self.stop.abort.cancelled() => AttemptEnd::Aborted { reach: Reach::Unknown }.into(),
        };
        Attempted { span, ..attempted }
    }

    async fn open(&self, body: Body) -> Result<RequestBody, StoreError> {
        Ok(match body {
            Body::Inline(bytes) => Full::new(bytes).map_err(impossible).boxed_unsync(),
            Body::Blob(blob) => {
                let chunks = self.store.open_blob(&blob).await?;
                StreamBody::new(chunks.map_ok(Frame::data).map_err(BodyError::from)).boxed_unsync()
            }
        })
    }

    async fn exchange(
        &self,
        attempt: Attempt<'_>,
        head: Request<()>,
        (opened, body): (RequestBody, Body),
        limit: &mut TimeLimit<'_>,
    ) -> Attempted {
        let Attempt { context, request, .. } = attempt;
        let reuse = if may_send_again(request, Reach::Unknown) { Reuse::Any } else { Reuse::Recent };
        let again = async || {
            let opened = self.open(body).await;
            opened.inspect_err(|error| tracing::error!(error = chain(error), "read a job's body")).ok()
        };
        let handed_over = HandedOver::default();
        let sending = context.forwarder.send(&request.upstream, head, opened, reuse, again, &handed_over);
        let response = match limit.wait(sending).await {
            Ok(Ok(response)) => response,
            Err(ForwardError::Timeout { origin, limit }) if !handed_over.already() => {
                return broke(&ForwardError::ConnectTimeout { origin, limit });
            }
            Ok(Err(error)) | Err(error) => {
                handed_over.avoid_after(&error);
                return broke(&error);
            }
        };
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return broke(&ForwardError::UnexpectedUpgrade { origin: target::origin(&request.target) });
        }
        let promised = promised_length(&head.headers, head.status, &request.method);
        if promised.is_some_and(|length| length > context.config.max_response_size) {
            return too_large(&context.config).into();
        }
        strip_response(&mut head.headers);
        if !head.headers.contains_key(header::DATE) {
            let now = httpdate::fmt_http_date(std::time::UNIX_EPOCH + self.clock.wall().since_epoch());
            head.headers.insert(header::DATE, HeaderValue::try_from(now).expect("a date is visible ASCII"));
        }
        match self.collect(attempt, body, head.version, promised, limit).await {
            Ok((body, blob)) => {
                let reason = head.extensions.remove::<ReasonPhrase>();
                let head = ResponseHead { status: head.status, reason, headers: head.headers };
                Attempted::responded(StoredResponse { head, body }, blob)
            }
            Err(CollectError::Forward(error)) => {
                handed_over.avoid_after(&error);
                broke(&error)
            }
            Err(CollectError::TooLarge) => too_large(&context.config).into(),
        }
    }
}

/// The length that a response's head promises, if a body follows it at all.
fn promised_length(headers: &HeaderMap, status: StatusCode, method: &Method) -> Option<u64> {
    let bodiless = *method == Method::HEAD || ends_with_head(status);
    let value = headers.get(header::CONTENT_LENGTH).filter(|_| !bodiless)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// The head of the request as it goes out.
fn assemble(job: &JobRequest, length: u64, attempt: u32) -> Request<()> {
    let mut headers = HeaderMap::with_capacity(job.headers.len() + job.added_headers.len() + 3);
    // It comes first on HTTP/1 (RFC 9110 §7.2).
    if let Some(host) = job.headers.get(header::HOST).cloned().or_else(|| target::own_host(&job.target)) {
        headers.insert(header::HOST, host);
    }
    for (name, value) in job.headers.iter().filter(|(name, _)| **name != header::HOST).chain(&job.added_headers) {
        headers.append(name.clone(), value.clone());
    }
    if length > 0 || headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let id = HeaderValue::try_from(job.id.to_string()).expect("a UUID is visible ASCII");
    headers.insert(proxq::JOB_ID, id);
    headers.insert(proxq::ATTEMPT, HeaderValue::from(attempt));
    let mut request = Request::new(());
    *request.method_mut() = job.method.clone();
    *request.uri_mut() = job.target.clone();
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

fn too_large(config: &Config) -> AttemptEnd {
    let limit = config.max_response_size;
    AttemptEnd::Unacceptable {
        error: format!("forward request: the response has more than {limit} bytes (maxResponseSize)"),
    }
}

fn broke(error: &ForwardError) -> Attempted {
    let (reach, described) = (error.reach(), described(error));
    let Some(trouble) = Trouble::of(error) else {
        return AttemptEnd::NotPossible { error: described }.into();
    };
    let end = AttemptEnd::Broke { reach, error: described };
    Attempted { end, blob: None, told: Told::Trouble(trouble), span: None }
}

/// A damaged body stays damaged; a store that does not answer may answer later.
fn unreadable(error: &StoreError) -> AttemptEnd {
    let described = format!("read the request's body: {}", chain(error));
    match error {
        StoreError::CorruptJob { .. } | StoreError::CorruptBlob { .. } | StoreError::NewerRecord { .. } => {
            AttemptEnd::Broke { reach: Reach::NotSent, error: described }
        }
        StoreError::LeaseLost { .. }
        | StoreError::KeyUnknown { .. }
        | StoreError::BlobKeyUnknown { .. }
        | StoreError::KeyMissing { .. }
        | StoreError::Full { .. }
        | StoreError::Unavailable { .. }
        | StoreError::Closed => AttemptEnd::NotPossible { error: described },
    }
}

fn described(error: &(dyn std::error::Error + 'static)) -> String {
    format!("forward request: {}", chain(error))
}

fn impossible(never: Infallible) -> BodyError {
    match never {}
}
