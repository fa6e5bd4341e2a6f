//! The names of all headers to which proxq gives a meaning, each spelled once.
//!
//! Names are lower case, as `http::HeaderName::from_static` requires. Comparison is case-insensitive (RFC 9110 §5.1).

/// Has the value `proxq` on every answer that proxq itself makes. An upstream's response never has this header.
pub const SOURCE: &str = "x-proxq-source";
/// The only value of [`SOURCE`].
pub const SOURCE_VALUE: &str = "proxq";
/// A job's id. A client may propose it, the answer to a submission has it, and the upstream gets it with each attempt.
pub const JOB_ID: &str = "x-proxq-job-id";
/// The attempt's number, from 1. The upstream gets it.
pub const ATTEMPT: &str = "x-proxq-attempt";
/// Limits each attempt of one job, in place of the upstream's timeout (a Go duration).
pub const TIMEOUT: &str = "x-proxq-timeout";
/// Chooses the direct path or the queue for one request.
pub const MODE: &str = "x-proxq-mode";
/// The least time between a job's submission and its first attempt (a Go duration).
pub const DELAY: &str = "x-proxq-delay";
/// The first attempt begins within this time from the submission on, or none does (a Go duration).
pub const START_WITHIN: &str = "x-proxq-start-within";
/// No attempt begins or goes on after this time from the submission on (a Go duration).
pub const DEADLINE: &str = "x-proxq-deadline";
/// How urgent a job is: `high`, `normal` or `low`.
pub const PRIORITY: &str = "x-proxq-priority";
/// How long proxq may hold a submission until its response is there (a Go duration).
pub const WAIT: &str = "x-proxq-wait";
/// Asks for reports of redirects instead of the redirects themselves. The value is [`REDIRECTS_REPORT`], or the ids that
/// earlier reports gave. In a report, the value is the id of the job behind the redirect.
pub const REDIRECTS: &str = "x-proxq-redirects";
/// The value of [`REDIRECTS`] in the first request, before there is a report.
pub const REDIRECTS_REPORT: &str = "report";
/// The URL to call when a job has ended.
pub const CALLBACK: &str = "x-proxq-callback";
/// For how long a signed URL of the result is to be valid (a Go duration); in the answer, that URL.
pub const RESULT_URL: &str = "x-proxq-result-url";
/// A proxq access token.
pub const TOKEN: &str = "x-proxq-token";
/// Has the value `1` on each order to the listener for operators: no form and no link of another page can send it.
pub const ADMIN: &str = "x-proxq-admin";
/// The beginning of all names above. proxq forwards no header with this prefix in either direction, except those above.
pub const PREFIX: &str = "x-proxq-";
/// A key for a request, so that sending it again makes no second job (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Has the value `true` on an answer with the job of an earlier submission that had the same [`IDEMPOTENCY_KEY`].
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";
/// A client's preferences, of which proxq applies `wait` (RFC 7240).
pub const PREFER: &str = "prefer";
/// The preference that proxq applied (RFC 7240 §3).
pub const PREFERENCE_APPLIED: &str = "preference-applied";
/// Says whether a response is from the cache.
pub const CACHE_STATUS: &str = "x-cache-status";
/// Has the value `no` on a stream. An nginx in front then passes the stream on as it comes, even if `proxy_buffering` is
/// on.
pub const ACCEL_BUFFERING: &str = "x-accel-buffering";
/// The request's identifier: the client's, or one that proxq made.
pub const REQUEST_ID: &str = "x-request-id";
/// Whether an SDK should repeat a request after an error of proxq's own: `true` or `false`. The SDKs of OpenAI and
/// Anthropic obey it.
pub const SHOULD_RETRY: &str = "x-should-retry";
/// How often an SDK of OpenAI or Anthropic has sent this request before.
pub const RETRY_COUNT: &str = "x-stainless-retry-count";
/// Has the value [`JOINED_RETRY`] on an answer with the job of an earlier try.
pub const JOINED: &str = "x-proxq-joined";
/// The only value of [`JOINED`].
pub const JOINED_RETRY: &str = "retry";
/// `Retry-After` in milliseconds, which the SDKs of OpenAI and Anthropic prefer.
pub const RETRY_AFTER_MS: &str = "retry-after-ms";
/// The limit that was reached (draft-ietf-httpapi-ratelimit-headers-11).
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// What is left of it, and when it begins anew.
pub const RATE_LIMIT: &str = "ratelimit";
