//! The rules for every reply that proxq itself makes.

use proxq_protocol::{ErrorBody, header};

use crate::message::Reply;

/// The only headers that proxq puts on its own replies. Lower case.
pub const OWN_HEADERS: [&str; 23] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    header::IDEMPOTENCY_REPLAYED,
    "location",
    "retry-after",
    "transfer-encoding",
    "www-authenticate",
    header::ACCEL_BUFFERING,
    header::JOB_ID,
    header::JOINED,
    header::RATE_LIMIT,
    header::RATE_LIMIT_POLICY,
    header::PREFERENCE_APPLIED,
    header::REDIRECTS,
    header::REQUEST_ID,
    header::RESULT_URL,
    header::RETRY_AFTER_MS,
    header::SHOULD_RETRY,
    header::SOURCE,
];

/// What the listener for operators says to browsers besides. Lower case.
pub const OPERATOR_HEADERS: [&str; 5] = [
    "content-security-policy",
    "cross-origin-resource-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
];

/// Checks a reply if proxq made it; others pass.
pub(crate) fn check_own(reply: &Reply, method: &str) {
    let Some(source) = reply.header(header::SOURCE) else { return };
    assert_eq!(source, header::SOURCE_VALUE, "the only value of {}", header::SOURCE);
    let is_for_operators = reply.head.has("content-security-policy");
    for (name, value) in reply.head.fields() {
        let name = name.to_ascii_lowercase();
        // An nginx in between names itself on everything.
        let of_nginx = name == "server" && value.starts_with(b"nginx");
        let for_operators = is_for_operators && OPERATOR_HEADERS.contains(&name.as_str());
        let is_known = of_nginx || for_operators || OWN_HEADERS.contains(&name.as_str());
        assert!(is_known, "{name} is not for proxq's own replies: {reply}");
    }
    let is_file = is_for_operators && reply.header("cache-control").is_some_and(|value| value.ends_with("immutable"));
    if !is_file {
        assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"), "nobody may cache: {reply}");
    }
    assert!(reply.header(header::REQUEST_ID).is_some_and(|id| !id.is_empty()), "no request id: {reply}");
    assert!(reply.head.has("date"), "an origin server with a clock dates its replies: {reply}");
    let is_page = is_for_operators && reply.header("content-type").is_some_and(|value| value.starts_with("text/html"));
    if is_page {
        return; // says what is wrong to people
    }
    assert_eq!(reply.head.has("www-authenticate"), reply.status == 401, "a challenge belongs to 401: {reply}");
    assert_eq!(reply.head.has(header::SHOULD_RETRY), reply.status >= 400, "X-Should-Retry belongs to errors: {reply}");
    if reply.status < 400 {
        return;
    }
    assert!(["true", "false"].contains(&reply.header(header::SHOULD_RETRY).unwrap_or_default().as_str()), "{reply}");
    assert_eq!(reply.header("content-type").as_deref(), Some("application/problem+json"), "{reply}");
    assert_eq!(reply.head.has("allow"), reply.status == 405, "Allow belongs to 405: {reply}");
    assert_eq!(reply.head.has("retry-after"), matches!(reply.status, 429 | 503), "Retry-After: {reply}");
    let millis = reply.header(header::RETRY_AFTER_MS).map(|millis| millis.parse().unwrap_or(u64::MAX));
    let seconds = millis.map(|millis| millis.div_ceil(1000).to_string());
    assert_eq!(reply.header("retry-after"), seconds, "the same in milliseconds: {reply}");
    for field in [header::RATE_LIMIT, header::RATE_LIMIT_POLICY] {
        assert_eq!(reply.head.has(field), reply.status == 429, "{field} belongs to limits: {reply}");
    }
    if method == "HEAD" {
        return;
    }
    let body: ErrorBody = serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply}"));
    assert_eq!(body.status, reply.status, "the body repeats the status: {reply}");
    assert!(!body.title.is_empty() && !body.detail.is_empty(), "title and detail say something: {reply}");
    let for_sdks = body.error.as_ref().map(|error| (&error.message, error.kind.as_str(), error.code, &error.param));
    assert_eq!(for_sdks, Some((&body.detail, "proxq_error", body.code, &None)), "the same for SDKs: {reply}");
    for internal in [".rs:", "panicked", "stack backtrace", "{ ", "Os {", "Some("] {
        assert!(!body.detail.contains(internal), "the detail shows the inside ({internal:?}): {reply}");
    }
}
