//! Tasks that Go's proxq submitted, read as jobs.

use std::time::Duration;

use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, header};

use super::envelope::{self, REQUEST, TaskEnvelope, decoded};
use super::message::TaskMessage;
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::config::Upstream;
use crate::forward::headers::strip_hop_by_hop;
use crate::job::{Body, CredentialHash, Delivery, JobId, JobRequest, Outcome, Priority, Progress, State, TimeBounds};

/// Why a task cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// It is a task of another program.
    #[error("handler not found for task {kind:?}")]
    NoHandler {
        /// Its type.
        kind: String,
    },
    /// Its payload is not what Go's proxq writes.
    #[error("the payload of task {id:?} is no request")]
    NoRequest {
        /// The task.
        id: String,
    },
}

/// asynq's limit where a task has none.
pub(super) const ASYNQ_TIMEOUT: Duration = Duration::from_mins(30);

/// The request of a task that Go's proxq submitted.
pub(super) fn request(message: &TaskMessage, now: Timestamp, shared: &Shared) -> Result<(JobRequest, Body), Unusable> {
    if !message.kind.starts_with(REQUEST) {
        return Err(Unusable::NoHandler { kind: message.kind.clone() });
    }
    read(message, now, shared).ok_or_else(|| Unusable::NoRequest { id: message.id.clone() })
}

fn read(message: &TaskMessage, now: Timestamp, shared: &Shared) -> Option<(JobRequest, Body)> {
    let TaskEnvelope { request, .. } = TaskEnvelope::read(&message.payload)?;
    let target: Uri = request.url.parse().ok().filter(|target: &Uri| target.host().is_some())?;
    let method = Method::from_bytes(request.method.as_bytes()).ok()?;
    let mut headers = envelope::header_map(&request.headers)?;
    strip_hop_by_hop(&mut headers);
    let _ = headers.remove(header::EXPECT);
    let mut added_headers = HeaderMap::new();
    // Go's worker replaces what the client said with what its server found.
    for (value, names) in
        [(&request.client_ip, &["x-forwarded-for", "x-real-ip"][..]), (&request.proto, &["x-forwarded-proto"][..])]
    {
        for name in names.iter().filter(|_| !value.is_empty()) {
            let _ = headers.remove(*name);
            added_headers.insert(*name, HeaderValue::from_str(value).ok()?);
        }
    }
    let settings = shared.settings.get();
    let upstream = upstream_of(&target, &settings.upstreams);
    let id: JobId = message.id.parse().ok()?;
    let idempotent = upstream.map_or(method.is_idempotent(), |upstream| upstream.is_repeatable(&method, &headers));
    let job = JobRequest {
        id,
        upstream: upstream.map(|upstream| upstream.prefix.as_str().to_owned()).unwrap_or_default(),
        path: target.path().to_owned(),
        idempotency_key: headers.get("idempotency-key").map(|key| key.as_bytes().to_vec()),
        created_at: now,
        timeout: timeout(message, now),
        priority: Priority::Normal,
        delivery: upstream.map_or(Delivery::Auto, |upstream| upstream.delivery),
        idempotent,
        owner: None,
        credential: CredentialHash([0; 32]),
        client: request.client_ip.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
        request_id: String::new(),
        retention: Duration::from_secs(u64::try_from(message.retention).unwrap_or_default()),
        body_sha256: None,
        bounds: TimeBounds::NONE,
        resubmit_of: None,
        secret_names: Vec::new(),
        method,
        target,
        headers,
        added_headers,
    };
    Some((job, Body::Inline(decoded(&request.body)?)))
}

/// The time for one attempt, as asynq reckons it.
pub(super) fn timeout(message: &TaskMessage, now: Timestamp) -> Duration {
    let timeout = u64::try_from(message.timeout).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let deadline = (message.deadline > 0).then(|| {
        Timestamp::from_millis(message.deadline.saturating_mul(1000)).since(now).max(Duration::from_millis(1))
    });
    match (timeout, deadline) {
        (None, None) => ASYNQ_TIMEOUT,
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other).unwrap_or(ASYNQ_TIMEOUT),
    }
}

/// The upstream at whose URL, or below it, the target is.
fn upstream_of<'a>(target: &Uri, upstreams: &'a [Upstream]) -> Option<&'a Upstream> {
    let target_text = target.to_string();
    let inside = |upstream: &&Upstream| {
        let base = upstream.url.to_string();
        let base = base.trim_end_matches('/');
        target_text.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    };
    debug_assert!(target.scheme() == Some(&Scheme::HTTP) || target.scheme() == Some(&Scheme::HTTPS));
    upstreams.iter().filter(inside).max_by_key(|upstream| upstream.url.to_string().len())
}

/// The progress of a task as far as asynq knows it, for tasks about which proxq has noted nothing.
pub(super) fn progress(message: &TaskMessage, state: State, due: Option<i64>) -> Progress {
    let count = |number: i32| u32::try_from(number).unwrap_or_default();
    let seconds = |at: i64| (at > 0).then(|| Timestamp::from_millis(at.saturating_mul(1000)));
    let retried = count(message.retried);
    let ended = matches!(state, State::Completed | State::Archived);
    Progress {
        attempts: if ended || state == State::Active { retried.saturating_add(1) } else { retried },
        retried,
        ended_at: match state {
            State::Completed => seconds(message.completed_at),
            State::Archived => seconds(message.last_failed_at),
            State::Pending | State::Scheduled | State::Active | State::Retry => None,
        },
        due_at: due.and_then(seconds).filter(|_| matches!(state, State::Scheduled | State::Retry)),
        last_error: Some(message.error_msg.clone()).filter(|error| !error.is_empty() && state != State::Completed),
        outcome: match state {
            State::Completed => Some(Outcome::Responded),
            State::Archived => Some(Outcome::Indeterminate),
            State::Pending | State::Scheduled | State::Active | State::Retry => None,
        },
        ..Progress::default()
    }
}
