//! What an upstream sees of a call, without what may differ between two equal calls.

use harness::Received;

/// Headers that a caller chooses, or an SDK for its caller.
const COMPARED: [&str; 8] = [
    "accept",
    "anthropic-version",
    "authorization",
    "content-type",
    "user-agent",
    "x-api-key",
    "x-stainless-retry-count",
    "x-stainless-lang",
];

/// A request, to be compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    line: (String, String),
    headers: Vec<(&'static str, Vec<String>)>,
    /// The pieces between the boundaries of a form, or the whole.
    body: Vec<Vec<u8>>,
    complete: bool,
}

impl Seen {
    pub(super) fn of(request: &Received) -> Self {
        let content_type = request.header("content-type").unwrap_or_default();
        // Clients choose it anew for each request.
        let boundary = content_type.split_once("boundary=").map(|(_, boundary)| boundary.to_owned());
        let values = |name| match (name, &boundary) {
            ("content-type", Some(boundary)) => vec![content_type.replace(boundary, "")],
            _ => request.headers(name),
        };
        Self {
            line: (request.method().to_owned(), request.target().to_owned()),
            headers: COMPARED.map(|name| (name, values(name))).into(),
            body: boundary
                .map_or_else(|| vec![request.body.clone()], |boundary| split(&request.body, boundary.as_bytes())),
            complete: request.complete,
        }
    }
}

fn split(body: &[u8], boundary: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.windows(boundary.len()).position(|part| part == boundary) {
        pieces.push(rest[..at].to_vec());
        rest = &rest[at + boundary.len()..];
    }
    pieces.push(rest.to_vec());
    pieces
}
