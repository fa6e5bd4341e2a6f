//! Whether a request is queued, or goes direct and why. A pure decision on the request head.

use http::Method;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;

use crate::config::{StreamDetection, Upstream};
use crate::forward::headers::list_items;
use crate::path;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// As a job. Carries the length of its body in bytes.
    Enqueue {
        /// From `Content-Length`; 0 where there is no body.
        length: u64,
    },
    /// Straight through.
    Direct(Bypass),
}

/// Why a request does not queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// It asks for a WebSocket.
    WebSocket,
    /// The upstream's `pathFilter` says so.
    PathFilter,
    /// Its length is not known beforehand.
    UnknownLength,
    /// It is longer than the upstream's `directProxyThreshold`.
    LargeBody,
    /// A browser asks whether it may ask (CORS).
    Preflight,
    /// Its client wants a stream.
    Streaming,
}

impl Bypass {
    /// For logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::PathFilter => "path_filter",
            Self::UnknownLength => "unknown_length",
            Self::LargeBody => "large_body",
            Self::Preflight => "cors_preflight",
            Self::Streaming => "streaming",
        }
    }
}

/// Decides how a request travels to its upstream. The first reason to bypass the queue wins.
pub(crate) fn admit(head: &Parts, upstream: &Upstream) -> Admission {
    let length = content_length(&head.headers);
    let reason = if is_websocket(&head.headers) {
        Bypass::WebSocket
    } else if upstream.path_filter.bypasses(head.uri.path()) {
        Bypass::PathFilter
    } else if has_unknown_length(head) {
        Bypass::UnknownLength
    } else if upstream.direct_proxy_threshold.is_some_and(|threshold| length > threshold) {
        Bypass::LargeBody
    } else if is_preflight(head) {
        Bypass::Preflight
    } else if asks_for_stream(head, upstream.stream_detection) {
        Bypass::Streaming
    } else {
        return Admission::Enqueue { length };
    };
    Admission::Direct(reason)
}

/// RFC 6455 §4.1, with `Connection` as the list that it is.
fn is_websocket(headers: &HeaderMap) -> bool {
    let names = |name: HeaderName, token: &[u8]| list_items(headers, &name).any(|i| i.eq_ignore_ascii_case(token));
    names(header::CONNECTION, b"upgrade") && names(header::UPGRADE, b"websocket")
}

/// The end of an HTTP/1 request with neither length nor encoding is the end of its head (RFC 9112 §6.3).
fn has_unknown_length(head: &Parts) -> bool {
    head.headers.contains_key(header::TRANSFER_ENCODING)
}

fn content_length(headers: &HeaderMap) -> u64 {
    let value = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    value.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
}

fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn asks_for_stream(head: &Parts, detection: StreamDetection) -> bool {
    let by_header = list_items(&head.headers, &header::ACCEPT).any(|range| {
        let media_type = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        media_type.eq_ignore_ascii_case(b"text/event-stream")
    });
    by_header
        || match detection {
            StreamDetection::Full => head.uri.query().is_some_and(query_asks_for_stream),
            StreamDetection::HeadersOnly => false,
        }
}

fn query_asks_for_stream(query: &str) -> bool {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .any(|(name, value)| *path::decode(name) == *b"stream" && *path::decode(value) == *b"true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FilterMode, PathFilter, Prefix, UpstreamUrl};

    fn upstream() -> Upstream {
        Upstream::new(Prefix::new("/").unwrap(), UpstreamUrl::new("http://upstream").unwrap())
    }

    fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn decided(method: &str, target: &str, fields: &[(&str, &str)]) -> Admission {
        admit(&head(method, target, fields), &upstream())
    }

    #[test]
    fn an_ordinary_request_is_queued_with_its_length() {
        assert_eq!(decided("GET", "/x", &[]), Admission::Enqueue { length: 0 });
        assert_eq!(decided("POST", "/x", &[("content-length", "12")]), Admission::Enqueue { length: 12 });
        assert_eq!(decided("OPTIONS", "/x", &[]), Admission::Enqueue { length: 0 });
        assert_eq!(decided("GET", "/x?stream=false&xstream=true", &[]), Admission::Enqueue { length: 0 });
        let not_quite = [("connection", "keep-alive"), ("upgrade", "websocket")];
        assert_eq!(decided("GET", "/x", &not_quite), Admission::Enqueue { length: 0 });
    }

    #[test]
    fn each_reason_to_bypass_is_told() {
        let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert_eq!(decided("GET", "/", &websocket), Admission::Direct(Bypass::WebSocket));
        let chunked = [("transfer-encoding", "chunked")];
        assert_eq!(decided("POST", "/", &chunked), Admission::Direct(Bypass::UnknownLength));
        let large = [("content-length", "10485761")];
        assert_eq!(decided("POST", "/", &large), Admission::Direct(Bypass::LargeBody));
        let preflight = [("access-control-request-method", "PUT")];
        assert_eq!(decided("OPTIONS", "/", &preflight), Admission::Direct(Bypass::Preflight));
        let events = [("accept", "application/json, Text/Event-Stream;q=0.9")];
        assert_eq!(decided("GET", "/", &events), Admission::Direct(Bypass::Streaming));
        assert_eq!(decided("GET", "/x?a=b&stre%61m=true", &[]), Admission::Direct(Bypass::Streaming));
    }

    #[test]
    fn the_first_reason_wins_and_a_threshold_can_be_switched_off() {
        let mut own = upstream();
        own.path_filter = PathFilter::new(FilterMode::Blacklist, &["^/health".to_owned()]).unwrap();
        own.direct_proxy_threshold = None;
        own.stream_detection = StreamDetection::HeadersOnly;
        let chunked = head("POST", "/health", &[("transfer-encoding", "chunked")]);
        assert_eq!(admit(&chunked, &own), Admission::Direct(Bypass::PathFilter));
        let large = head("POST", "/x?stream=true", &[("content-length", "99999999")]);
        assert_eq!(admit(&large, &own), Admission::Enqueue { length: 99_999_999 });
    }
}
