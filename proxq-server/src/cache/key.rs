//! The key of a request in the cache: two requests are the same if their keys are. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use http::HeaderName;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, VIA};
use sha2::{Digest, Sha256};

use crate::config::KeyExclusions;
use crate::forward::forwarded::told_by_client;
use crate::forward::target;
use crate::job::JobRequest;
use crate::multipart::without_boundary;
use crate::spelling::hex;

/// The hash that stands for a request in the cache. Shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// They describe one transmission of a request, or its way here, never what is asked for. The length of a body follows
/// from the body, apart from the length of a boundary.
const NEVER_COUNT: [HeaderName; 6] = [
    CONTENT_LENGTH,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("x-forwarded-prefix"),
];
/// The SDKs of OpenAI and Anthropic describe themselves and count their retries in headers with this prefix.
const SDK_PREFIX: &str = "x-stainless-";
/// proxq adds to these (the connection's address and scheme, a generated id). Only what the client sent counts.
const TOLD_BY_PROXQ: [HeaderName; 3] =
    [HeaderName::from_static("x-request-id"), HeaderName::from_static("x-real-ip"), VIA];

/// The key of a request with this digest of its body: the SHA-256 of its [`encoding`].
pub(crate) fn key(request: &JobRequest, body_digest: &[u8; 32], exclusions: &KeyExclusions) -> Key {
    Key(Sha256::digest(encoding(request, body_digest, exclusions)).into())
}

/// Whether two requests with the same key have the same values of a header, as their upstream gets them.
pub(super) fn holds(name: &HeaderName, exclusions: &KeyExclusions) -> bool {
    let text = name.as_str();
    let told_by_proxq = TOLD_BY_PROXQ.contains(name)
        || text.starts_with("x-forwarded-") && text != "x-forwarded-host"
        || text.starts_with(proxq_protocol::header::PREFIX);
    counts(name, exclusions) && !told_by_proxq
}

fn counts(name: &HeaderName, exclusions: &KeyExclusions) -> bool {
    !NEVER_COUNT.contains(name) && !name.as_str().starts_with(SDK_PREFIX) && !exclusions.contains(name)
}

/// Everything that counts, each part prefixed with its length, so that different requests never have the same bytes.
///
/// Instances of other versions look under the same keys: a change here needs a new version in the keys' names.
/// The excluded names are included: a response kept while `Authorization` was excluded is not found once it counts.
fn encoding(request: &JobRequest, body_digest: &[u8; 32], exclusions: &KeyExclusions) -> Vec<u8> {
    let told = told_by_client(&request.added_headers);
    let own_host = target::own_host(&request.target).filter(|_| !request.headers.contains_key(HOST));
    let own_host = own_host.map(|host| HeaderMap::from_iter([(HOST, host)])).unwrap_or_default();
    // Names are sorted; the values of one name keep their order.
    let mut fields: BTreeMap<&str, Vec<Cow<'_, [u8]>>> = BTreeMap::new();
    for (name, value) in request.headers.iter().chain(&told).chain(&own_host) {
        if counts(name, exclusions) {
            let is_type = name == CONTENT_TYPE;
            let value = if is_type { without_boundary(value.as_bytes()) } else { value.as_bytes().into() };
            fields.entry(name.as_str()).or_default().push(value);
        }
    }
    let mut bytes = Vec::new();
    append(&mut bytes, request.method.as_str().as_bytes());
    append(&mut bytes, request.target.to_string().as_bytes());
    append_count(&mut bytes, exclusions.patterns().len());
    for pattern in exclusions.patterns() {
        append(&mut bytes, pattern.to_string().as_bytes());
    }
    append_count(&mut bytes, fields.len());
    for (name, values) in fields {
        append(&mut bytes, name.as_bytes());
        append_count(&mut bytes, values.len());
        for value in values {
            append(&mut bytes, &value);
        }
    }
    bytes.extend_from_slice(body_digest);
    bytes
}

fn append(bytes: &mut Vec<u8>, part: &[u8]) {
    append_count(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn append_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&(count as u64).to_le_bytes());
}

#[cfg(test)]
mod tests;
