//! The responses that proxq itself makes, each with its source stamp. The errors among them are in [`problem`].

pub(crate) mod body;
mod problem;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, Response, StatusCode, Uri};
use proxq_protocol::header as proxq;
use proxq_protocol::{Accepted, Cancelled, JobId, JobInfo};
pub(crate) use serde::Serialize as Json; // what can be answered as JSON
use serde_json::json;

use self::body::Body;
pub(crate) use self::problem::{LimitName, Problem};

/// `Retry-After` on a `202`, in seconds: pollers that obey it ask once a second. Those that wait (`?wait`) need no pause.
const POLL_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The media type of Server-Sent Events (WHATWG HTML §9.2).
const EVENT_STREAM: &str = "text/event-stream";
/// Tells an nginx in front to pass on every piece at once. By default it buffers.
const UNBUFFERED: HeaderValue = HeaderValue::from_static("no");

/// The `202` to a submission, with the URL of its result if the client asked for that.
pub(crate) fn accepted(jobs_path: &str, id: JobId, result_url: Option<String>) -> Response<Body> {
    let location = HeaderValue::try_from(format!("{jobs_path}/{id}")).expect("a path and a UUID are visible ASCII");
    asked_again_at(Some(location), id, accepted_json(id, result_url))
}

fn accepted_json(id: JobId, result_url: Option<String>) -> Vec<u8> {
    json_bytes(&Accepted::new(id).with_result_url(result_url))
}

/// Tells the client of an answer that comes before its job's end where the result will be.
pub(crate) fn mark_result_url(answer: &mut Response<Body>, url: &str) {
    let url = HeaderValue::from_str(url).expect("a path, digits and base64 are visible ASCII");
    answer.headers_mut().insert(proxq::RESULT_URL, url);
}

/// Sends a follower on to where the response will be, with a `GET` (RFC 9110 §15.4.4).
pub(crate) fn follow(location: HeaderValue, id: JobId) -> Response<Body> {
    let mut response = stamped(StatusCode::SEE_OTHER, Vec::new());
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(proxq::JOB_ID, job_id_value(id));
    response
}

/// The `202` to a submission with the preference `respond-async` (RFC 7240 §4.1). `monitor` is where the response will be.
pub(crate) fn accepted_async(monitor: HeaderValue, id: JobId, result_url: Option<String>) -> Response<Body> {
    let mut response = asked_again_at(Some(monitor), id, accepted_json(id, result_url));
    response.headers_mut().insert(proxq::PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    response
}

/// What a status monitor says while the job has not ended.
pub(crate) fn pending(info: &JobInfo) -> Response<Body> {
    asked_again_at(None, info.id, json_bytes(info))
}

/// A `202` whose client asks again: at this URL, or where it was asked.
fn asked_again_at(location: Option<HeaderValue>, id: JobId, json: Vec<u8>) -> Response<Body> {
    let mut response = own(StatusCode::ACCEPTED, "application/json", json);
    let headers = response.headers_mut();
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(proxq::JOB_ID, job_id_value(id));
    headers.insert(header::RETRY_AFTER, POLL_AFTER);
    response
}

/// Sends a client to the upstream itself, with the same method and body (RFC 9110 §15.4.8).
pub(crate) fn redirect(target: &Uri) -> Response<Body> {
    let location = HeaderValue::try_from(target.to_string()).expect("a URL is visible ASCII");
    let mut response = stamped(StatusCode::TEMPORARY_REDIRECT, Vec::new());
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// A job's status.
pub(crate) fn status(info: &JobInfo) -> Response<Body> {
    own(StatusCode::OK, "application/json", json_bytes(info))
}

/// Marks the answer to a submission whose job was made by an earlier one.
pub(crate) fn mark_replayed(answer: &mut Response<Body>) {
    answer.headers_mut().insert(proxq::IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
}

/// Marks the answer to a later try of a client with the job of an earlier one.
pub(crate) fn mark_joined(answer: &mut Response<Body>) {
    answer.headers_mut().insert(proxq::JOINED, HeaderValue::from_static(proxq::JOINED_RETRY));
}

/// Marks the upstream's response as the answer to a client that waited for it.
pub(crate) fn mark_held(answer: &mut Response<Body>, id: JobId) {
    let headers = answer.headers_mut();
    headers.insert(proxq::JOB_ID, job_id_value(id));
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case(EVENT_STREAM) {
        headers.entry(proxq::ACCEL_BUFFERING).or_insert(UNBUFFERED);
    }
}

/// Says that the answer was held because its client preferred that, for so many seconds (RFC 7240 §3).
pub(crate) fn mark_preferred_wait(answer: &mut Response<Body>, seconds: u64) {
    let applied = HeaderValue::try_from(format!("wait={seconds}")).expect("digits are visible ASCII");
    answer.headers_mut().append(proxq::PREFERENCE_APPLIED, applied);
}

/// A job's changes as they happen.
pub(crate) fn events(body: Body) -> Response<Body> {
    let mut response = own(StatusCode::OK, EVENT_STREAM, Vec::new());
    response.headers_mut().insert(proxq::ACCEL_BUFFERING, UNBUFFERED);
    *response.body_mut() = body;
    response
}

/// The event that tells a job's status.
pub(crate) fn status_event(info: &JobInfo) -> Bytes {
    [b"event: status\ndata: ", &json_bytes(info)[..], b"\n\n"].concat().into()
}

/// The answer to a cancellation.
pub(crate) fn cancelled() -> Response<Body> {
    own(StatusCode::OK, "application/json", json_bytes(&Cancelled {}))
}

/// Marks the answer to somebody who asks again and again: it is a line of the log for those alone who want all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsProbe;

/// The answer to a probe: `{"status":"…"}`.
pub(crate) fn healthy(status: &str) -> Response<Body> {
    own(StatusCode::OK, "application/json", json_bytes(&json!({ "status": status })))
}

/// An answer to an operator, as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Json) -> Response<Body> {
    own(status, "application/json", json_bytes(value))
}

/// A page for an operator.
pub(crate) fn html(status: StatusCode, page: String) -> Response<Body> {
    own(status, "text/html; charset=utf-8", page.into_bytes())
}

/// A text for an operator, of this type.
pub(crate) fn text(content_type: &'static str, text: String) -> Response<Body> {
    own(StatusCode::OK, content_type, text.into_bytes())
}

/// A file of the dashboard. Its address changes with its content.
pub(crate) fn asset(content_type: &'static str, content: &'static str) -> Response<Body> {
    let mut response = own(StatusCode::OK, content_type, content.as_bytes().to_vec());
    let cached = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, cached);
    response
}

/// A response of proxq's own, with its source stamp.
fn own(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = stamped(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn stamped(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static(proxq::SOURCE), HeaderValue::from_static(proxq::SOURCE_VALUE));
    response
}

/// Whether proxq made this response, rather than an upstream.
pub(crate) fn is_own(response: &Response<Body>) -> bool {
    response.headers().contains_key(proxq::SOURCE)
}

fn job_id_value(id: JobId) -> HeaderValue {
    HeaderValue::try_from(id.to_string()).expect("a UUID is visible ASCII")
}

fn json_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names and texts of proxq's own types are always JSON")
}
