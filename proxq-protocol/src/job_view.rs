//! The JSON types of the jobs API and of proxq's errors.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::JobId;

/// The state of a job, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// The job waits for a worker, or for its delay.
    Queued,
    /// A worker processes the job, or the job waits for a retry.
    Running,
    /// An upstream's response is stored, whatever its status code.
    Completed,
    /// No attempt that was allowed got a response.
    Failed,
}

impl JobStatus {
    /// Whether the job has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// How far an ended job got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The upstream responded.
    Responded,
    /// The upstream saw nothing of the request.
    NotSent,
    /// The request may or may not have reached the upstream.
    Indeterminate,
}

impl fmt::Display for Outcome {
    /// Writes the same text as in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Responded => "responded",
            Self::NotSent => "not_sent",
            Self::Indeterminate => "indeterminate",
        })
    }
}

/// Why a job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Waiting {
    /// Its client wants it to begin later.
    Delayed,
    /// As many attempts run as may.
    Limit,
    /// As many attempts have begun in this time as may.
    Rate,
    /// The upstream is down.
    Breaker,
    /// An operator has paused the queue.
    Paused,
    /// It rests after an attempt that failed.
    Backoff,
    /// The upstream asked to wait.
    Parked,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl fmt::Display for Waiting {
    /// Writes the same text as in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delayed => "delayed",
            Self::Limit => "limit",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Paused => "paused",
            Self::Backoff => "backoff",
            Self::Parked => "parked",
            Self::Other => "other",
        })
    }
}

/// The body of the `202` that answers a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Accepted {
    /// The job's id, by which a client asks for the job.
    pub job_id: JobId,
    /// A signed path and query at the same server, which leads to the result without any credential; where the client asked
    /// for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_url: Option<String>,
}

impl Accepted {
    /// The answer to a submission that asked for no URL.
    #[must_use]
    pub fn new(job_id: JobId) -> Self {
        Self { job_id, result_url: None }
    }

    /// The same with the URL of the result, if there is one.
    #[must_use]
    pub fn with_result_url(self, result_url: Option<String>) -> Self {
        Self { result_url, ..self }
    }
}

/// The body of the answer to a cancellation: `{"status":"cancelled"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename = "cancelled")]
pub struct Cancelled {}

/// A job's status. Times are RFC 3339 in UTC. Fields that do not apply are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobInfo {
    /// The job's id.
    pub id: JobId,
    /// The job's state.
    pub status: JobStatus,
    /// The request's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The request's path as the client sent it, without the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When proxq accepted the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When the first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When the response was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// When the job failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// How many attempts have begun, including those that never connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How many failed attempts are followed by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Why the job waits, where the instance that is asked knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The earliest start of the next attempt, while the job waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// Why the last attempt, or the job, failed: the step and the cause in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How far an ended job got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl JobInfo {
    /// A status without any other field.
    #[must_use]
    pub fn new(id: JobId, status: JobStatus) -> Self {
        Self {
            id,
            status,
            method: None,
            path: None,
            created_at: None,
            started_at: None,
            completed_at: None,
            failed_at: None,
            attempts: None,
            max_retries: None,
            waiting: None,
            next_attempt_at: None,
            error: None,
            outcome: None,
        }
    }
}

