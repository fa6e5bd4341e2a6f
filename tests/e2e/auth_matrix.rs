//! Who may ask for what: every cell of the table in `docs/http.md`, on both stores.

use harness::websocket::EchoServer;
use harness::{Client, Job, Proxq, Request, Route, Store, Upstream, delete, eventually, get, on_every_store, post};
use serde_json::json;

const PAGE: &str = include_str!("../../docs/http.md");
const COLUMNS: &str = "| request | who asks | neither | tokens | owner | both |";

/// What is asked, how it is asked, and what it would be answered with anyway.
const REQUESTS: [(&str, u16); 16] = [
    ("submit", 202),
    ("direct request", 200),
    ("WebSocket", 101),
    ("status", 200),
    ("content", 200),
    ("wait", 200),
    ("events", 200),
    ("hop", 200),
    ("monitor", 200),
    ("cancel", 200),
    ("retry", 409), // the job has not failed
    ("content by URL", 200),
    ("wait by URL", 200),
    ("cancel by URL", 200),
    ("admin listener", 200),
    ("probe", 200),
];

const OWN: &str = "the-token-of-the-submitter";
const OTHER: &str = "the-token-of-another-client";
const READER: &str = "the-token-of-a-reader";
const WRITER: &str = "the-token-of-a-writer";

/// What somebody shows: an access token and `Authorization`.
fn shown(who: &str) -> (Option<&'static str>, Option<&'static str>) {
    match who {
        "the submitter" => (Some(OWN), Some("Bearer own")),
        "another client" => (Some(OTHER), Some("Bearer other")),
        "a reader" => (Some(READER), None),
        "a writer" => (Some(WRITER), None),
        "unknown token" => (Some("a-token-that-nobody-has"), None),
        "no token" | "the signed URL" | "an expired URL" | "a forged URL" => (None, None),
        other => panic!("{other} is nobody who can ask"),
    }
}

fn by(who: &str, request: Request) -> Request {
    let (token, authorization) = shown(who);
    let fields = [("X-Proxq-Token", token), ("Authorization", authorization)];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    fields.fold(request, |request, (name, value)| request.header(name, value))
}

/// One column of the table: a server.
struct Column {
    proxq: Proxq,
    operators: Client,
    _upstream: Upstream,
    _echo: EchoServer,
    /// The part of an expired URL behind the `?`, and its job.
    expired: (Job, String),
}

impl Column {
    async fn start(store: Store, name: &str) -> Self {
        let (upstream, echo) = (Upstream::start().await, EchoServer::start().await);
        upstream.answers(200, "hello");
        let token = |name: &str, token: &str, admin: &str| json!({ "name": name, "token": token, "admin": admin });
        let tokens = [
            json!({ "name": "own", "token": OWN }),
            json!({ "name": "other", "token": OTHER }),
            token("reader", READER, "read"),
            token("writer", WRITER, "write"),
        ];
        let mut config = store
            .config()
            .set("admin.listenAddress", "127.0.0.1:0")
            .route(Route::new("/x", &upstream.url()))
            .route(Route::new("/chat", &echo.url()));
        if name != "neither" {
            config = config.set("auth.resultUrls", true);
        }
        if ["tokens", "both"].contains(&name) {
            config = config.set("auth.tokens", tokens.to_vec());
        }
        if ["owner", "both"].contains(&name) {
            config = config.set("auth.owner", "credential");
        }
        let proxq = Proxq::start(config).await;
        let operators = proxq.operators().await;
        let nothing = Job { id: proxq_protocol::JobId::new(), location: String::new() };
        let expired = (nothing, "expires=1&signature=AAAA".to_owned());
        let mut column = Self { proxq, operators, _upstream: upstream, _echo: echo, expired };
        if name != "neither" {
            let (job, query) = column.completed("1ns").await;
            let url = format!("{}/content?{query}", job.location);
            eventually("the URL expires", async || column.proxq.send(get(&url)).await.status == 403).await;
            column.expired = (job, query);
        }
        column
    }

    /// A completed job of the submitter's, and what its signed URL has behind the `?`.
    async fn completed(&self, span: &str) -> (Job, String) {
        let signs = !self.expired.0.location.is_empty() || span == "1ns";
        let request = by("the submitter", post("/x/y"));
        let request = if signs { request.header("X-Proxq-Result-Url", span) } else { request };
        let accepted = self.proxq.send(request).await;
        let (job, url) = (Job::of(&accepted), accepted.header("X-Proxq-Result-Url"));
        let ended = by("the submitter", get(&format!("{}/content?wait=30s", job.location)));
        assert_eq!(self.proxq.send(ended).await.text(), "hello");
        let query = url.map_or_else(|| self.expired.1.clone(), |url| url.split_once('?').unwrap().1.to_owned());
        (job, query)
    }

