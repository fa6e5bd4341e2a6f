//! The requests that are measured, as bytes.

use std::fmt::Display;

use crate::BODY_BYTES;

/// The header lines with which a request bypasses the queue, that of proxq and one that older servers know.
pub(crate) const DIRECT: &str = "X-Proxq-Mode: direct\r\nAccept: text/event-stream\r\n";

/// A request with a body of [`BODY_BYTES`], and with these further header lines.
pub(crate) fn post(path: &str, headers: &str) -> Vec<u8> {
    [&post_head(path, headers, BODY_BYTES)[..], &[b'x'; BODY_BYTES]].concat()
}

/// The head of a request with these further header lines, whose body of so many bytes is sent after it.
pub(crate) fn post_head(path: &str, headers: &str, body_bytes: impl Display) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: proxq\r\n{headers}Content-Length: {body_bytes}\r\n\r\n").into_bytes()
}

/// A request without a body, and with these further header lines.
pub(crate) fn get(path: &str, headers: &str) -> Vec<u8> {
    without_body("GET", path, headers)
}

/// The request that deletes what it names.
pub(crate) fn delete(path: &str) -> Vec<u8> {
    without_body("DELETE", path, "")
}

fn without_body(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: proxq\r\n{headers}\r\n").into_bytes()
}

/// The id of the job in the body of a `202`.
pub(crate) fn job_id(accepted: &[u8]) -> Option<&str> {
    let (_, rest) = str::from_utf8(accepted).ok()?.split_once("\"jobId\"")?;
    rest.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_job_is_found_in_any_layout() {
        for accepted in [r#"{"jobId":"4f"}"#, "{\"status\": \"queued\",\n \"jobId\" : \"4f\"}"] {
            assert_eq!(job_id(accepted.as_bytes()), Some("4f"), "{accepted}");
        }
        assert_eq!(job_id(b"{}"), None);
    }
}
