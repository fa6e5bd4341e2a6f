//! Requests and responses by TLS are the same as without.

use std::fs;

use harness::{Answer, Curl, Digest, Gate, Pattern, RawUpstream, Route, Store, eventually, on_every_store, once};

use super::Bench;

const DIRECT: [&str; 2] = ["-H", "X-Proxq-Mode: direct"];

on_every_store! {
    async fn a_job_is_submitted_watched_and_fetched(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.always(Answer::status(201).header("X-Report", "7").body("the report"));
        for version in ["--http1.1", "--http2"] {
            let named = if version == "--http2" { "HTTP/2" } else { "HTTP/1.1" };
            let accepted = bench.curl(&[version, "-i", "-d", "year", &format!("{}/reports", bench.url())]).await;
            assert!(accepted.starts_with(&format!("{named} 202")), "{accepted}");
            let lower = accepted.to_lowercase();
            let location = lower.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().trim();
            let job = format!("{}{location}", bench.url());
            let status = bench.curl(&[version, &format!("{job}?wait=10s")]).await;
            assert!(status.contains(r#""status":"completed""#), "{status}");
            let content = bench.curl(&[version, "-i", &format!("{job}/content")]).await;
            assert!(content.starts_with(&format!("{named} 201")) && content.ends_with("the report"), "{content}");
            let received = bench.upstream.request().await;
            assert_eq!(received.text(), "year");
            assert_eq!(received.header("x-forwarded-proto").as_deref(), Some("https"));
        }
    }
}

once! {
    async fn a_direct_upstream_is_told_of_https(store: Store) {
        let bench = Bench::start(store).await;
        for version in ["--http1.1", "--http2"] {
            bench.curl(&[version, DIRECT[0], DIRECT[1], &format!("{}/x", bench.url())]).await;
            let received = bench.upstream.request().await;
            assert_eq!(received.headers("x-forwarded-proto"), ["https"]);
        }
    }

    async fn events_are_passed_on_as_they_come(store: Store) {
        let bench = Bench::start(store).await;
        let gate = Gate::new();
        let answer = Answer::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        let answer = answer.wait(&gate).then("data: one\n\n").wait(&gate).then("data: two\n\n").wait(&gate).close();
        bench.upstream.always(answer);
        let (url, ca) = (format!("{}/events", bench.url()), bench.ca_file());
        for version in ["--http1.1", "--http2"] {
            let curl = Curl::start(&["--cacert", &ca, version, "-H", "Accept: text/event-stream", &url]);
            for event in ["data: one", "data: two"] {
                gate.let_through(1);
                curl.line(event).await;
            }
            gate.let_through(1);
            assert_eq!(curl.to_end().await, "data: one\n\ndata: two\n");
        }
    }

    async fn large_bodies_arrive_whole_both_ways(store: Store) {
        let bench = Bench::start(store).await;
        let (upload, download) = (Pattern::new(1, 30 << 20), Pattern::new(2, 30 << 20));
        bench.upstream.always(Answer::status(200).pattern(download));
        let (sent, received) = (bench.proxq.folder().join("sent"), bench.proxq.folder().join("received"));
        fs::write(&sent, upload.bytes()).unwrap();
        let (sent, kept) = (sent.display().to_string(), received.display().to_string());
        for version in ["--http1.1", "--http2"] {
            let url = format!("{}/large", bench.url());
            bench.curl(&[version, "-o", &kept, DIRECT[0], DIRECT[1], "-T", &sent, &url]).await;
            assert_eq!(bench.upstream.request().await.digest, upload.digest(), "{version}");
            assert_eq!(Digest::of(&fs::read(&received).unwrap()), download.digest(), "{version}");
        }
    }

    async fn a_connection_is_kept_and_ends_as_tls_wants_it(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.answers(200, "response");
        let mut wire = bench.client().connect(bench.proxq.address()).await;
        for _ in 0..3 {
            wire.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
            assert_eq!(wire.reply().await.text(), "response");
        }
        wire.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\nConnection: close\r\n\r\n").await;
        assert_eq!(wire.reply().await.text(), "response");
        assert_eq!(wire.to_end().await.expect("a close_notify"), b"");
        // A refused upload whose client goes on sending sees the answer.
        let mut wire = bench.client().connect(bench.proxq.address()).await;
        wire.send("POST /../x HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n").await;
        wire.send(vec![b'x'; 100_000]).await;
        assert_eq!(wire.reply().await.status, 400);
    }

    async fn an_answer_that_breaks_off_does_not_look_complete(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").reset());
        for version in ["1.0", "1.1"] {
            let mut wire = bench.client().connect(bench.proxq.address()).await;
            wire.send(format!("GET /x HTTP/{version}\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n")).await;
            assert!(wire.try_reply().await.is_err(), "HTTP/{version}");
        }
        // Without a length, only the end of the connection tells.
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        bench.upstream.always(Answer::raw(chunked).reset());
        let mut wire = bench.client().connect(bench.proxq.address()).await;
        wire.send("GET /x HTTP/1.0\r\nX-Proxq-Mode: direct\r\n\r\n").await;
        assert!(wire.head().await.line().starts_with("HTTP/1.0 200") || wire.to_end().await.is_err());
        assert!(wire.to_end().await.is_err(), "no close_notify");
    }

    async fn a_websocket_is_carried_and_closed_half_by_half(store: Store) {
        const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: front\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: s3pPLBMiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let upstream = RawUpstream::start().await;
        let bench = Bench::with(store, |config, _| {
            config.set("routing", "longest-prefix").route(Route::new("/chat", &upstream.url()))
        })
        .await;
        for client_ends_first in [true, false] {
            let mut client = bench.client().connect(bench.proxq.address()).await;
            client.send(HANDSHAKE).await;
            let mut served = upstream.accept().await;
            assert_eq!(served.head().await.value("x-forwarded-proto").as_deref(), Some("https"));
            served.send(SWITCHED).await;
            assert_eq!(client.head().await.word(1), "101");
            client.send("from the client").await;
            served.comes("from the client").await;
            served.send("from the server").await;
            client.comes("from the server").await;
            if client_ends_first {
                client.finish().await;
                assert_eq!(served.rest().await, b"");
                served.send("the last words").await;
                served.finish().await;
                assert_eq!(client.to_end().await.expect("a close_notify"), b"the last words");
            } else {
                served.finish().await;
                assert_eq!(client.to_end().await.expect("a close_notify"), b"");
                client.send("the last words").await;
                served.comes("the last words").await;
                client.finish().await;
                served.closed().await;
            }
        }
    }

    async fn a_client_that_breaks_off_harms_nobody(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.always(Answer::nothing().hang());
        for _ in 0..5 {
            let mut wire = bench.client().connect(bench.proxq.address()).await;
            wire.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
            bench.upstream.request().await;
            wire.reset();
        }
        bench.upstream.quiet().await;
        let healthz = format!("{}/__jobs/healthz", bench.url());
        let is_open = async || bench.curl(&["-o", "/dev/null", "-w", "%{http_code}", &healthz]).await == "200";
        eventually("the server answers", is_open).await;
    }
}
