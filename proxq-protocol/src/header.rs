//! Every header that proxq gives a meaning of its own, each spelled once.
//!
//! Names are lower case, as `http::HeaderName::from_static` wants them; comparison is case-insensitive (RFC 9110 §5.1).

/// `proxq` on every answer that proxq itself makes; never on an upstream's response.
pub const SOURCE: &str = "x-proxq-source";
/// The only value of [`SOURCE`].
pub const SOURCE_VALUE: &str = "proxq";
/// A job's id: proposed by a client, named in the answer to a submission, sent to the upstream with each attempt.
pub const JOB_ID: &str = "x-proxq-job-id";
/// The attempt's number, from 1, sent to the upstream.
pub const ATTEMPT: &str = "x-proxq-attempt";
/// Overrides the upstream's timeout for each attempt of one job (a Go duration).
pub const TIMEOUT: &str = "x-proxq-timeout";
/// Forces the direct path or the queue for one request.
pub const MODE: &str = "x-proxq-mode";
/// The earliest start of a job, from its submission (a Go duration).
pub const DELAY: &str = "x-proxq-delay";
/// How long a submission may be held for its result (a Go duration).
pub const WAIT: &str = "x-proxq-wait";
/// Asks for reports of redirects instead of the redirects themselves: [`REDIRECTS_REPORT`], or the ids that earlier reports
/// gave. In a report, the id of the job behind the redirect.
pub const REDIRECTS: &str = "x-proxq-redirects";
/// The value of [`REDIRECTS`] before there was a report.
pub const REDIRECTS_REPORT: &str = "report";
/// Where to announce the end of a job.
pub const CALLBACK: &str = "x-proxq-callback";
/// A proxq access token.
pub const TOKEN: &str = "x-proxq-token";
/// What all names above begin with; no header with this prefix is forwarded in either direction unless named here.
pub const PREFIX: &str = "x-proxq-";
/// Names a request, so that sending it again makes no second job (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// `true` on an answer that names the job of an earlier submission with the same [`IDEMPOTENCY_KEY`].
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";
/// What a client would like; `wait` is heeded (RFC 7240).
pub const PREFER: &str = "prefer";
/// Which of the preferences was heeded (RFC 7240 §3).
pub const PREFERENCE_APPLIED: &str = "preference-applied";
/// Whether the response cache answered.
pub const CACHE_STATUS: &str = "x-cache-status";
/// `no` on a stream that nginx passes on as it comes, whatever its `proxy_buffering` is.
pub const ACCEL_BUFFERING: &str = "x-accel-buffering";
/// The request's identifier, passed on or made.
pub const REQUEST_ID: &str = "x-request-id";
