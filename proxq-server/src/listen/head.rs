//! The head of a request as its connection gives it: what is wrong with it that the HTTP library lets pass, and its id.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use proxq_protocol::header as proxq;

use super::host;
use crate::list_items::list_items;
use crate::path;
use crate::reply::Problem;

/// The longest id that a client may give its request: a UUID or the id of a trace, with room for a name before it.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// Refuses a head that some server would read differently. Leaves the host that the request is for in `Host`.
pub(super) fn check(head: &mut Parts) -> Result<(), Problem> {
    host::normalize(head)?;
    check_framing_and_target(head)?;
    path::check(head.uri.path()).map_err(Problem::bad_path)
}

/// The request's id: the client's own, or a fresh one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    sent_request_id(headers).cloned().unwrap_or_else(fresh_request_id)
}

fn check_framing_and_target(head: &Parts) -> Result<(), Problem> {
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

/// The request's id as its client chose it (the first, of several). `None` if it is missing or not valid: it stands in
/// log lines and in headers.
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
