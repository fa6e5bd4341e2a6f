//! Whether a request is queued, or goes direct and why. A pure decision on the request head.

pub(crate) mod peek;

use http::Method;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;

use self::peek::Wanted;
use crate::config::{AnswerMode, StreamDetection, Upstream};
use crate::forward::headers::BodyLength;
use crate::list_items::list_items;
use crate::path;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// As a job.
    Enqueue {
        /// The length of its body, in bytes.
        length: u64,
        /// What its body is searched for first.
        check: BodyCheck,
    },
    /// Straight through.
    Direct(Bypass),
}

/// What a request's body is searched for before the request is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCheck {
    /// Nothing: the body is not read.
    None,
    /// A wish for a stream. If the body does not ask for one, the request is queued.
    DirectIfStream,
    /// A wish for no stream, on a path whose responses are streams. If the body does not refuse one, the request goes
    /// direct.
    DirectUnlessWhole,
}

impl BodyCheck {
    /// Whether a request whose body asks for this goes direct.
    pub(crate) fn goes_direct(self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::Stream => self != Self::None,
            Wanted::Whole => false,
            Wanted::Unsaid => self == Self::DirectUnlessWhole,
        }
    }
}

/// Why a request does not queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// It asks for a WebSocket.
    WebSocket,
    /// The upstream's `pathFilter` says so.
    PathFilter,
    /// Its length is not known in advance.
    UnknownLength,
    /// It is longer than the upstream's `directProxyThreshold`.
    LargeBody,
    /// It is a browser's preflight request (CORS).
    Preflight,
    /// Its client wants a stream.
    Streaming,
    /// Its client asks for it (`X-Proxq-Mode`).
    Mode,
}

/// What a client asks for by `X-Proxq-Mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To bypass the queue.
    Direct,
    /// To be queued although it may look like a stream, and to be answered in this way.
    Queue(AnswerMode),
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
            Self::Mode => "mode",
        }
    }
}

/// Whether a request that bypasses the queue can be redirected to its upstream. Preflights and streams are passed on
/// instead, whatever else keeps them out of the queue.
pub(crate) fn may_redirect(bypass: Bypass, head: &Parts, mode: Option<Mode>, upstream: &Upstream) -> bool {
    match bypass {
        Bypass::PathFilter | Bypass::UnknownLength | Bypass::LargeBody => {
            let streams = asks_for_stream(head, upstream.stream_detection) || path_streams(head, upstream);
            !(is_preflight(head) || mode.is_none() && streams)
        }
        Bypass::WebSocket | Bypass::Preflight | Bypass::Streaming | Bypass::Mode => false,
    }
}

/// Decides how a request travels to its upstream. The first reason to bypass the queue wins.
pub(crate) fn admit(head: &Parts, length: BodyLength, mode: Option<Mode>, upstream: &Upstream) -> Admission {
    let over = |threshold| matches!(length, BodyLength::Known(length) if length > threshold);
    let reason = if is_websocket(&head.headers) {
        Bypass::WebSocket
    } else if upstream.path_filter.bypasses(head.uri.path()) {
        Bypass::PathFilter
    } else if length == BodyLength::Unknown {
        Bypass::UnknownLength
    } else if upstream.direct_proxy_threshold.is_some_and(over) {
        Bypass::LargeBody
    } else if is_preflight(head) {
        Bypass::Preflight
    } else if mode == Some(Mode::Direct) {
        Bypass::Mode
    } else if mode.is_none() && asks_for_stream(head, upstream.stream_detection) {
        Bypass::Streaming
    } else {
        let check = match upstream.stream_detection {
            StreamDetection::Full if mode.is_some() => BodyCheck::None,
            StreamDetection::Full if path_streams(head, upstream) => BodyCheck::DirectUnlessWhole,
            StreamDetection::Full => BodyCheck::DirectIfStream,
            StreamDetection::HeadersOnly => BodyCheck::None,
        };
        return Admission::Enqueue { length: content_length(&head.headers), check };
    };
    Admission::Direct(reason)
}

/// Whether a request opens a WebSocket (RFC 6455 §4.1). `Connection` is read as a list.
fn is_websocket(headers: &HeaderMap) -> bool {
    let names = |name: HeaderName, token: &[u8]| list_items(headers, &name).any(|i| i.eq_ignore_ascii_case(token));
    names(header::CONNECTION, b"upgrade") && names(header::UPGRADE, b"websocket")
}

