//! Tests of access tokens. Who may ask for what is in `auth_matrix.rs`.

mod clients;
mod ownership;
mod result_urls;

use std::fs;

use harness::{
    Config, Job, Launch, Proxq, RawUpstream, Reply, Request, Route, Store, Upstream, get, head, once, post, request,
};
use proxq_protocol::JobId;
use serde_json::{Value, json};

const OWN: &str = "the-token-of-client-a";
const OTHER: &str = "the-token-of-client-b";
const TOKEN: &str = "X-Proxq-Token";

fn tokens() -> Value {
    json!([{ "name": "a", "token": OWN }, { "name": "b", "token": OTHER }])
}

/// Two clients with tokens, to whom only their own jobs exist.
fn with_owners(config: Config) -> Config {
    config.set("auth.tokens", tokens()).set("auth.owner", "credential")
}

fn own(request: Request) -> Request {
    request.header(TOKEN, OWN)
}

fn other(request: Request) -> Request {
    request.header(TOKEN, OTHER)
}

#[track_caller]
fn is_refused(reply: &Reply) {
    reply.refused(401, "UNAUTHORIZED");
    assert_eq!(reply.head.values("www-authenticate"), ["Proxq realm=\"jobs\""]);
}

/// A job of the first client's that has ended.
async fn completed(proxq: &Proxq) -> Job {
    let job = proxq.submit(own(post("/x"))).await;
    let reply = proxq.send(own(get(&format!("{}/content?wait=30s", job.location)))).await;
    assert!(!reply.head.has("x-proxq-source"), "{reply}");
    job
}

