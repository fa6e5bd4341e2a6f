//! Tests of answers before the request's body was read: clients that write everything before they read see them,
//! and no client holds a connection that way.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use harness::{
    Answer, Client, Config, Http2Client, Proxq, Refusing, Route, Store, Upstream, Wire, checkout, curl, get, keep_pace,
    on_the_store, once, within,
};
use http::Request;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// More than the sockets' buffers hold on both sides.
const LARGE: usize = 12 << 20;
/// How often each client has to see each answer.
const ROUNDS: usize = 20;

/// A server that answers early for every reason there is. The upstream answers as soon as it has a head, and closes.
async fn refusing_all(store: Store) -> (Proxq, Upstream, Refusing) {
    let (upstream, down) = (Upstream::start().await, Refusing::new());
    upstream.always(Answer::status(429).body("too much").early().close());
    let config = store.config();
    let config = config
        .route(Route::new("/direct", &upstream.url()))
        .route(Route::new("/down", &down.url()))
        .route(Route::new("/redirect", &upstream.url()).set("directProxyMode", "redirect"))
        .route(Route::new("/queue", &upstream.url()).set("directProxyThreshold", 0));
    (Proxq::start(config).await, upstream, down)
}

/// Targets that refuse a large body, each with its status.
const TARGETS: [(u16, &str); 7] = [
    (429, "/direct/x"),
    (307, "/redirect/x"),
    (413, "/queue/x"),
    (405, "/__jobs/healthz"),
    (502, "/down/x"),
    (400, "/queue/..%2Fx"),
    (502, "/nowhere"),
];

/// One of each place that answers early: the upstream, intake, and the jobs API.
fn some_targets() -> &'static [(u16, &'static str)] {
    &TARGETS[..4]
}

/// Runs a program of `tests/clients`; each client that it has must see each answer each time.
async fn see_every_answer(program: &str, script: &str, base: &str, clients: usize) {
    let mut command = Command::new(program);
    command.arg(checkout().join("tests/clients").join(script)).arg(ROUNDS.to_string());
    command.args(some_targets().iter().map(|(status, target)| format!("{status}={base}{target}")));
    let output = spawn_blocking(move || command.output()).await.expect("starting a program does not panic");
    let output = output.unwrap_or_else(|e| panic!("{program} does not start ({e}): run `make dep` first"));
    let (lines, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines.lines().count(), clients * some_targets().len(), "{lines}{complaints}");
    for line in lines.lines() {
        assert!(line.ends_with(&format!(" {ROUNDS}")), "of {ROUNDS}: {line}\n{complaints}");
    }
}

/// Sends a head, then the whole body; only then reads the answer.
async fn answer_after(wire: &mut Wire, head: &str, body: usize) -> u16 {
    wire.send(head).await;
    for _ in 0..body >> 20 {
        wire.send(vec![b'x'; 1 << 20]).await;
    }
    wire.reply().await.status
}

