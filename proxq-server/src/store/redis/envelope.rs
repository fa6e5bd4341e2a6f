//! The JSON that Go's proxq keeps in asynq's payload and result: what its workers and front ends read of our jobs, what we
//! read of theirs, and where the small bodies of ours are.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::job::{JobRequest, ResponseHead};
use crate::spelling::canonical;

/// The type of the jobs that a worker of Go's proxq can do.
pub(super) const REQUEST: &str = "proxy:request";
/// The type of those that it could not do right, and refuses.
pub(super) const BEYOND_GO: &str = "proxq:2";

/// Each header's name, as Go spells it, with its values.
type Headers = BTreeMap<String, Vec<String>>;

/// A payload.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TaskEnvelope {
    pub(super) request: RequestEnvelope,
    /// In nanoseconds.
    #[serde(rename = "retryDelay", skip_serializing_if = "is_zero")]
    pub(super) retry_delay: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The request in a payload.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RequestEnvelope {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub(super) headers: Headers,
    /// In Base64.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub(super) body: String,
    #[serde(rename = "clientIp", skip_serializing_if = "String::is_empty")]
    pub(super) client_ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) proto: String,
}

/// A result.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ResultEnvelope {
    #[serde(rename = "statusCode")]
    pub(super) status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub(super) headers: Headers,
    /// In Base64.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub(super) body: String,
}

/// Go writes `null` for a slice or a map that was never made.
fn null_as_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

impl TaskEnvelope {
    /// Reads a payload; `None` if it is none.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The payload.
    pub(super) fn write(&self) -> Vec<u8> {
        written(self, &self.request.body)
    }
}

/// An envelope as JSON.
fn written(envelope: &impl Serialize, body: &str) -> Vec<u8> {
    /// Room for what stands beside the body as a rule, so that the text is not moved while it grows.
    const HEAD_BYTES: usize = 1024;
    let mut json = Vec::with_capacity(body.len() + HEAD_BYTES);
    serde_json::to_writer(&mut json, envelope).expect("texts and numbers can always be written");
    json
}

/// Only the body, wherever it stands.
#[derive(Deserialize)]
struct OnlyBody<'a> {
    #[serde(borrow, default)]
    request: Option<Body<'a>>,
    #[serde(borrow, default)]
    body: Option<&'a str>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    body: Option<&'a str>,
}

/// The body in a payload or a result of ours; `None` if there cannot be one.
pub(super) fn body_in(json: &[u8]) -> Option<Vec<u8>> {
    let only: OnlyBody<'_> = serde_json::from_slice(json).ok()?;
    let body = only.request.and_then(|request| request.body).or(only.body);
    BASE64.decode(body.unwrap_or_default()).ok()
}

/// The body of an envelope.
pub(super) fn decoded(body: &str) -> Option<Bytes> {
    BASE64.decode(body).ok().map(Bytes::from)
}

/// A payload as Go's proxq would have written it for this request; `None` if its worker could not do it right.
pub(super) fn payload(request: &JobRequest, body: &[u8]) -> Option<Vec<u8>> {
    // Its worker always sends the upstream's own `Host`.
    if request.headers.contains_key(header::HOST) {
        return None;
    }
    let mut headers = Headers::new();
    for (name, value) in request.headers.iter().chain(&request.added_headers) {
        if set_by_go(name) {
            continue;
        }
        headers.entry(canonical(name)).or_default().push(value.to_str().ok()?.to_owned());
    }
    let envelope = TaskEnvelope {
        request: RequestEnvelope {
            method: request.method.to_string(),
            url: request.target.to_string(),
            headers,
            body: BASE64.encode(body),
            client_ip: request.client.to_string(),
            proto: forwarded_proto(request),
        },
        retry_delay: 0,
    };
    Some(envelope.write())
}

/// What Go's worker sets itself, from `clientIp` and `proto`.
fn set_by_go(name: &HeaderName) -> bool {
    ["x-forwarded-for", "x-real-ip", "x-forwarded-proto"].contains(&name.as_str())
}

fn forwarded_proto(request: &JobRequest) -> String {
    let proto = request.added_headers.get("x-forwarded-proto").or_else(|| request.headers.get("x-forwarded-proto"));
    proto.and_then(|proto| proto.to_str().ok()).unwrap_or("http").to_owned()
}

