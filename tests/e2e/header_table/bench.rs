//! Exchanges with and without a row's header, seen from both sides.

use std::cell::Cell;

use harness::{Answer, Config, Head, Proxq, Reply, Route, Store, Upstream, get, post};
use proxq_protocol::{JobId, header};

use super::page::{Arrival, Row, State};
use super::sample::{KNOWN_KEY, OTHER_TOKEN, Probe, Sample, TOKEN, Values, header_name};

/// A header field: its name and its value.
type Field = (String, Vec<u8>);

/// The longest body that the probed upstream's requests may have to be queued.
const THRESHOLD_BYTES: usize = 1000;

/// A server, the upstream with which rows are tried, and one with which is looked whether a header makes a difference.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) proxq: Proxq,
    pub(super) upstream: Upstream,
    probed: Upstream,
    /// A job that was submitted without any secret, under [`KNOWN_KEY`].
    pub(super) known: JobId,
    /// What every request shows that shows no token of its own.
    token: Option<&'static str>,
    count: Cell<u32>,
}

/// What came of a request that was queued.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: Head,
    pub(super) held: Reply,
    pub(super) content: Reply,
}

/// Whether a row's header is in a request and in its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) by_request: bool,
    pub(super) by_answer: bool,
}

impl Bench {
    pub(super) async fn start(store: Store, trusted: &[&str], cache: &str) -> Self {
        let (upstream, probed) = (Upstream::start().await, Upstream::start().await);
        let answer = "HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n";
        probed.always(Answer::raw(answer));
        let config = store
            .config()
            .set("viaName", "edge")
            .set("trustedProxies", trusted)
            .set("secretHeaders", vec!["X-Listed"])
            .set("cache", serde_json::json!({ "mode": cache }))
            .route(Route::new("/plain", &upstream.url()))
            .route(Route::new("/preserved", &upstream.url()).set("preserveHost", true))
            .route(Route::new("/probed", &probed.url()).set("directProxyThreshold", THRESHOLD_BYTES));
        Self::with(config, upstream, probed, None).await
    }

    /// One with access tokens, and with URLs of results.
    pub(super) async fn with_auth(store: Store) -> Self {
        let (upstream, probed) = (Upstream::start().await, Upstream::start().await);
        let token = |name: &str, token: &str| serde_json::json!({ "name": name, "token": token });
        let tokens = [token("one", TOKEN), token("other", OTHER_TOKEN)];
        let config = store
            .config()
            .set("auth", serde_json::json!({ "tokens": tokens, "resultUrls": true }))
            .route(Route::new("/plain", &upstream.url()))
            .route(Route::new("/probed", &probed.url()));
        Self::with(config, upstream, probed, Some(TOKEN)).await
    }

    async fn with(config: Config, upstream: Upstream, probed: Upstream, token: Option<&'static str>) -> Self {
        let proxq = Proxq::start(config).await;
        let known = post("/probed").header("Idempotency-Key", KNOWN_KEY);
        let known =
            proxq.submit(token.into_iter().fold(known, |known, token| known.header(header::TOKEN, token))).await.id;
        Self { proxq, upstream, probed, known, token, count: Cell::new(0) }
    }

    /// Has a request show the token, unless it shows one of its own.
    fn show_token(&self, fields: &mut Vec<Field>) {
        if let Some(token) = self.token.filter(|_| !has(fields, header::TOKEN)) {
            fields.push(field(header::TOKEN, token));
        }
    }

    fn next(&self) -> u32 {
        self.count.replace(self.count.get() + 1)
    }

    fn path(&self, row: &Row) -> String {
        let prefix = if row.state == State::HostPreserved { "/preserved" } else { "/plain" };
        format!("{prefix}/{}", self.next())
    }

    /// Sends a request and gives the answer to it.
    async fn answer_to(&self, request: &[u8]) -> Reply {
        let mut wire = self.proxq.wire().await;
        wire.send(request).await;
        loop {
            let reply = wire.reply().await;
            if reply.status != 100 {
                return reply;
            }
        }
    }

