//! The errors that proxq itself answers with (RFC 9457): the status code of each, and what clients are told.

mod access;
mod operators;

use std::num::NonZeroU32;
use std::time::Duration;

use http::header;
use http::{HeaderValue, Response, StatusCode};
use proxq_protocol::header as proxq;
use proxq_protocol::{ErrorBody, ErrorCode, JobId, Outcome};

use super::body::Body;
use super::{job_id_value, json_bytes, own};
use crate::forward::is_connect_timeout;
use crate::job::{Job, Progress, ResponseHead};
use crate::pacing::Rate;
use crate::path::BadPath;
use crate::store::StoreError;

/// `Retry-After` while the store does not answer: outages are restarts and full disks, which take some seconds.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why proxq refuses a request.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: ErrorCode,
    detail: String,
    retry_after: Option<Duration>,
    /// Whether a repetition can help and cannot double anything.
    should_retry: bool,
    allow: Option<&'static str>,
    job: Option<JobId>,
    /// How the job ended.
    outcome: Option<Outcome>,
    /// Where a redirect leads, and the job behind it.
    redirect: Option<Box<(HeaderValue, JobId)>>,
    /// The limit that was reached.
    limit: Option<LimitName>,
    /// Who is asked for a token.
    challenge: Option<Challenge>,
}

/// Who is asked for a token, and so by which schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    /// A client, which shows it in a header of its own.
    Client,
    /// An operator, who may have a browser.
    Operator,
}

impl Challenge {
    /// The values of `WWW-Authenticate`.
    fn values(self) -> &'static [&'static str] {
        match self {
            Self::Client => &["Proxq realm=\"jobs\""],
            Self::Operator => &["Bearer realm=\"proxq admin\"", "Basic realm=\"proxq admin\", charset=\"UTF-8\""],
        }
    }
}

/// A limit as clients are told of it (draft-ietf-httpapi-ratelimit-headers-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitName {
    /// So many requests a time.
    Rate(Rate),
    /// So many requests at once.
    Concurrency(NonZeroU32),
    /// So many requests that wait.
    Queue(NonZeroU32),
}

impl LimitName {
    /// `RateLimit-Policy` and the name that `RateLimit` repeats.
    fn policy(self) -> (String, &'static str) {
        let at_once = r#"qu="concurrent-requests""#;
        match self {
            Self::Rate(rate) => {
                // A window has whole seconds.
                let window = rate.per().as_secs_f64().ceil().max(1.0);
                (format!("\"rate\";q={};w={window}", rate.count()), "rate")
            }
            Self::Concurrency(limit) => (format!("\"concurrency\";q={limit};{at_once}"), "concurrency"),
            Self::Queue(limit) => (format!("\"queue\";q={limit};{at_once}"), "queue"),
        }
    }
}