/// A result as Go's proxq would have written it. Header values that are not UTF-8 are replaced, as there; ours are beside
/// it, as they were.
pub(super) fn result(head: &ResponseHead, body: &[u8]) -> Vec<u8> {
    let mut headers = Headers::new();
    for (name, value) in &head.headers {
        headers.entry(canonical(name)).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let envelope = ResultEnvelope { status: head.status.as_u16(), headers, body: BASE64.encode(body) };
    written(&envelope, &envelope.body)
}

/// The response in a result that somebody else wrote, hop-by-hop fields and all.
pub(super) fn read_result(json: &[u8]) -> Option<(ResponseHead, Bytes)> {
    let envelope: ResultEnvelope = serde_json::from_slice(json).ok()?;
    let status = StatusCode::from_u16(envelope.status).ok()?;
    let head = ResponseHead { status, reason: None, headers: header_map(&envelope.headers)? };
    Some((head, decoded(&envelope.body)?))
}

/// The headers of an envelope; `None` if HTTP would not carry them.
pub(super) fn header_map(headers: &Headers) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, values) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        for value in values {
            map.try_append(name.clone(), HeaderValue::from_str(value).ok()?).ok()?;
        }
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobRequest;

    #[test]
    fn a_payload_has_the_bytes_that_go_writes() {
        let mut request = JobRequest {
            target: "http://llm.internal:3000/v1/run?x=1".parse().unwrap(),
            client: [203, 0, 113, 7].into(),
            ..JobRequest::sample()
        };
        for (name, value) in
            [("accept", "*/*"), ("content-length", "13"), ("content-type", "application/json"), ("x-tag", "a")]
        {
            request.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        request.headers.append("x-tag", HeaderValue::from_static("b"));
        request.added_headers.append("x-forwarded-proto", HeaderValue::from_static("https"));
        request.added_headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.7"));
        let payload = payload(&request, br#"{"hello":"o"}"#).unwrap();
        let written = r#"{"request":{"method":"POST","url":"http://llm.internal:3000/v1/run?x=1","headers":{"Accept":["*/*"],"Content-Length":["13"],"Content-Type":["application/json"],"X-Tag":["a","b"]},"body":"eyJoZWxsbyI6Im8ifQ==","clientIp":"203.0.113.7","proto":"https"}}"#;
        assert_eq!(String::from_utf8(payload.clone()).unwrap(), written);
        assert_eq!(body_in(&payload).unwrap(), br#"{"hello":"o"}"#);
    }

    #[test]
    fn a_result_has_the_bytes_that_go_writes() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        headers.append("x-cache-status", HeaderValue::from_static("MISS"));
        let head = ResponseHead { status: StatusCode::OK, reason: None, headers };
        let json = result(&head, b"hi");
        let written =
            r#"{"statusCode":200,"headers":{"Content-Type":["text/plain"],"X-Cache-Status":["MISS"]},"body":"aGk="}"#;
        assert_eq!(String::from_utf8(json.clone()).unwrap(), written);
        assert_eq!(read_result(&json).unwrap(), (head, Bytes::from("hi")));
        assert_eq!(body_in(&json).unwrap(), b"hi");
    }

    #[test]
    fn what_go_leaves_out_or_writes_as_null_reads_as_nothing() {
        let (head, body) = read_result(br#"{"statusCode":204,"headers":null,"unheardOf":1}"#).unwrap();
        assert_eq!((head.status.as_u16(), head.headers.len(), body.len()), (204, 0, 0));
        let envelope: TaskEnvelope = serde_json::from_str(r#"{"request":{"method":"GET","url":"http://a/"}}"#).unwrap();
        assert_eq!((envelope.request.body.as_str(), envelope.retry_delay), ("", 0));
    }

    #[test]
    fn what_a_go_worker_would_change_is_not_for_it() {
        let mut latin = JobRequest::sample();
        latin.headers.insert("x-name", HeaderValue::from_bytes(b"Ren\xe9").unwrap());
        assert!(payload(&latin, b"").is_none());
        let mut host = JobRequest::sample();
        host.headers.insert("host", HeaderValue::from_static("client.example"));
        assert!(payload(&host, b"").is_none());
        assert!(payload(&JobRequest::sample(), b"").is_some());
    }
}
