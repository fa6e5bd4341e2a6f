//! One attempt: sends the stored request and puts the response where it can be stored.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use proxq_protocol::header as proxq;
use tokio::time::Instant;
use tracing::Span;

use super::{AttemptContext, Worker};
use crate::config::Config;
use crate::failure::chain;
use crate::forward::headers::strip_response;
use crate::forward::{BodyError, ForwardError, HandedOver, RequestBody, Reuse, body_end, target};
use crate::job::{
    AttemptEnd, BlobRef, Body, JobRequest, QueueName, Reach, ResponseHead, StoredResponse, ends_with_head,
    may_send_again,
};
use crate::store::{BlobWriter, StoreError, StorePauses};

/// An attempt at a job: what is sent, and with what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) context: &'a AttemptContext,
    /// Where the job is, and a large response goes.
    pub(super) queue: &'a QueueName,
    pub(super) request: &'a JobRequest,
    /// Counted from 1.
    pub(super) number: u32,
}

/// An ended attempt, and the blob of its response, which goes with it unless it is told to stay.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) end: AttemptEnd,
    pub(super) blob: Option<Box<dyn BlobWriter>>,
}

impl From<AttemptEnd> for Attempted {
    fn from(end: AttemptEnd) -> Self {
        Self { end, blob: None }
    }
}

/// The span of an attempt in the log: its lines say of which job and which attempt they are. It has the highest level, so
/// that every filter which lets a line through lets the span through, too.
pub(super) fn span(request: &JobRequest, attempt: u32) -> Span {
    tracing::error_span!("attempt", job.id = %request.id, attempt, upstream = request.upstream.as_str())
}

impl Worker {
    /// Calls the upstream in what is left of the attempt's time. Dropped, it breaks the exchange off.
    pub(super) async fn call(&self, attempt: Attempt<'_>, body: Body, patience: &mut Patience<'_>) -> Attempted {
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
        let head = assemble(request, body.length(), attempt.number);
        tokio::select! {
            biased;
            attempted = self.exchange(attempt, head, (opened, body), patience) => attempted,
            () = self.stop.abort.cancelled() => AttemptEnd::Aborted { reach: Reach::Unknown }.into(),
        }
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
        patience: &mut Patience<'_>,
    ) -> Attempted {
        let Attempt { context, request, .. } = attempt;
        let reuse = if may_send_again(request, Reach::Unknown) { Reuse::Any } else { Reuse::Recent };
        let again = async || {
            let opened = self.open(body).await;
            opened.inspect_err(|error| tracing::error!(error = chain(error), "read a job's body")).ok()
        };
        let handed_over = HandedOver::default();
        let sending = context.forwarder.send(&request.upstream, head, opened, reuse, again, &handed_over);
        let response = match patience.wait(sending).await {
            Ok(Ok(response)) => response,
            Err(ForwardError::Timeout { origin, limit }) if !handed_over.already() => {
                return broke(&ForwardError::ConnectTimeout { origin, limit }).into();
            }
            Ok(Err(error)) | Err(error) => {
                handed_over.avoid_after(&error);
                return broke(&error).into();
            }
        };
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return broke(&ForwardError::UnexpectedUpgrade { origin: target::origin(&request.target) }).into();
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
        match self.collect(attempt, body, head.version, promised, patience).await {
            Ok((body, blob)) => {
                let reason = head.extensions.remove::<ReasonPhrase>();
                let head = ResponseHead { status: head.status, reason, headers: head.headers };
                Attempted { end: AttemptEnd::Responded(StoredResponse { head, body }), blob }
            }
            Err(CollectError::Forward(error)) => {
                handed_over.avoid_after(&error);
                broke(&error).into()
            }
            Err(CollectError::TooLarge) => too_large(&context.config).into(),
        }
    }

    /// Reads the response's body: into memory while it is small, into a blob if it is large.
    async fn collect(
        &self,
        attempt: Attempt<'_>,
        mut body: Incoming,
        version: Version,
        promised: Option<u64>,
        patience: &mut Patience<'_>,
    ) -> Result<(Body, Option<Box<dyn BlobWriter>>), CollectError> {
        let config = &attempt.context.config;
        let inline_limit = config.inline_body_limit;
        let mut small = BytesMut::new();
        let mut large: Option<Box<dyn BlobWriter>> = None;
        let mut received: u64 = 0;
        if promised.is_some_and(|length| length > inline_limit) {
            large = Some(self.new_blob(attempt.queue).await);
        }
        while let Some(chunk) = next_chunk(&mut body, version, patience).await? {
            received += chunk.len() as u64;
            if received > config.max_response_size {
                return Err(CollectError::TooLarge);
            }
            if large.is_none() && received > inline_limit {
                let mut blob = self.new_blob(attempt.queue).await;
                write(&mut *blob, std::mem::take(&mut small).freeze()).await;
                large = Some(blob);
            }
            match &mut large {
                Some(blob) => write(&mut **blob, chunk).await,
                None => small.extend_from_slice(&chunk),
            }
        }
        match large {
            None => Ok((Body::Inline(small.freeze()), None)),
            Some(mut blob) => Ok((Body::Blob(finish(&mut *blob).await), Some(blob))),
        }
    }