    /// Sends a request that would be queued, and waits for its end. `Err` with the answer where there is no job.
    pub(super) async fn queued(&self, row: &Row, sample: &Sample, carried: Carried) -> Result<Queued, Reply> {
        let mut fields = request_fields(row, sample, &sample.queued, carried);
        if row.state != State::Preferred && !(row.name == header::WAIT && carried.by_request) {
            fields.push(field("X-Proxq-Wait", "30s"));
        }
        if row.state == State::Repeated {
            fields.push(field("Idempotency-Key", &JobId::new().to_string()));
        }
        self.show_token(&mut fields);
        let request = request("GET", &self.path(row), &fields);
        self.upstream.always(answer(row, sample, carried));
        let mut held = self.answer_to(&request).await;
        if held.head.has(header::SOURCE) {
            return Err(held);
        }
        let received = self.upstream.request().await.head;
        if matches!(row.state, State::Repeated | State::Hit) {
            held = self.answer_to(&request).await;
        }
        let Some(id) = held.header(header::JOB_ID) else { return Err(held) };
        let content = get(&format!("/__jobs/{id}/content"));
        let content = self.token.into_iter().fold(content, |content, token| content.header(header::TOKEN, token));
        let content = self.proxq.send(content).await;
        Ok(Queued { request: received, held, content })
    }

    /// Sends a request that goes straight through.
    pub(super) async fn direct(&self, row: &Row, sample: &Sample, carried: Carried) -> (Head, Reply) {
        let mut fields = request_fields(row, sample, &sample.direct, carried);
        if !(row.name == header::MODE && carried.by_request) {
            fields.push(field("X-Proxq-Mode", "direct"));
        }
        self.show_token(&mut fields);
        self.upstream.always(answer(row, sample, carried));
        let reply = self.answer_to(&request("GET", &self.path(row), &fields)).await;
        assert!(!reply.head.has(header::SOURCE), "{row:?}: {reply}");
        (self.upstream.request().await.head, reply)
    }