/// What went wrong, for programs. The names never change, and none is ever removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The path has a `..` segment or another sequence that is not allowed.
    BadPath,
    /// A control has a value that is not allowed, or another header or the framing of the body is not valid.
    BadHeader,
    /// The request came in plain HTTP to a port that speaks HTTPS.
    TlsRequired,
    /// A query parameter of the jobs API has a value that is not allowed.
    BadQuery,
    /// The job does not exist, or nothing is at this path.
    NotFound,
    /// The job has not ended.
    NotReady,
    /// The job ended without a response.
    JobFailed,
    /// The method is not allowed here.
    MethodNotAllowed,
    /// Only a failed job can be retried.
    NotFailed,
    /// The job may have reached its upstream, so the client must confirm a retry.
    MayDuplicate,
    /// What is stored was sealed with a key that the server does not have.
    KeyUnknown,
    /// The response is a redirect, and the client asked for a report.
    Redirect,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// The proposed id belongs to a job with other credentials, or to another request.
    JobIdTaken,
    /// The body is larger than the upstream's `maxBodySize`.
    BodyTooLarge,
    /// A bug in proxq.
    Internal,
    /// A stored record or body cannot be read, or does not match its checksum.
    Corrupt,
    /// This server does not offer this feature.
    NotImplemented,
    /// No upstream's prefix matches the path.
    NoUpstream,
    /// The store does not answer.
    StoreUnavailable,
    /// The store has no room.
    StoreFull,
    /// As many jobs wait for the upstream as may.
    QueueFull,
    /// A limit of the upstream leaves no room for a direct request.
    RateLimited,
    /// The server is shutting down.
    Draining,
    /// The upstream of a direct request cannot be reached, or closed the connection without an answer.
    UpstreamUnreachable,
    /// The upstream of a direct request did not begin to answer in time.
    UpstreamTimeout,
    /// The request came back to this deployment.
    LoopDetected,
    /// The job does not exist any more: it was cancelled, or its retention is over.
    Gone,
    /// The job was not begun in time, and is not sent any more.
    Expired,
    /// The job runs still, and its follower has had all its redirects.
    StillRunning,
    /// The response is a redirect that a follower would not follow as the upstream means it.
    RedirectNotFollowable,
    /// proxq wants a token, or another one.
    Unauthorized,
    /// The token, or the signed URL, does not allow this; or the admin listener does not take requests for this host, or orders that
    /// another page may have sent.
    Forbidden,
    /// The body of an order to the admin listener is not valid.
    BadBody,
    /// The job has not ended, so that it cannot be submitted again.
    NotEnded,
    /// The job's secret headers are gone, so that it cannot be submitted again.
    SecretsGone,
    /// Another bulk action runs.
    BulkRunning,
    /// The admin listener keeps as many pages up to date as it may.
    Busy,
}

/// The body of an error that proxq itself makes (RFC 9457 problem details).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The HTTP status code.
    pub status: u16,
    /// The status code's reason phrase.
    pub title: String,
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong and what would be right, for readers.
    pub detail: String,
    /// How the job ended, where the error is that it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The same for SDKs of LLM providers; absent in answers of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<SdkError>,
}

impl ErrorBody {
    /// An error with this status code and its reason phrase.
    #[must_use]
    pub fn new(status: u16, title: &str, code: ErrorCode, detail: String) -> Self {
        let error = SdkError { message: detail.clone(), kind: SdkError::KIND.to_owned(), code, param: None };
        Self { status, title: title.to_owned(), code, detail, outcome: None, error: Some(error) }
    }
}

/// An error as the SDKs of OpenAI and Anthropic read it. Without this member their users see the status code alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SdkError {
    /// The error's `detail`.
    pub message: String,
    /// `proxq_error`: the error is none of the provider's.
    #[serde(rename = "type")]
    pub kind: String,
    /// The error's `code`.
    pub code: ErrorCode,
    /// The parameter at fault, in OpenAI's errors. Always `null` here.
    pub param: Option<String>,
}

impl SdkError {
    const KIND: &str = "proxq_error";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_spelled_as_documented() {
        let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        let accepted = serde_json::to_string(&Accepted::new(id)).unwrap();
        assert_eq!(accepted, r#"{"jobId":"550e8400-e29b-41d4-a716-446655440000"}"#);
        assert_eq!(serde_json::to_string(&Cancelled {}).unwrap(), r#"{"status":"cancelled"}"#);
        assert_eq!(serde_json::to_string(&ErrorCode::NoUpstream).unwrap(), r#""NO_UPSTREAM""#);
        for outcome in [Outcome::Responded, Outcome::NotSent, Outcome::Indeterminate] {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{outcome}\""));
        }
        assert_eq!(Outcome::NotSent.to_string(), "not_sent");
        let error = ErrorBody::new(502, "Bad Gateway", ErrorCode::NoUpstream, "none".to_owned());
        let json = r#"{"status":502,"title":"Bad Gateway","code":"NO_UPSTREAM","detail":"none","error":{"message":"none","type":"proxq_error","code":"NO_UPSTREAM","param":null}}"#;
        assert_eq!(serde_json::to_string(&error).unwrap(), json);
    }

    #[test]
    fn an_error_of_an_earlier_version_is_understood() {
        let json = r#"{"status":404,"title":"Not Found","code":"NOT_READY","detail":"wait"}"#;
        let body: ErrorBody = serde_json::from_str(json).unwrap();
        assert_eq!((body.code, body.error), (ErrorCode::NotReady, None));
    }

    #[test]
    fn a_minimal_status_of_the_original_is_understood() {
        let json = r#"{"id":"550e8400-e29b-41d4-a716-446655440000","status":"queued"}"#;
        let info: JobInfo = serde_json::from_str(json).unwrap();
        assert_eq!(info, JobInfo::new(info.id, JobStatus::Queued));
        assert_eq!(serde_json::to_string(&info).unwrap(), json, "what does not apply is left out");
    }
}