    /// Begins a blob for a job of this queue, as long as it takes.
    pub(super) async fn new_blob(&self, queue: &QueueName) -> Box<dyn BlobWriter> {
        let mut pauses = StorePauses::new();
        loop {
            match self.store.new_blob(queue).await {
                Ok(blob) => return blob,
                Err(error) => rest("begin a response's blob", &error, &mut pauses).await,
            }
        }
    }
}

/// Writes a chunk, as long as it takes: the response must not be fetched again because the store has no room.
pub(super) async fn write(blob: &mut dyn BlobWriter, chunk: Bytes) {
    let mut pauses = StorePauses::new();
    while let Err(error) = blob.write(chunk.clone()).await {
        rest("write a response's blob", &error, &mut pauses).await;
    }
}

/// Finishes a blob, as long as it takes.
pub(super) async fn finish(blob: &mut dyn BlobWriter) -> BlobRef {
    let mut pauses = StorePauses::new();
    loop {
        match blob.finish().await {
            Ok(reference) => return reference,
            Err(error) => rest("finish a response's blob", &error, &mut pauses).await,
        }
    }
}

async fn rest(step: &'static str, error: &StoreError, pauses: &mut StorePauses) {
    let pause = pauses.next();
    tracing::error!(step, error = chain(error), ?pause, "keep a response");
    tokio::time::sleep(pause).await;
}

/// How long the upstream may still take. The store's time does not count.
pub(super) struct Patience<'a> {
    left: Duration,
    limit: Duration,
    target: &'a Uri,
}

impl<'a> Patience<'a> {
    /// All of an attempt's time.
    pub(super) fn of(request: &'a JobRequest) -> Self {
        Self { left: request.timeout, limit: request.timeout, target: &request.target }
    }

    /// Waits for a step for as long as there is time left, and takes what it takes from that.
    pub(super) async fn wait<T>(&mut self, step: impl Future<Output = T>) -> Result<T, ForwardError> {
        let began = Instant::now();
        let done = tokio::time::timeout(self.left, step).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.map_err(|_elapsed| ForwardError::Timeout { origin: target::origin(self.target), limit: self.limit })
    }
}

enum CollectError {
    Forward(ForwardError),
    TooLarge,
}

async fn next_chunk(
    body: &mut Incoming,
    version: Version,
    patience: &mut Patience<'_>,
) -> Result<Option<Bytes>, CollectError> {
    loop {
        match patience.wait(body.frame()).await.map_err(CollectError::Forward)? {
            None => {
                let origin = || target::origin(patience.target);
                let complete = body_end::check(body, version);
                return complete
                    .map(|()| None)
                    .map_err(|source| CollectError::Forward(ForwardError::CutShort { origin: origin(), source }));
            }
            Some(Ok(frame)) => {
                // Trailers are fields of one transfer; a stored response has none.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(source)) => {
                let origin = target::origin(patience.target);
                return Err(CollectError::Forward(ForwardError::Body { origin, source }));
            }
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

fn broke(error: &ForwardError) -> AttemptEnd {
    let (reach, described) = (error.reach(), described(error));
    if matches!(error, ForwardError::Shortage { .. }) {
        AttemptEnd::NotPossible { error: described }
    } else {
        AttemptEnd::Broke { reach, error: described }
    }
}

/// A damaged body stays damaged; a store that does not answer may do so later.
fn unreadable(error: &StoreError) -> AttemptEnd {
    let described = format!("read the request's body: {}", chain(error));
    match error {
        StoreError::CorruptJob { .. } | StoreError::CorruptBlob { .. } | StoreError::NewerRecord { .. } => {
            AttemptEnd::Broke { reach: Reach::NotSent, error: described }
        }
        StoreError::LeaseLost { .. }
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_within_an_attempt_says_which_one_it_is_at_every_level_of_the_log() {
        for level in [tracing::Level::ERROR, tracing::Level::TRACE] {
            let lines = Lines::default();
            let writer = lines.clone();
            let log = tracing_subscriber::fmt().with_ansi(false).with_max_level(level);
            let request = JobRequest::sample();
            tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), || {
                span(&request, 3).in_scope(|| tracing::error!("a line"));
            });
            let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            for field in [format!("job.id={}", request.id), "attempt=3".to_owned(), "upstream=\"/api\"".to_owned()] {
                assert!(line.contains(&field), "{line}");
            }
        }
    }
}
