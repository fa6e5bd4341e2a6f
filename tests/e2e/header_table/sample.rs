//! With which values a row of the table is tried. A header that is not known here fails the test.

use harness::Head;
use proxq_protocol::JobId;

use super::page::{Arrival, Row, State};

/// The idempotency key of a job that was submitted without any secret.
pub(super) const KNOWN_KEY: &str = "known";

/// The tokens of a server with `auth`: the one that all requests show which show none, and another.
pub(super) const TOKEN: &str = "the-token-of-the-bench";
pub(super) const OTHER_TOKEN: &str = "another-token-of-the-bench";

/// Values of one header, in order.
pub(super) type Values = Vec<Vec<u8>>;

/// What is sent with a row's header.
#[derive(Debug)]
pub(super) struct Sample {
    /// Its name as nobody else would spell it.
    pub(super) name: String,
    /// In a request that is queued, in one that goes direct, and in the upstream's answer.
    pub(super) queued: Values,
    pub(super) direct: Values,
    pub(super) answered: Values,
    /// Whether what the row speaks of cannot be had without it: of a request that is queued, of one that goes direct, and of
    /// an answer.
    pub(super) queued_needs_it: bool,
    pub(super) direct_needs_it: bool,
    pub(super) answer_needs_it: bool,
}

/// What only shows that proxq has read a header: where sending it or not makes a difference.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) method: &'static str,
    /// What is sent with it and without it.
    pub(super) beside: Vec<(&'static str, String)>,
    pub(super) values: Values,
    pub(super) body: &'static str,
}

