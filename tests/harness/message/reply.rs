//! A response as a client received it, and what tests assert of it.

use super::Head;
use crate::body::Digest;

/// A response as a client received it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The head, byte for byte.
    pub head: Head,
    /// The body, without its transfer coding; for a very large one only its beginning.
    pub body: Vec<u8>,
    /// Length and hash of the whole body.
    pub digest: Digest,
    /// Trailer lines after a chunked body.
    pub trailers: Vec<String>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self}"))
    }

    /// The `code` of an error that proxq made; empty for anything else.
    pub fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The `detail` of an error that proxq made.
    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.value(name)
    }

    /// Asserts that proxq refused with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self}");
    }

    /// Asserts that this is an upstream's response with this status, passed on.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often the assertion is all that is wanted")]
    pub fn from_upstream(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        let stamped = self
            .head
            .names()
            .into_iter()
            .any(|name| name.to_ascii_lowercase().starts_with(proxq_protocol::header::PREFIX));
        assert!(!stamped, "an upstream's response bears nothing of proxq's: {self}");
        self
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = &self.body[..self.body.len().min(2_000)];
        write!(f, "{}{}", String::from_utf8_lossy(self.head.raw()), String::from_utf8_lossy(body))
    }
}