fn head_of_upload(target: &str, fields: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// A server that refuses bodies of more than 1000 bytes, with these limits.
async fn with_limits(store: Store, limits: &[(&str, &str)]) -> Proxq {
    let limited = |config: Config, (key, value): &(&str, &str)| config.set(&format!("limits.{key}"), *value);
    let config = limits.iter().fold(store.config(), limited).route(Route::new("/", "http://127.0.0.1:9"));
    Proxq::start(config.upstream("maxBodySize", 1000).upstream("directProxyThreshold", 0)).await
}

on_the_store! { Embedded:
    async fn clients_in_python_see_every_early_answer(store: Store) {
        let (proxq, _upstream, _down) = refusing_all(store).await;
        let python = checkout().join("tests/.venv/bin/python");
        see_every_answer(&python.display().to_string(), "early.py", &format!("http://{}", proxq.address()), 3).await;
    }

    async fn clients_in_node_see_every_early_answer(store: Store) {
        let (proxq, _upstream, _down) = refusing_all(store).await;
        see_every_answer("node", "early.mjs", &format!("http://{}", proxq.address()), 2).await;
    }

    async fn curl_sees_every_early_answer(store: Store) {
        let (proxq, _upstream, _down) = refusing_all(store).await;
        let file = proxq.folder().join("upload");
        std::fs::write(&file, vec![b'x'; LARGE]).unwrap();
        let body = format!("@{}", file.display());
        for (status, target) in some_targets() {
            let url = format!("http://{}{target}", proxq.address());
            for round in 0..ROUNDS {
                let expect = ["Expect:", "Expect: 100-continue"][round % 2];
                let args = ["-o", "/dev/null", "-w", "%{http_code}", "-H", expect, "--data-binary", &body, &url];
                assert_eq!(curl(&args).await, status.to_string(), "{target}, {expect}");
            }
        }
    }
}

once! {
    async fn a_client_that_writes_all_before_it_reads_sees_the_answer(store: Store) {
        let (proxq, _upstream, _down) = refusing_all(store).await;
        let sized = format!("Content-Length: {LARGE}\r\n");
        for (status, target) in TARGETS {
            let seen = answer_after(&mut proxq.wire().await, &head_of_upload(target, &sized), LARGE).await;
            assert_eq!(seen, status, "{target}");
        }
        // Refused by the HTTP library, without a look at the body.
        for fields in ["No Name: x\r\n", "Content-Length: 1\r\n", "X: y\r\n folded\r\n"] {
            let head = head_of_upload("/queue/x", &format!("{sized}{fields}"));
            assert_eq!(answer_after(&mut proxq.wire().await, &head, LARGE).await, 400, "{fields:?}");
        }
        // `Expect: 100-continue` was sent, and the answer not waited for.
        let head = head_of_upload("/queue/x", &format!("{sized}Expect: 100-continue\r\n"));
        assert_eq!(answer_after(&mut proxq.wire().await, &head, LARGE).await, 413);
    }

    async fn a_client_that_writes_all_in_chunks_sees_the_answer(store: Store) {
        let (proxq, _upstream, _down) = refusing_all(store).await;
        for (status, target) in TARGETS.into_iter().filter(|(status, _)| *status != 413) {
            let mut wire = proxq.wire().await;
            wire.send(head_of_upload(target, "Transfer-Encoding: chunked\r\n")).await;
            for _ in 0..LARGE / 1_000_000 {
                wire.send(format!("f4240\r\n{}\r\n", "x".repeat(1_000_000))).await;
            }
            wire.send("0\r\n\r\n").await;
            assert_eq!(wire.reply().await.status, status, "{target}");
        }
    }

    async fn a_client_of_http2_that_writes_all_before_it_reads_sees_the_answer(store: Store) {
        let (proxq, _upstream, _down) = refusing_all(store).await;
        let mut client = Http2Client::connect(proxq.address()).await;
        for (status, target) in some_targets() {
            let request = Request::post(format!("http://h{target}")).header("content-length", LARGE);
            let (response, mut sending) = client.begin(request.body(()).unwrap(), false).await.unwrap();
            let mut left = LARGE;
            while left > 0 {
                sending.reserve_capacity(left);
                let room = within("the server takes more", std::future::poll_fn(|cx| sending.poll_capacity(cx))).await;
                let room = room.expect("the stream is open").unwrap_or_else(|e| panic!("{target}, {left} left: {e}"));
                let count = room.min(left);
                left -= count;
                sending.send_data(Bytes::from(vec![b'x'; count]), left == 0).unwrap();
            }
            assert_eq!(within("a response", response).await.unwrap().status(), *status, "{target}");
        }
    }

    async fn an_upload_that_was_answered_may_take_longer_than_a_head(store: Store) {
        let proxq = with_limits(store, &[("headerReadTimeout", "200ms")]).await;
        let mut wire = proxq.wire().await;
        wire.send(head_of_upload("/x", "Content-Length: 1000000\r\n")).await;
        for _ in 0..10 {
            keep_pace(Duration::from_millis(60)).await;
            wire.send(vec![b'x'; 100_000]).await;
        }
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (413, None), "{reply}");
        wire.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 200, "the connection lives on");
    }

    async fn an_upload_without_end_is_cut_off(store: Store) {
        let proxq = with_limits(store, &[("idleTimeout", "1s")]).await;
        for (framing, piece) in [
            ("Content-Length: 1000000000000", "x".repeat(1000)),
            ("Transfer-Encoding: chunked", "1\r\nx\r\n".repeat(200)),
            ("No Name: x", "X-Filler: y\r\n".repeat(100)),
        ] {
            let mut wire = proxq.wire().await;
            let begin = Instant::now();
            wire.send(head_of_upload("/..", &format!("{framing}\r\n"))).await;
            while wire.try_send(&piece).await.is_ok() {
                keep_pace(Duration::from_millis(10)).await;
                assert!(begin.elapsed() < Duration::from_mins(1), "{framing} is read on and on");
            }
        }
    }

    async fn an_upload_that_was_answered_does_not_hold_up_the_drain(store: Store) {
        let mut proxq = with_limits(store, &[]).await;
        let mut uploads = Vec::new();
        for framing in ["Content-Length: 10000000", "Expect: 100-continue\r\nContent-Length: 2000", "No Name: x"] {
            let mut wire = proxq.wire().await;
            wire.send(head_of_upload("/x", &format!("{framing}\r\n"))).await;
            assert!(wire.reply().await.status >= 400, "{framing}");
            uploads.push(wire);
        }
        let begin = Instant::now();
        let sending = async {
            loop {
                for wire in &mut uploads {
                    wire.try_send("x").await.ok();
                }
                keep_pace(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = proxq.stop() => {}
            () = sending => {}
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    async fn a_client_that_does_not_close_gives_its_place_up(store: Store) {
        let proxq = Proxq::start(store.config().set("limits.maxConnections", 1).route(Route::new("/", "http://127.0.0.1:9"))).await;
        let mut wire = proxq.wire().await;
        wire.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 200);
        wire.closed().await;
        assert_eq!(Client::at(proxq.address()).send(get("/__jobs/healthz")).await.status, 200);
        wire.try_send("what is sent now, nobody reads").await.ok();
    }
}

on_the_store! { Redis:
    async fn an_upload_that_the_store_has_no_room_for_is_told_so(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("maxBodySize", "64MiB").upstream("directProxyThreshold", 0);
        let mut proxq = Proxq::start(config).await;
        proxq.expect_error("store a request's body");
        proxq.redis().kill();
        let head = head_of_upload("/x", &format!("Content-Length: {LARGE}\r\n"));
        assert_eq!(answer_after(&mut proxq.wire().await, &head, LARGE).await, 503);
    }
}