once! {
    async fn a_token_never_reaches_the_upstream(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.tokens", tokens())).await;
        for request in [get("/x").header("X-Proxq-Mode", "direct"), get("/x").header("X-Proxq-Wait", "30s")] {
            let request = request.header("Authorization", "Bearer of the upstream");
            assert_eq!(proxq.send(own(request)).await.status, 200);
            let received = upstream.request().await;
            assert_eq!(received.header(TOKEN), None);
            assert_eq!(received.header("authorization").as_deref(), Some("Bearer of the upstream"));
        }
        assert!(!proxq.log().text().contains(OWN));
        proxq.log().record("the log has the token's name", |record| record.field("token").as_deref() == Some("a")).await;
    }

    async fn a_token_never_reaches_a_websocket(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().route(Route::new("/chat", &upstream.url())).set("auth.tokens", tokens());
        let proxq = Proxq::start(config).await;
        let handshake = |token: &str| {
            format!(
                "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{token}\r\n"
            )
        };
        let mut client = proxq.wire().await;
        client.send(handshake(&format!("X-Proxq-Token: {OWN}\r\n"))).await;
        let mut served = upstream.accept().await;
        assert!(!served.head().await.has(TOKEN));
        is_refused(&proxq.raw(handshake("")).await);
        is_refused(&proxq.raw(handshake("X-Proxq-Token: another-token-than-that\r\n")).await);
    }

    async fn without_a_token_nobody_learns_anything(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config().route(Route::new("/x", &upstream.url())).set("auth.tokens", tokens());
        let proxq = Proxq::start(config).await;
        for request in [
            post("/x"),
            post("/nowhere"),
            get("/__jobs"),
            get("/__jobs/nonsense"),
            get("/__jobs/nonsense?wait=soon"),
            post("/__jobs/nonsense"),
            get(&format!("/__jobs/{}", JobId::new())),
            get(&format!("/__jobs/{}/content?hop=0", JobId::new())),
            get("/__jobs/healthz/x"),
            request("TRACE", "/x"),
            request("OPTIONS", "/x").header("Access-Control-Request-Method", "POST").header("Origin", "http://a"),
            post("/x").header("X-Proxq-Delay", "soon"),
            post("/x").header("X-Proxq-Mode", "direct"),
            post("/x").header("Authorization", format!("Bearer {OWN}")),
            post("/x").header(TOKEN, "").header(TOKEN, OWN),
            own(own(post("/x"))),
            own(other(post("/x"))),
            post("/x").header(TOKEN, ""),
            post("/x").header(TOKEN, &OWN[1..]),
            post("/x").header(TOKEN, OWN.to_uppercase()),
            post("/x").header(TOKEN, format!("{OWN}, {OTHER}")),
        ] {
            is_refused(&proxq.send(request).await);
        }
        let head = proxq.send(head("/x")).await;
        assert_eq!((head.status, head.text().as_str()), (401, ""));
        proxq.send(post("/x/..%2Fy")).await.refused(400, "BAD_PATH");
        for probe in ["/__jobs/healthz", "/__jobs/readyz"] {
            assert_eq!(proxq.send(get(probe)).await.status, 200);
        }
        assert_eq!(proxq.send(own(post("/nowhere"))).await.code(), "NO_UPSTREAM");
        assert!(upstream.received().is_empty());
    }

    async fn a_body_is_not_asked_for_before_the_token_is_seen(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.tokens", tokens())).await;
        let reply = proxq.raw("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
        is_refused(&reply);
        let mut wire = proxq.wire().await;
        wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\n{TOKEN}: {OWN}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")).await;
        wire.comes("HTTP/1.1 100 Continue\r\n\r\n").await;
        wire.send("hello").await;
        assert_eq!(wire.reply().await.status, 202);
    }

    async fn a_token_is_for_its_upstreams_alone(store: Store) {
        let upstream = Upstream::start().await;
        let config = store
            .config()
            .route(Route::new("/a", &upstream.url()))
            .route(Route::new("/b", &upstream.url()))
            .set("auth.tokens", json!([{ "name": "a", "token": OWN, "upstreams": ["/b"] }]));
        let proxq = Proxq::start(config).await;
        assert_eq!(proxq.send(own(post("/b/x"))).await.status, 202);
        for request in [post("/a/x"), post("/a/x").header("X-Proxq-Mode", "direct"), post("/a/x").header("X-Proxq-Delay", "soon")] {
            let reply = proxq.send(own(request)).await;
            reply.refused(403, "FORBIDDEN");
            assert!(reply.text().contains("this access token is not for /a; it is for /b"), "{reply}");
        }
        assert_eq!(proxq.send(own(post("/c/x"))).await.code(), "NO_UPSTREAM");
    }

    async fn without_tokens_the_header_means_nothing(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(own(post("/x"))).await;
        assert_eq!(proxq.send(other(get(&job.location))).await.status, 200);
        assert_eq!(upstream.request().await.header(TOKEN), None);
        proxq.send(post("/x").header("X-Proxq-Result-Url", "1h")).await.refused(400, "BAD_HEADER");
    }

    async fn a_server_with_tokens_is_asked_by_the_commands(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "hello");
        let writer = json!({ "name": "writer", "token": "the-token-of-a-writer", "admin": true });
        let config = with_owners(store.config_for(&upstream)).set("admin.listenAddress", "127.0.0.1:0");
        let tokens = json!([{ "name": "a", "token": OWN }, writer]);
        let proxq = Proxq::start(config.set("auth.tokens", tokens)).await;
        let admin = proxq.operators().await.url();
        let launch = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(ToString::to_string).collect();
            Launch::new(proxq.folder()).args(args).env("PROXQ_URL", proxq.url()).env("PROXQ_ADMIN_URL", &admin)
        };
        let submit = ["submit", "/x", "-d", "x"];
        let exit = launch(&submit).env("PROXQ_TOKEN", OWN).to_exit().await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "hello"), "{}", exit.log);
        fs::write(proxq.folder().join("token"), format!("{OWN}\n")).unwrap();
        let exit = launch(&[&submit[..], &["--token-file", "token"]].concat()).to_exit().await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "hello"), "{}", exit.log);
        let exit = launch(&submit).to_exit().await;
        assert_eq!(exit.code, Some(1));
        assert!(exit.log.contains("needs an access token") && exit.log.contains("PROXQ_TOKEN or --token-file"), "{}", exit.log);
        let exit = launch(&["jobs", "list"]).env("PROXQ_ADMIN_TOKEN", "the-token-of-a-writer").to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(launch(&["jobs", "list"]).env("PROXQ_ADMIN_TOKEN", OWN).to_exit().await.code == Some(1));
        let address = proxq.address().to_string();
        let healthcheck = launch(&["healthcheck", "--listen", &address, "--config", "config.yaml"]).to_exit().await;
        assert_eq!(healthcheck.code, Some(0), "{}", healthcheck.log);
    }

    async fn a_token_that_was_made_is_taken_by_its_hash(store: Store) {
        let folder = tempfile::tempdir().unwrap();
        let made = Launch::new(folder.path()).args(["token", "new", "--json"]).to_exit().await;
        let made: Value = serde_json::from_str(&made.output).unwrap();
        let (token, hash) = (made["token"].as_str().unwrap(), made["tokenHash"].as_str().unwrap());
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).set("auth.tokens", json!([{ "name": "made", "tokenHash": hash }]));
        let proxq = Proxq::start(config).await;
        assert_eq!(proxq.send(post("/x").header(TOKEN, token)).await.status, 202);
        is_refused(&proxq.send(post("/x").header(TOKEN, hash)).await);
        let file = proxq.config_file().display().to_string();
        let check = Launch::new(folder.path()).args(["check", &file]).to_exit().await;
        assert!(check.output.contains("tokenHash: \"***\"") && !check.output.contains(&hash[10..]), "{}", check.output);
        let lines = Launch::new(folder.path()).args(["token", "new"]).to_exit().await.output;
        let lines: Vec<_> = lines.lines().collect();
        assert!(lines[0].starts_with("token: proxq_") && lines[1].starts_with("tokenHash: sha256:"), "{lines:?}");
    }
}