/// The length of the body that follows a request head. `ended` says that nothing follows.
///
/// An HTTP/1 request with neither length nor coding ends with its head (RFC 9112 §6.3); HTTP/2 marks the end itself.
pub(crate) fn body_length(head: &Parts, ended: bool) -> BodyLength {
    let told = head.headers.contains_key(header::CONTENT_LENGTH);
    if head.headers.contains_key(header::TRANSFER_ENCODING) || (!ended && !told) {
        return BodyLength::Unknown;
    }
    BodyLength::Known(content_length(&head.headers))
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

/// `stream=true`, or Google's `alt=sse`.
fn query_asks_for_stream(query: &str) -> bool {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (path::decode(name), path::decode(value)))
        .any(|(name, value)| matches!((&*name, &*value), (b"stream", b"true") | (b"alt", b"sse")))
}

/// Whether the responses of this path are streams (`streamPaths`).
fn path_streams(head: &Parts, upstream: &Upstream) -> bool {
    let asked = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    upstream.stream_detection == StreamDetection::Full && upstream.stream_paths.match_path(&path::decode(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FilterMode, PathFilter, Patterns, Prefix, UpstreamUrl};

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

    fn decided_for(head: &Parts, mode: Option<Mode>, upstream: &Upstream) -> Admission {
        admit(head, body_length(head, true), mode, upstream)
    }

    fn decided(method: &str, target: &str, fields: &[(&str, &str)]) -> Admission {
        decided_for(&head(method, target, fields), None, &upstream())
    }

    const fn queued(length: u64) -> Admission {
        Admission::Enqueue { length, check: BodyCheck::DirectIfStream }
    }

    #[test]
    fn an_ordinary_request_is_queued_with_its_length() {
        assert_eq!(decided("GET", "/x", &[]), queued(0));
        assert_eq!(decided("POST", "/x", &[("content-length", "12")]), queued(12));
        assert_eq!(decided("OPTIONS", "/x", &[]), queued(0));
        assert_eq!(decided("GET", "/x?stream=false&xstream=true", &[]), queued(0));
        let not_quite = [("connection", "keep-alive"), ("upgrade", "websocket")];
        assert_eq!(decided("GET", "/x", &not_quite), queued(0));
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
        assert_eq!(decided("POST", "/x:generate?key=k&alt=ss%65", &[]), Admission::Direct(Bypass::Streaming));
    }

    fn with_stream_paths(patterns: &[&str]) -> Upstream {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let stream_paths = Patterns::new(&patterns).unwrap();
        Upstream { stream_paths, ..upstream() }
    }

    #[test]
    fn a_path_may_say_that_its_responses_are_streams_unless_the_body_says_otherwise() {
        let own = with_stream_paths(&[":streamGenerateContent", r"-stream(\?|$)", "^/api/chat$", r"\?beta=s"]);
        let check = |target, own: &Upstream| match decided_for(&head("POST", target, &[]), None, own) {
            Admission::Enqueue { check, .. } => check,
            Admission::Direct(bypass) => panic!("{target} goes direct: {bypass:?}"),
        };
        for target in [
            "/v1beta/models/gemini:streamGenerateContent?key=k",
            "/v1beta/models/gemini%3AstreamGenerateContent",
            "/model/m/converse-stream",
            "/model/m/converse-stream?x",
            "http://proxy/api/chat",
            "/x?beta=s",
        ] {
            assert_eq!(check(target, &own), BodyCheck::DirectUnlessWhole, "{target}");
        }
        for target in ["/model/m/converse-streams", "/api/chat?x", "/beta=s", "/"] {
            assert_eq!(check(target, &own), BodyCheck::DirectIfStream, "{target}");
        }
        let headers_only = Upstream { stream_detection: StreamDetection::HeadersOnly, ..own.clone() };
        assert_eq!(check("/api/chat", &headers_only), BodyCheck::None);
        let chosen = head("POST", "/api/chat", &[]);
        let queued = Admission::Enqueue { length: 0, check: BodyCheck::None };
        assert_eq!(decided_for(&chosen, Some(Mode::Queue(AnswerMode::Queue)), &own), queued);
        let wanted = [Wanted::Stream, Wanted::Whole, Wanted::Unsaid];
        assert_eq!(wanted.map(|wanted| BodyCheck::DirectUnlessWhole.goes_direct(wanted)), [true, false, true]);
        assert_eq!(wanted.map(|wanted| BodyCheck::DirectIfStream.goes_direct(wanted)), [true, false, false]);
        assert_eq!(wanted.map(|wanted| BodyCheck::None.goes_direct(wanted)), [false, false, false]);
    }

    #[test]
    fn the_first_reason_wins_and_a_threshold_can_be_switched_off() {
        let mut own = upstream();
        own.path_filter = PathFilter::new(FilterMode::Blacklist, Patterns::new(&["^/health".to_owned()]).unwrap());
        own.direct_proxy_threshold = None;
        own.stream_detection = StreamDetection::HeadersOnly;
        let chunked = head("POST", "/health", &[("transfer-encoding", "chunked")]);
        assert_eq!(decided_for(&chunked, None, &own), Admission::Direct(Bypass::PathFilter));
        let large = head("POST", "/x?stream=true", &[("content-length", "99999999")]);
        let queued = Admission::Enqueue { length: 99_999_999, check: BodyCheck::None };
        assert_eq!(decided_for(&large, None, &own), queued);
    }

    #[test]
    fn the_mode_decides_except_for_what_cannot_be_queued() {
        let plain = head("POST", "/", &[("content-length", "1")]);
        assert_eq!(decided_for(&plain, Some(Mode::Direct), &upstream()), Admission::Direct(Bypass::Mode));
        let events = head("GET", "/?stream=true", &[("accept", "text/event-stream")]);
        let queued = Admission::Enqueue { length: 0, check: BodyCheck::None };
        assert_eq!(decided_for(&events, Some(Mode::Queue(AnswerMode::Queue)), &upstream()), queued);
        let chunked = head("POST", "/", &[("transfer-encoding", "chunked")]);
        let unknown = Admission::Direct(Bypass::UnknownLength);
        assert_eq!(decided_for(&chunked, Some(Mode::Queue(AnswerMode::Queue)), &upstream()), unknown);
        assert_eq!(decided_for(&chunked, Some(Mode::Direct), &upstream()), unknown, "the first reason wins");
    }

    #[test]
    fn a_body_that_may_go_on_for_ever_has_no_length() {
        let length = |fields, ended| body_length(&head("POST", "/", fields), ended);
        assert_eq!(length(&[], true), BodyLength::Known(0));
        assert_eq!(length(&[], false), BodyLength::Unknown, "HTTP/2 without content-length");
        assert_eq!(length(&[("content-length", "7")], false), BodyLength::Known(7));
        assert_eq!(length(&[("content-length", "7"), ("transfer-encoding", "chunked")], false), BodyLength::Unknown);
    }

    #[test]
    fn only_what_its_client_can_send_elsewhere_is_redirected() {
        let all = [
            Bypass::WebSocket,
            Bypass::PathFilter,
            Bypass::UnknownLength,
            Bypass::LargeBody,
            Bypass::Preflight,
            Bypass::Streaming,
            Bypass::Mode,
        ];
        let redirected = |head: &Parts, mode| {
            let own = with_stream_paths(&["^/streams$"]);
            let may = |bypass: &Bypass| may_redirect(*bypass, head, mode, &own);
            all.into_iter().filter(may).collect::<Vec<_>>()
        };
        let redirectable = [Bypass::PathFilter, Bypass::UnknownLength, Bypass::LargeBody];
        assert_eq!(redirected(&head("GET", "/", &[]), None), redirectable);
        assert_eq!(redirected(&head("GET", "/", &[]), Some(Mode::Direct)), redirectable);
        let preflight = head("OPTIONS", "/", &[("access-control-request-method", "PUT")]);
        let stream = head("GET", "/", &[("accept", "text/event-stream")]);
        assert_eq!(redirected(&preflight, None), []);
        assert_eq!(redirected(&stream, None), []);
        assert_eq!(redirected(&head("POST", "/streams", &[]), None), []);
        assert_eq!(
            redirected(&stream, Some(Mode::Queue(AnswerMode::Queue))),
            redirectable,
            "its client says that it is none"
        );
    }
}