    /// What a client and the upstream see of the way that a request with these values of a header takes, the header itself
    /// aside.
    pub(super) async fn way(&self, row: &Row, probe: &Probe, values: &Values) -> String {
        let beside = probe.beside.iter().map(|(name, value)| field(name, value));
        let mut fields: Vec<Field> = beside.collect();
        fields.extend(values.iter().map(|value| (header_name(row), value.clone())));
        self.show_token(&mut fields);
        // A secret shows where it is asked for a job that is known.
        let is_secret = matches!(row.arrival, Arrival::Secret | Arrival::Owner);
        let path = if is_secret { "/probed".to_owned() } else { format!("/probed/{}", self.next()) };
        let mut bytes = request(probe.method, &path, &fields);
        if !probe.body.is_empty() {
            bytes.truncate(bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends") + 4);
            bytes.extend_from_slice(probe.body.as_bytes());
        }
        let mut wire = self.proxq.wire().await;
        if row.name == header::RETRY_COUNT {
            // It matters to a request that was sent before.
            wire.send(request(probe.method, &path, &fields[..probe.beside.len()])).await;
            wire.reply().await;
        }
        wire.send(bytes).await;
        let reply = wire.reply().await;
        let asked = |name: &str| fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let told = |name: &str| match reply.head.values_raw(name).first() {
            None => "none",
            Some(value) if asked(name).is_some_and(|asked| asked == value) => "the client's",
            Some(_) => "made",
        };
        let target = path.trim_start_matches("/probed");
        let reached = self.probed.received().into_iter().find(|received| received.target() == target);
        // What a job brings to the upstream comes when it comes.
        let address = reached.filter(|_| reply.status == 200).and_then(|received| received.header("x-real-ip"));
        format!(
            "{} {}, own: {}, replayed: {}, joined: {}, trailers: {}, job id: {}, request id: {}, address: {address:?}",
            reply.status,
            reply.code(),
            reply.head.has(header::SOURCE),
            reply.head.has(header::IDEMPOTENCY_REPLAYED),
            reply.head.has(header::JOINED),
            reply.head.has("trailer"),
            told(header::JOB_ID),
            told(header::REQUEST_ID),
        )
    }
}

fn field(name: &str, value: &str) -> Field {
    (name.to_owned(), value.as_bytes().to_vec())
}

fn has(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
}

fn own_fields(sample: &Sample, values: &Values) -> Vec<Field> {
    values.iter().map(|value| (sample.name.clone(), value.clone())).collect()
}

/// What makes a request one of the row's state, with the row's header or without.
fn request_fields(row: &Row, sample: &Sample, values: &Values, carried: Carried) -> Vec<Field> {
    let mut fields = if carried.by_request { own_fields(sample, values) } else { Vec::new() };
    let of_state: &[(&str, &str)] = match row.state {
        State::WebSocket => &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
        State::NamedInConnection => &[("Connection", "X-Anything")],
        State::Chunked => &[("Connection", "TE"), ("TE", "trailers"), ("Transfer-Encoding", "chunked")],
        State::Preferred => &[("Prefer", "wait=30")],
        State::Any if row.name == "expect" => &[("Content-Length", "5")],
        State::Any
        | State::HostPreserved
        | State::Disguised
        | State::TrustedPeer
        | State::OtherPeer
        | State::Repeated
        | State::ListedAsSecret
        | State::NamedAsSecret
        | State::Cached
        | State::Hit
        | State::EventStream
        | State::WithAuth => &[],
    };
    for (name, value) in of_state {
        if !has(&fields, name) {
            fields.push(field(name, value));
        }
    }
    fields
}

/// A request with these fields, and a body if they speak of one.
fn request(method: &str, path: &str, fields: &[Field]) -> Vec<u8> {
    let host = if has(fields, "host") { "" } else { "Host: front\r\n" };
    let head = format!("{method} {path} HTTP/1.1\r\n{host}");
    let length = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0);
    let body = if has(fields, "transfer-encoding") { CHUNKED.to_vec() } else { vec![b'x'; length] };
    [head.as_bytes(), &lines(fields), b"\r\n", &body].concat()
}

const CHUNKED: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";

fn lines(fields: &[Field]) -> Vec<u8> {
    let line = |(name, value): &Field| [name.as_bytes(), b": ", value, b"\r\n"].concat();
    fields.iter().flat_map(line).collect()
}

/// The upstream's answer, with the row's header or without.
fn answer(row: &Row, sample: &Sample, carried: Carried) -> Answer {
    let mut fields = if carried.by_answer { own_fields(sample, &sample.answered) } else { Vec::new() };
    if row.state == State::WebSocket {
        for (name, value) in [("Connection", "Upgrade"), ("Upgrade", "websocket")] {
            if !has(&fields, name) {
                fields.push(field(name, value));
            }
        }
        return Answer::raw([b"HTTP/1.1 101 Switching Protocols\r\n", &lines(&fields)[..], b"\r\n"].concat()).close();
    }
    if row.state == State::NamedInConnection {
        fields.push(field("Connection", "X-Anything"));
    }
    if row.state == State::EventStream {
        fields.push(field("Content-Type", "Text/Event-Stream; charset=utf-8"));
    }
    if !has(&fields, "content-length") && !has(&fields, "transfer-encoding") {
        let chunked = row.state == State::Chunked || row.name == "content-length";
        fields.push(if chunked { field("Transfer-Encoding", "chunked") } else { field("Content-Length", "5") });
    }
    let body = if has(&fields, "transfer-encoding") { CHUNKED } else { b"hello" };
    Answer::raw([b"HTTP/1.1 200 OK\r\n", &lines(&fields)[..], b"\r\n", body].concat())
}