fn values<const N: usize>(texts: [&str; N]) -> Values {
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Several, in an order that sorting would change, one empty, one of bytes that are no text.
fn anything() -> Values {
    vec![b"b".to_vec(), Vec::new(), b"a,  c".to_vec(), b"\xe4\xff".to_vec()]
}

/// The name of which a row speaks, in lower case.
pub(super) fn header_name(row: &Row) -> String {
    match row.name.as_str() {
        "*" if row.state == State::ListedAsSecret => "x-listed".to_owned(),
        "*" if row.state == State::Disguised => "x_forwarded-for".to_owned(),
        "*" if row.state == State::NamedAsSecret => "x-api-token".to_owned(),
        "*" => "x-anything".to_owned(),
        "x-forwarded-*" => "x-forwarded-port".to_owned(),
        "x-proxq-*" => "x-proxq-anything".to_owned(),
        family if family.ends_with("ratelimit-*") => family.replace('*', "remaining"),
        name => name.to_owned(),
    }
}

fn oddly_spelled(name: &str) -> String {
    let spell = |(at, letter): (usize, char)| if at % 2 == 0 { letter } else { letter.to_ascii_uppercase() };
    name.chars().enumerate().map(spell).collect()
}

pub(super) fn sample(row: &Row) -> Sample {
    let handshake = row.state == State::WebSocket;
    let sent = match row.name.as_str() {
        "host" => values(["front"]),
        "connection" if handshake => values(["keep-alive, Upgrade"]),
        "connection" => values(["X-None, keep-alive", "x-nothing"]),
        "te" => values(["deflate", "gzip;q=0.5, Trailers"]),
        "trailer" => values(["X-More, X-End", "X-And"]),
        "transfer-encoding" => values(["chunked"]),
        "upgrade" if handshake => values(["WebSocket"]),
        "upgrade" => values(["h2c"]),
        "expect" => values(["100-continue"]),
        "content-length" => values(["5"]),
        "x-forwarded-for" => values(["203.0.113.7", "10.0.0.9"]),
        "x-forwarded-proto" => values(["wss", "https"]),
        "x-forwarded-host" => values(["public.example"]),
        "x-forwarded-prefix" => values(["/outer", "", "/b, /a"]),
        "x-real-ip" => values(["203.0.113.7"]),
        "via" => values(["1.0 fred", "", "1.1 p.example, 1.1 a"]),
        "x-request-id" => values(["b-1", "a-2"]),
        "prefer" => values(["return=minimal", "handling=lenient, foo"]),
        "idempotency-key" | "x-proxq-job-id" => vec![JobId::new().to_string().into_bytes()],
        "x-proxq-timeout" => values(["10s"]),
        "x-proxq-mode" => values(["queue"]),
        "x-proxq-delay" => values(["1ms"]),
        "x-proxq-start-within" | "x-proxq-deadline" => values(["10m"]),
        "x-proxq-priority" => values(["high"]),
        "x-proxq-wait" => values(["30s"]),
        "x-proxq-redirects" => values(["report"]),
        "x-proxq-joined" => values(["retry"]),
        name if row.state == State::WithAuth => values([if name == "x-proxq-token" { TOKEN } else { "1h" }]),
        "x-proxq-admin" | "x-proxq-callback" | "x-proxq-token" | "x-proxq-result-url" | "x-proxq-*" => {
            values(["https://callback.example"])
        }
        "x-proxq-attempt" => values(["7"]),
        "x-proxq-source" => values(["proxq"]),
        "date" => values(["Tue, 15 Nov 1994 08:12:31 GMT"]),
        "keep-alive"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-connection"
        | "trailers"
        | "sec-websocket-key"
        | "sec-websocket-version"
        | "sec-websocket-protocol"
        | "sec-websocket-extensions"
        | "sec-websocket-accept"
        | "content-type"
        | "content-encoding"
        | "accept"
        | "access-control-request-method"
        | "x-forwarded-*"
        | "forwarded"
        | "traceparent"
        | "tracestate"
        | "preference-applied"
        | "idempotency-replayed"
        | "authorization"
        | "cookie"
        | "api-key"
        | "x-api-key"
        | "x-goog-api-key"
        | "x-auth-token"
        | "x-amz-security-token"
        | "x-accel-buffering"
        | "x-cache-status"
        | "cache-status"
        | "age"
        | "ratelimit"
        | "ratelimit-*"
        | "x-ratelimit-*"
        | "anthropic-ratelimit-*"
        | "location"
        | "retry-after"
        | "retry-after-ms"
        | "ratelimit-policy"
        | "x-should-retry"
        | "x-stainless-retry-count"
        | "www-authenticate"
        | "allow"
        | "cache-control"
        | "*" => anything(),
        name => panic!("docs/headers.md has a row for {name}, which nobody knows how to try"),
    };
    let asks = handshake && ["connection", "upgrade"].contains(&&*row.name);
    let codes = row.name == "transfer-encoding";
    let names_host = row.name == "host";
    Sample {
        name: oddly_spelled(&header_name(row)),
        direct: if row.name == "x-proxq-mode" { values(["direct"]) } else { sent.clone() },
        answered: match row.name.as_str() {
            "connection" if handshake => values(["Upgrade"]),
            "upgrade" if handshake => values(["websocket"]),
            "trailer" => values(["X-More, X-End"]), // several would be joined
            _ => sent.clone(),
        },
        queued: sent,
        queued_needs_it: asks || names_host,
        direct_needs_it: asks || names_host || codes,
        answer_needs_it: asks || codes,
    }
}

/// `known` is a job that was submitted without any secret, under the idempotency key [`KNOWN_KEY`].
pub(super) fn probe(row: &Row, known: JobId) -> Probe {
    let stream = r#"{"stream":true}"#;
    let json = vec![("Content-Type", "application/json".to_owned())];
    let direct = vec![("X-Proxq-Mode", "direct".to_owned())];
    let (method, beside, values, body) = match row.name.as_str() {
        "host" => ("POST", vec![], values(["front", "front"]), ""),
        "connection" => ("POST", vec![("Upgrade", "websocket".to_owned())], values(["a, Upgrade"]), ""),
        "upgrade" => ("POST", vec![("Connection", "upgrade".to_owned())], values(["WebSocket"]), ""),
        "te" => ("POST", direct, values(["trailers"]), ""),
        "expect" => ("POST", vec![("Content-Length", "5".to_owned())], values(["100-continue"]), "hello"),
        "content-length" => ("POST", vec![], values(["2000"]), ""),
        "content-type" => {
            ("POST", vec![("Content-Length", stream.len().to_string())], values(["application/json"]), stream)
        }
        "content-encoding" => {
            ("POST", [json, vec![("Content-Length", stream.len().to_string())]].concat(), values(["gzip"]), stream)
        }
        "accept" => ("POST", vec![], values(["a/b", "c/d, Text/Event-Stream;q=1"]), ""),
        "access-control-request-method" => ("OPTIONS", vec![], values(["PUT"]), ""),
        "x-forwarded-for" | "x-real-ip" => ("POST", direct, values(["203.0.113.7"]), ""),
        "via" => ("POST", vec![], values(["1.1 edge, 1.0 EDGE"]), ""),
        "prefer" => ("POST", vec![], values(["foo, wait=30"]), ""),
        "idempotency-key" => ("POST", vec![], values([""]), ""),
        "x-proxq-timeout"
        | "x-proxq-delay"
        | "x-proxq-priority"
        | "x-proxq-start-within"
        | "x-proxq-deadline"
        | "x-proxq-result-url"
        | "x-proxq-redirects" => ("POST", vec![], values(["soon"]), ""),
        "x-proxq-token" if row.state == State::WithAuth => {
            ("POST", vec![("X-Proxq-Job-Id", known.to_string())], values([OTHER_TOKEN]), "")
        }
        "x-proxq-mode" => ("POST", vec![], values(["direct"]), ""),
        "x-stainless-retry-count" => ("POST", abandoned_at_once(), values(["1"]), ""),
        _ if row.arrival == Arrival::Owner => ("POST", vec![("X-Proxq-Job-Id", known.to_string())], anything(), ""),
        _ if row.arrival == Arrival::Secret => {
            ("POST", vec![("Idempotency-Key", KNOWN_KEY.to_owned())], anything(), "")
        }
        _ => ("POST", vec![], sample(row).queued, ""),
    };
    Probe { method, beside, values, body }
}

/// What makes a request one whose client is told at once that there is no response yet.
fn abandoned_at_once() -> Vec<(&'static str, String)> {
    [("X-Proxq-Mode", "wait"), ("X-Proxq-Wait", "0"), ("X-Proxq-Delay", "1h")]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
}

/// The value that proxq puts there itself.
#[derive(Debug)]
pub(super) enum OwnValue {
    Is(String),
    Seconds,
    Uuid,
    Date,
}

impl OwnValue {
    /// Of a row's header, where the client sent it, or not.
    pub(super) fn of(row: &Row, sent: bool, upstream: &str, request: &Head) -> Self {
        Self::Is(match row.name.as_str() {
            "host" => upstream.to_owned(),
            "connection" => "Upgrade".to_owned(),
            "upgrade" => "websocket".to_owned(),
            "transfer-encoding" => "chunked".to_owned(),
            "content-length" => "5".to_owned(),
            "x-real-ip" if sent && row.state == State::TrustedPeer => "203.0.113.7".to_owned(),
            "x-forwarded-for" | "x-real-ip" => "127.0.0.1".to_owned(),
            "x-forwarded-proto" => "http".to_owned(),
            "x-forwarded-host" => "front".to_owned(),
            "x-forwarded-prefix" => "/plain".to_owned(),
            "via" => "1.1 edge".to_owned(),
            "preference-applied" => "wait=30".to_owned(),
            "idempotency-replayed" => "true".to_owned(),
            "x-proxq-job-id" => request.value("x-proxq-job-id").expect("a job's attempt names it"),
            "x-proxq-attempt" => "1".to_owned(),
            "x-accel-buffering" => "no".to_owned(),
            "x-cache-status" => "MISS".to_owned(),
            "cache-status" => "proxq; fwd=uri-miss; stored".to_owned(),
            "age" => return Self::Seconds,
            "x-request-id" => return Self::Uuid,
            "date" => return Self::Date,
            name => panic!("docs/headers.md says that proxq sets {name}, and nobody knows to what"),
        })
    }

    pub(super) fn is(&self, value: &[u8]) -> bool {
        let text = String::from_utf8_lossy(value);
        match self {
            Self::Is(expected) => *expected == text,
            Self::Seconds => text.parse::<u32>().is_ok(),
            Self::Uuid => text.parse::<JobId>().is_ok(),
            Self::Date => text.len() == "Thu, 01 Jan 2026 00:00:00 GMT".len() && text.ends_with(" GMT"),
        }
    }
}