impl Problem {
    fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            should_retry: false,
            allow: None,
            job: None,
            outcome: None,
            redirect: None,
            limit: None,
            challenge: None,
        }
    }

    pub(crate) fn bad_path(reason: BadPath) -> Self {
        let detail = match reason {
            BadPath::Climbs => "the path has a .. segment, plain or encoded; send the path that it stands for",
            BadPath::Nul => "the path has a NUL byte (%00); leave it out",
            BadPath::Overlong => {
                "the path has an overlong UTF-8 sequence, such as %C0%AE for a dot; send the character itself"
            }
        };
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadPath, detail)
    }

    /// The request target is neither a path nor an absolute URL.
    pub(crate) fn no_path() -> Self {
        let detail = "the request target is no path; it must begin with /";
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadPath, detail)
    }

    /// The request came without TLS to a listener that speaks it.
    pub(crate) fn tls_required() -> Self {
        let detail = "this port speaks HTTPS, and the request came in plain HTTP; use https:// in the URL";
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::TlsRequired, detail)
    }

    pub(crate) fn host_count(count: usize) -> Self {
        let detail = format!("Host is there {count} times; HTTP/1.1 wants it exactly once");
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadHeader, detail)
    }

    /// The request target has an invalid host. The message does not repeat it: it may hold a password.
    pub(crate) fn bad_authority(expected: &str) -> Self {
        let detail = format!("the host that the request target names is not valid: {expected}");
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadHeader, detail)
    }

    pub(crate) fn bad_header(name: &str, value: &str, expected: &str) -> Self {
        let detail = format!("{name}: {value:?} is not valid: {expected}");
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadHeader, detail)
    }

    pub(crate) fn unsupported_header(name: &str) -> Self {
        let detail = format!("{name} is not supported yet; leave it out");
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadHeader, detail)
    }

    pub(crate) fn malformed_chunks() -> Self {
        let detail = "the body is not what Transfer-Encoding: chunked says: each chunk is its length in hexadecimal digits, \
                      CRLF, that many bytes and CRLF";
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadHeader, detail)
    }

    pub(crate) fn bad_query(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadQuery, detail)
    }

    /// No job has this id, or none has it any more.
    pub(crate) fn no_job(id: JobId) -> Self {
        Self::not_found(format!("there is no job {id}: it never was, was cancelled, or its retention is over"))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
    }

    pub(crate) fn not_ready() -> Self {
        let detail = "the job has not finished; ask again later, or with ?wait=30s";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotReady, detail)
    }

    /// `progress` is the failed job's: one that its upstream never saw may be submitted again, unless it came too late.
    pub(crate) fn job_failed(error: &str, progress: Option<&Progress>) -> Self {
        let detail = format!("the job failed, there is no response: {error}");
        let problem = Self::new(StatusCode::NOT_FOUND, ErrorCode::JobFailed, detail);
        Self { should_retry: progress.is_some_and(may_submit_again), ..problem }
    }

    /// The answer to a follower whose job is not there any more. Whether it ever was is not told.
    pub(crate) fn gone(id: JobId) -> Self {
        let detail = format!("job {id} is gone: it was cancelled, or its retention is over");
        Self { job: Some(id), ..Self::new(StatusCode::GONE, ErrorCode::Gone, detail) }
    }

    /// The answer to a follower that has been sent on as often as it may be.
    pub(crate) fn still_running(id: JobId, hops: u32) -> Self {
        let detail = format!(
            "job {id} has not finished after {hops} redirects; it goes on, and its response can be fetched under its id"
        );
        Self { job: Some(id), ..Self::new(StatusCode::FAILED_DEPENDENCY, ErrorCode::StillRunning, detail) }
    }

    /// The answer to a client that waits for the response of a job that failed. Only a request that its upstream never
    /// saw gets a status that clients repeat on their own.
    pub(crate) fn no_response(job: &Job) -> Self {
        let error = job.progress.last_error.as_deref().unwrap_or_default();
        let outcome = job.progress.outcome;
        let should_retry = may_submit_again(&job.progress);
        let (status, code) = if job.progress.expired {
            (StatusCode::FAILED_DEPENDENCY, ErrorCode::Expired)
        } else if !should_retry {
            (StatusCode::FAILED_DEPENDENCY, ErrorCode::JobFailed)
        } else if is_connect_timeout(error) {
            (StatusCode::GATEWAY_TIMEOUT, ErrorCode::UpstreamTimeout)
        } else {
            (StatusCode::BAD_GATEWAY, ErrorCode::UpstreamUnreachable)
        };
        // SDKs show their users the detail and the code, not the outcome.
        let reach = match outcome {
            Some(Outcome::NotSent) if job.progress.expired => "; the upstream saw nothing of the request",
            Some(Outcome::NotSent) => "; the upstream saw nothing of the request, so it can be sent again",
            Some(Outcome::Indeterminate) => {
                "; the upstream may have received the request, so to repeat it may do it twice"
            }
            Some(Outcome::Responded) => "; the upstream has answered the request, so to repeat it does it twice",
            None => "",
        };
        let detail = format!("the job failed, there is no response: {error}{reach}");
        let problem = Self::new(status, code, detail);
        Self { job: Some(job.request.id), outcome, should_retry, ..problem }
    }

    /// The answer to a follower whose response is a redirect with a method that it has lost on its way.
    pub(crate) fn redirect_not_followable(id: JobId, head: &ResponseHead) -> Self {
        let location = head.headers.get(header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let detail = format!(
            "the upstream answered {} to {}, which a client that follows redirects would send with GET; send the \
             request there, or with X-Proxq-Mode: wait",
            head.status.as_u16(),
            location.unwrap_or_default()
        );
        let problem = Self::new(StatusCode::FAILED_DEPENDENCY, ErrorCode::RedirectNotFollowable, detail);
        Self { job: Some(id), ..problem }
    }

    /// `allow` lists the methods that would be right. The wrong one is not named, so that a `HEAD` is told the length of the
    /// answer to a `GET`.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this method is not allowed here; allowed: {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, detail) }
    }

    pub(crate) fn job_id_taken(id: JobId) -> Self {
        let detail = format!(
            "X-Proxq-Job-Id {id} belongs to a job that other credentials submitted, or with another method, path, query or \
                 length of its body; propose another"
        );
        Self::new(StatusCode::CONFLICT, ErrorCode::JobIdTaken, detail)
    }

    /// The report of a redirect, for a client that asks for one; `behind` is the id of the job behind it. `None` for any
    /// other response.
    pub(crate) fn redirect(head: &ResponseHead, behind: JobId) -> Option<Self> {
        let location = head.headers.get(header::LOCATION).filter(|_| head.is_redirect())?;
        let detail = format!(
            "the response is a redirect, {}; to follow it, send the request again under the same X-Proxq-Job-Id, \
             with this answer's X-Proxq-Redirects",
            head.status.as_u16()
        );
        let redirect = Some(Box::new((location.clone(), behind)));
        Some(Self { redirect, ..Self::new(StatusCode::CONFLICT, ErrorCode::Redirect, detail) })
    }

    /// The job whose redirect was reported does not exist any more.
    pub(crate) fn redirect_gone(id: JobId) -> Self {
        Self::not_found(format!("the redirect of job {id} is gone: it was cancelled, or its retention is over"))
    }

    pub(crate) fn too_many_followed(limit: usize) -> Self {
        let detail = format!("{limit} redirects were followed under one X-Proxq-Job-Id; propose another");
        Self::new(StatusCode::CONFLICT, ErrorCode::JobIdTaken, detail)
    }

    pub(crate) fn not_failed() -> Self {
        let detail = "only a failed job can be retried; ask for its status";
        Self::new(StatusCode::CONFLICT, ErrorCode::NotFailed, detail)
    }

    pub(crate) fn may_duplicate() -> Self {
        let detail = "the job may have reached its upstream, which would then see it twice; \
                      if that is wanted, retry it with ?confirm=may-duplicate";
        Self::new(StatusCode::CONFLICT, ErrorCode::MayDuplicate, detail)
    }

    pub(crate) fn idempotency_mismatch() -> Self {
        let detail = "Idempotency-Key was used for another request (method, target, body, Content-Type or \
                      Content-Encoding differ); send the same request again, or use another key";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::IdempotencyMismatch, detail)
    }

    pub(crate) fn body_too_large(length: u64, limit: u64) -> Self {
        let detail = format!("the body has {length} bytes; {limit} are accepted here (maxBodySize)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BodyTooLarge, detail)
    }

    pub(crate) fn internal() -> Self {
        let detail = "this is a bug in proxq; the request id leads to it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, detail)
    }

    pub(crate) fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::NotImplemented, detail)
    }

    pub(crate) fn no_upstream(path: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, ErrorCode::NoUpstream, format!("no upstream matches {path}"))
    }

    /// The upstream of a direct request did not answer. `error` says which step failed and why, `repeatable` whether
    /// the request can be sent again without harm.
    pub(crate) fn upstream_unreachable(error: &str, repeatable: bool) -> Self {
        let detail = format!("forward request: {error}");
        let problem = Self::new(StatusCode::BAD_GATEWAY, ErrorCode::UpstreamUnreachable, detail);
        Self { should_retry: repeatable, ..problem }
    }

    /// The upstream of a direct request did not begin to answer in time.
    pub(crate) fn upstream_timeout(error: &str) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, ErrorCode::UpstreamTimeout, format!("forward request: {error}"))
    }

    /// As many jobs wait for the upstream as may.
    pub(crate) fn queue_full(limit: NonZeroU32, retry_after: Duration) -> Self {
        let detail =
            format!("the upstream's queue is full: at most {limit} jobs may wait (maxQueued); nothing was stored");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::QueueFull, detail);
        Self { retry_after: Some(retry_after), should_retry: true, limit: Some(LimitName::Queue(limit)), ..problem }
    }

    /// A limit of the upstream leaves no room for a direct request.
    ///
    /// `limit` is not known where it changes by itself.
    pub(crate) fn rate_limited(limit: Option<LimitName>, retry_after: Duration) -> Self {
        let detail = match limit {
            Some(LimitName::Rate(rate)) => {
                format!("requests to this upstream are limited to {rate} (rateLimit); none was sent")
            }
            Some(LimitName::Concurrency(_) | LimitName::Queue(_)) | None => {
                "as many requests to this upstream run as may (concurrency); none was sent".to_owned()
            }
        };
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, detail);
        Self { retry_after: Some(retry_after), should_retry: true, limit, ..problem }
    }

    pub(crate) fn loop_detected(via_name: &str) -> Self {
        let detail =
            format!("the request came back: Via names {via_name} already; an upstream's url leads to this proxq");
        Self::new(StatusCode::LOOP_DETECTED, ErrorCode::LoopDetected, detail)
    }

    pub(crate) fn draining() -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Draining, "shutting down");
        Self { retry_after: Some(STORE_RETRY_AFTER), ..problem }
    }

    /// A submission of which proxq does not know whether it is stored.
    pub(crate) fn may_be_accepted(id: JobId) -> Self {
        let detail = "the store did not answer: the job may have been accepted; look it up under the id in \
                      X-Proxq-Job-Id, or send the request again with that header";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::StoreUnavailable, detail);
        Self { retry_after: Some(STORE_RETRY_AFTER), job: Some(id), ..problem }
    }

    /// What clients are told of a store's error. The error itself belongs in the log.
    pub(crate) fn store(error: &StoreError) -> Self {
        let (status, code, detail) = match error {
            StoreError::Full { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::StoreFull, "the job store has no room; nothing was stored")
            }
            StoreError::Unavailable { .. } | StoreError::Closed | StoreError::LeaseLost { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::StoreUnavailable,
                "the job store does not answer; nothing is lost, ask again",
            ),
            StoreError::CorruptJob { .. } | StoreError::CorruptBlob { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                ErrorCode::Corrupt,
                "what is stored cannot be read, or does not match its checksum, and is not served",
            ),
            StoreError::KeyUnknown { .. } | StoreError::BlobKeyUnknown { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                ErrorCode::KeyUnknown,
                "what is stored is sealed with a key that this proxq does not have; its operator can configure it \
                 (encryption.previousKeyFiles)",
            ),
            StoreError::KeyMissing { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::KeyUnknown,
                "jobs wait that are sealed with a key which this proxq does not have; the log names it",
            ),
            StoreError::NewerRecord { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                ErrorCode::Internal,
                "the job was written by a newer version of proxq than this one",
            ),
        };
        let should_retry = status == StatusCode::SERVICE_UNAVAILABLE;
        let retry_after = should_retry.then_some(STORE_RETRY_AFTER);
        Self { retry_after, should_retry, ..Self::new(status, code, detail) }
    }

    /// What probes are told of a store that does not take and give jobs.
    pub(crate) fn store_not_ready_for(error: &StoreError) -> Self {
        let problem = Self::store(error);
        if matches!(error, StoreError::Unavailable { .. }) {
            return Self { detail: "the job store neither takes nor gives jobs; the log says why".into(), ..problem };
        }
        problem
    }

    /// The store has not answered since the start; without it no request can be accepted.
    pub(crate) fn store_not_ready() -> Self {
        Self::store(&StoreError::Closed)
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut body = ErrorBody::new(self.status.as_u16(), title, self.code, self.detail);
        body.outcome = self.outcome;
        let mut response = own(self.status, "application/problem+json", json_bytes(&body));
        let headers = response.headers_mut();
        if let Some(pause) = self.retry_after {
            // Never earlier than it helps.
            let seconds = u64::try_from(pause.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            if let Some(limit) = self.limit {
                let (policy, name) = limit.policy();
                let left = format!("\"{name}\";r=0;t={seconds}");
                for (field, value) in [(proxq::RATE_LIMIT_POLICY, policy), (proxq::RATE_LIMIT, left)] {
                    headers.insert(field, HeaderValue::try_from(value).expect("letters, digits and signs"));
                }
            }
            let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            headers.insert(proxq::RETRY_AFTER_MS, HeaderValue::from(millis));
        }
        let should_retry = if self.should_retry { "true" } else { "false" };
        headers.insert(proxq::SHOULD_RETRY, HeaderValue::from_static(should_retry));
        for value in self.challenge.into_iter().flat_map(Challenge::values) {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(id) = self.job {
            headers.insert(proxq::JOB_ID, job_id_value(id));
        }
        if let Some(redirect) = self.redirect {
            let (location, behind) = *redirect;
            headers.insert(header::LOCATION, location);
            headers.insert(proxq::REDIRECTS, job_id_value(behind));
        }
        response
    }
}

/// Whether a failed job can be submitted again and may then succeed: its upstream never saw it, and time was not what it lacked.
fn may_submit_again(progress: &Progress) -> bool {
    progress.outcome == Some(Outcome::NotSent) && !progress.expired
}
