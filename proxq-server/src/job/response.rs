//! The response of an upstream.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use hyper::ext::ReasonPhrase;

use super::Body;

/// Status and header fields of an upstream's response, hop-by-hop fields and proxq's own removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, known or not.
    pub status: StatusCode,
    /// The reason phrase, if it is not the code's usual one. HTTP/2 has none.
    pub reason: Option<ReasonPhrase>,
    /// The header fields, repetitions included, in order within a name.
    pub headers: HeaderMap,
}

impl ResponseHead {
    /// Whether clients follow it to elsewhere (RFC 9110 §15.4).
    pub(crate) fn is_redirect(&self) -> bool {
        let follow = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        follow.contains(&self.status) && self.headers.contains_key(LOCATION)
    }
}

/// A complete response of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// Status and headers.
    pub head: ResponseHead,
    /// The bytes of the body, as received.
    pub body: Body,
}

/// Whether a response with this status has no body, whatever length its fields promise (RFC 9112 §6.3).
#[must_use]
pub fn ends_with_head(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