    /// The status and the code of an answer.
    async fn ask(&self, what: &str, who: &str) -> (u16, String) {
        let (job, query) = match who {
            "an expired URL" if !self.expired.0.location.is_empty() => self.expired.clone(),
            _ => self.completed("1h").await,
        };
        let query = match who {
            "a forged URL" => query.replace("signature=", "signature=A"),
            _ => query,
        };
        let is_url = who.ends_with("URL");
        let job = &job.location;
        let signed = |path: &str| if is_url { format!("{path}?{query}") } else { path.to_owned() };
        let request = match what {
            "submit" => post("/x/y").body("{}"),
            "direct request" => get("/x/y").header("X-Proxq-Mode", "direct"),
            "WebSocket" => get("/chat/room")
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13")
                .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            "status" => get(&signed(job)),
            "content" | "content by URL" => get(&signed(&format!("{job}/content"))),
            "wait" => get(&format!("{job}/content?wait=1s")),
            "wait by URL" => get(&format!("{job}/content?wait=1s&{query}")),
            "events" => get(&signed(&format!("{job}/events"))),
            "hop" => get(&format!("{job}/content?hop=1")),
            "monitor" => get(&format!("{job}/content?pending=202")),
            "cancel" => delete(job),
            "cancel by URL" => delete(&format!("{job}/content?{query}")),
            "retry" => post(&signed(&format!("{job}/retry"))),
            "admin listener" => get("/api/v1/overview"),
            "probe" => get("/__jobs/readyz"),
            other => panic!("{other} is no request that can be tried"),
        };
        let request = by(who, request);
        if what == "WebSocket" {
            let mut wire = self.proxq.begin(request).await;
            let head = wire.head().await;
            let status = head.word(1).parse().unwrap();
            let code = if status == 101 { "" } else { "UNAUTHORIZED" };
            return (status, code.to_owned());
        }
        let server = if what == "admin listener" { &self.operators } else { &*self.proxq };
        let reply = server.send(request).await;
        if ["content", "wait"].iter().any(|word| what.starts_with(word)) && reply.status == 200 {
            assert_eq!(reply.text(), "hello");
        }
        let code = if reply.status >= 400 { reply.code() } else { String::new() };
        (reply.status, code)
    }
}

/// The status and the code that a cell means.
fn expected(cell: &str, otherwise: u16) -> (u16, &'static str) {
    match cell {
        "yes" if otherwise == 409 => (409, "NOT_FAILED"),
        "yes" => (otherwise, ""),
        "401" => (401, "UNAUTHORIZED"),
        "403" => (403, "FORBIDDEN"),
        "404" => (404, "NOT_FOUND"),
        "405" => (405, "METHOD_NOT_ALLOWED"),
        "410" => (410, "GONE"),
        other => panic!("{other} is no cell"),
    }
}

on_every_store! {
    async fn every_cell_of_the_table_is_so(store: Store) {
        let names = ["neither", "tokens", "owner", "both"];
        let mut columns = Vec::new();
        for name in names {
            columns.push(Column::start(store, name).await);
        }
        let lines = PAGE.lines().skip_while(|line| *line != COLUMNS).skip(2).take_while(|line| line.starts_with('|'));
        let mut asked = 0;
        for line in lines {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [requests, askers, cells @ ..] = &cells[..] else { panic!("{line}") };
            assert_eq!(cells.len(), names.len(), "{line}");
            for request in requests.split(", ") {
                let known = REQUESTS.iter().find(|(name, _)| *name == request);
                let (_, otherwise) = known.unwrap_or_else(|| panic!("{request} is no request that can be tried"));
                for who in askers.split(", ") {
                    for ((column, name), cell) in columns.iter().zip(names).zip(cells) {
                        let (status, code) = column.ask(request, who).await;
                        let what = format!("{request} by {who}, {name}");
                        assert_eq!((status, code.as_str()), expected(cell, *otherwise), "{what}");
                        asked += 1;
                    }
                }
            }
        }
        assert!(asked > 300, "the table was found: {asked} cells");
    }
}
