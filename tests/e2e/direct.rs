//! Tests of requests that bypass the queue: both bodies stream, and each side sees when the other breaks off.

use std::time::Duration;

use harness::{
    Answer, Gate, Pattern, Proxq, RawUpstream, Refusing, Request, Route, Store, Upstream, get, keep_pace, once, post,
    stay_silent,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Sends a request of which nothing may be queued.
fn direct(path: &str) -> Request {
    get(path).header("X-Proxq-Mode", "direct")
}

async fn in_front_of(store: Store, url: &str) -> Proxq {
    Proxq::start(store.config().route(Route::new("/", url))).await
}

once! {
    async fn the_upstreams_response_comes_as_it_is(proxq: Proxq, upstream: Upstream) {
        let answer = Answer::status(418).header("X-Dup", "a").header("X-Dup", "b").header("X-Odd", b"\xfe");
        upstream.always(answer.header("Date", "Thu, 01 Jan 2026 00:00:00 GMT").header("X-Proxq-Source", "proxq").body("I am"));
        let reply = proxq.send(direct("/tea?pot")).await.from_upstream(418);
        assert_eq!((reply.text().as_str(), reply.head.values("x-dup")), ("I am", vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(reply.head.values_raw("x-odd"), [b"\xfe"]);
        assert_eq!(reply.head.values("date"), ["Thu, 01 Jan 2026 00:00:00 GMT"]);
        assert!(!reply.head.has("x-request-id"), "{reply}");
        assert_eq!(upstream.request().await.target(), "/tea?pot");
    }

    async fn every_event_arrives_when_it_is_sent(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        client.send("GET /events HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(head.value("content-type").as_deref(), Some("text/event-stream"));
        let mut slowest = Duration::ZERO;
        for number in 0..20 {
            let began = Instant::now();
            let event = format!("data: {number:04}\n\n");
            served.send(format!("c\r\n{event}\r\n")).await;
            // The next is not sent before this one has come.
            client.comes(format!("C\r\n{event}\r\n")).await;
            slowest = slowest.max(began.elapsed());
        }
        eprintln!("the slowest of 20 events took {slowest:?}");
        assert!(slowest < Duration::from_secs(1), "an event took {slowest:?}");
        served.send("0\r\n\r\n").await;
        client.comes("0\r\n\r\n").await;
    }

    async fn a_request_body_arrives_as_it_is_sent(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        client.send("POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut served = upstream.accept().await;
        assert_eq!(served.head().await.value("transfer-encoding").as_deref(), Some("chunked"));
        for piece in ["first", "other", "third"] {
            client.send(format!("5\r\n{piece}\r\n")).await;
            served.comes(format!("5\r\n{piece}\r\n")).await;
        }
        // And an answer may come before its end.
        served.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nso").await;
        assert_eq!(client.head().await.word(1), "200");
        client.comes("so").await;
        client.send("5\r\nafter\r\n0\r\n\r\n").await;
        served.comes("5\r\nafter\r\n0\r\n\r\n").await;
        served.send("me").await;
        client.comes("me").await;
    }

    async fn trailers_pass_both_ways(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\n").await;
        client.send("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n").await;
        let mut served = upstream.accept().await;
        let head = served.head().await;
        assert_eq!(head.value("te").as_deref(), Some("trailers"));
        served.comes("2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n").await;
        served.send("HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        served.send("2\r\nho\r\n0\r\nX-End: 9\r\n\r\n").await;
        client.head().await;
        client.comes("2\r\nho\r\n0\r\nX-End: 9\r\n\r\n").await;
    }

    async fn a_client_that_goes_away_ends_the_exchange(store: Store) {
        for phase in ["before the head", "in the body"] {
            let upstream = RawUpstream::start().await;
            let proxq = in_front_of(store, &upstream.url()).await;
            let mut client = proxq.wire().await;
            client.send("GET /x?stream=true HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let mut served = upstream.accept().await;
            served.head().await;
            if phase == "in the body" {
                served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
                client.head().await;
                client.comes("2\r\nhi\r\n").await;
            }
            drop(client);
            assert_eq!(served.rest().await, b"", "{phase}");
            if phase == "before the head" {
                let gone = proxq.log().find(|record| record.message() == "client went away before its answer").await;
                assert!(gone.is_some(), "one line a request, answered or not");
            }
        }
    }

    async fn a_client_that_breaks_off_its_upload_breaks_off_the_upstreams(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        for framing in ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "X-Proxq-Mode: direct\r\nContent-Length: 100\r\n\r\nhello"] {
            let mut client = proxq.wire().await;
            client.send(format!("POST /x HTTP/1.1\r\nHost: h\r\n{framing}")).await;
            let mut served = upstream.accept().await;
            served.head().await;
            client.finish().await;
            let came = served.rest().await;
            assert!(!came.ends_with(b"0\r\n\r\n"), "no clean end: {}", String::from_utf8_lossy(&came));
        }
    }

    async fn a_response_that_breaks_off_breaks_off_the_clients(proxq: Proxq, upstream: Upstream) {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        let fixed = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        for (begun, shown) in [(chunked, "4\r\nhalf\r\n"), (fixed, "half")] {
            for reset in [true, false] {
                let gate = Gate::new();
                let answer = Answer::raw(begun).wait(&gate);
                upstream.once(if reset { answer.reset() } else { answer.close() });
                let mut client = proxq.wire().await;
                client.send("GET /x?stream=true HTTP/1.1\r\nHost: h\r\n\r\n").await;
                assert_eq!(client.head().await.word(1), "200");
                client.comes(shown).await;
                gate.open();
                assert_eq!(client.rest().await, b"", "nothing that looks like an end, and no error text");
            }
        }
    }

    async fn a_client_of_http_1_0_sees_that_its_answer_broke_off(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").close());
        let mut client = TcpStream::connect(proxq.address()).await.unwrap();
        client.write_all(b"GET /x?stream=true HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let ended = harness::within("the answer ends", client.read_to_end(&mut answer)).await;
        assert!(ended.is_err(), "it looks complete: {}", String::from_utf8_lossy(&answer));
    }

    async fn a_client_that_has_its_answer_may_be_silent(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("limits.idleTimeout", "200ms").route(Route::new("/", &upstream.url()));
        let proxq = Proxq::start(config).await;
        let mut client = proxq.wire().await;
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.comes("2\r\nhi\r\n").await;
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.head().await;
        stay_silent(Duration::from_secs(1)).await;
        served.send("2\r\nho\r\n").await;
        client.comes("2\r\nho\r\n").await;
        client.send("0\r\n\r\n").await;
        served.comes("0\r\n\r\n").await;
    }

    async fn trailers_of_a_request_carry_no_forwarding_fields(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        let names =
            ["X-Sum", "X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "Via", "X-Proxq-Job-Id", "X_Proxq-Job_Id", "Connection"];
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n").await;
        client.send(format!("Trailer: {}\r\n\r\n2\r\nhi\r\n0\r\n", names.join(", "))).await;
        client.send(names.map(|name| format!("{name}: 1\r\n")).concat() + "\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.comes("2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    }

    async fn an_answer_to_a_whole_body_keeps_the_connection(store: Store) {
        let refusing = Refusing::new();
        let proxq = in_front_of(store, &refusing.url()).await;
        let mut client = proxq.wire().await;
        for _ in 0..2 {
            client.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
            client.reply().await.refused(502, "UPSTREAM_UNREACHABLE");
        }
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().close());
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        for _ in 0..2 {
            client.send("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\nContent-Length: 2\r\n\r\nhi").await;
            client.reply().await.refused(502, "UPSTREAM_UNREACHABLE");
        }
    }

    async fn an_unreachable_upstream_is_a_502(store: Store) {
        let refusing = Refusing::new();
        let proxq = in_front_of(store, &refusing.url()).await;
        for request in [direct("/x?secret=1"), post("/x").header("X-Proxq-Mode", "direct").body("hello")] {
            let reply = proxq.send(request).await;
            reply.refused(502, "UPSTREAM_UNREACHABLE");
            let expected = format!("forward request: connect to {}: connection refused", refusing.url());
            assert_eq!(reply.detail(), expected);
        }
    }

    async fn an_upstream_that_ends_without_an_answer_is_a_502(proxq: Proxq, upstream: Upstream) {
        for broken in [Answer::nothing().close(), Answer::nothing().reset(), Answer::raw("This is not HTTP\r\n\r\n")] {
            upstream.once(broken);
            proxq.send(direct("/x")).await.refused(502, "UPSTREAM_UNREACHABLE");
        }
        assert_eq!(upstream.received().len(), 3, "nothing was sent again on a new connection");
    }

    async fn a_response_head_that_does_not_come_in_time_is_a_504(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("timeout", "200ms")).await;
        for request in [direct("/x"), post("/x").header("X-Proxq-Mode", "direct").body("hello")] {
            let reply = proxq.send(request).await;
            reply.refused(504, "UPSTREAM_TIMEOUT");
            assert!(reply.detail().ends_with("within 200ms"), "{}", reply.detail());
        }
        upstream.quiet().await;
    }

    async fn a_clients_own_limit_counts_for_direct_requests_too(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        proxq.send(direct("/x").header("X-Proxq-Timeout", "100ms")).await.refused(504, "UPSTREAM_TIMEOUT");
        proxq.send(direct("/x").header("X-Proxq-Timeout", "soon")).await.refused(400, "BAD_HEADER");
    }

    async fn a_slow_upload_does_not_count_towards_the_upstreams_timeout(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().route(Route::new("/", &upstream.url()).set("timeout", "300ms"));
        let proxq = Proxq::start(config).await;
        let mut client = proxq.wire().await;
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        for _ in 0..4 {
            stay_silent(Duration::from_millis(200)).await;
            client.send("1\r\nx\r\n").await;
            served.comes("1\r\nx\r\n").await;
        }
        client.send("0\r\n\r\n").await;
        served.comes("0\r\n\r\n").await;
        client.reply().await.refused(504, "UPSTREAM_TIMEOUT");
    }

    async fn a_client_that_falls_silent_in_its_body_is_given_up(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("limits.idleTimeout", "300ms").route(Route::new("/", &upstream.url()));
        let proxq = Proxq::start(config).await;
        let mut client = proxq.wire().await;
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        client.closed().await;
        assert_eq!(served.rest().await, b"5\r\nhello\r\n");
    }

    async fn a_stream_may_be_silent_for_longer_than_any_limit(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("limits.idleTimeout", "200ms").set("limits.headerReadTimeout", "200ms");
        let proxq = Proxq::start(config.route(Route::new("/", &upstream.url()).set("timeout", "200ms"))).await;
        let mut client = proxq.wire().await;
        client.send("GET /x?stream=true HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.head().await;
        stay_silent(Duration::from_secs(1)).await;
        served.send("2\r\nhi\r\n0\r\n\r\n").await;
        client.comes("2\r\nhi\r\n0\r\n\r\n").await;
    }

    async fn an_upstream_that_closes_idle_connections_fails_nobody(proxq: Proxq, upstream: Upstream) {
        upstream.closes_idle_after(Duration::from_secs(1));
        let mut clients = JoinSet::new();
        for number in 0..60_u64 {
            let client = (*proxq).clone();
            clients.spawn(async move {
                for round in 0..5 {
                    // Around the moment at which the connection of the request before is closed.
                    keep_pace(Duration::from_millis(970 + number)).await;
                    let request = if (number + round) % 2 == 0 { get("/x") } else { post("/x").body("hello") };
                    client.send(request.header("X-Proxq-Mode", "direct")).await.from_upstream(200);
                }
            });
        }
        clients.join_all().await;
        assert_eq!(upstream.received().iter().filter(|received| received.complete).count(), 300);
        let connections = upstream.connections();
        assert!(connections < 300, "some were kept: {connections}");
    }

    async fn large_bodies_pass_whole_in_bounded_memory(proxq: Proxq, upstream: Upstream) {
        const ABOVE_IDLE_BYTES_MAX: u64 = 32 << 20;
        let length = std::env::var("PROXQ_TEST_DIRECT_MIB").map_or(128, |mib| mib.parse().unwrap()) << 20;
        let (up, down) = (Pattern::new(1, length), Pattern::new(2, length));
        proxq.send(direct("/warm-up")).await.from_upstream(200);
        let idle = proxq.memory();
        upstream.always(Answer::status(200).pattern(down));
        let reply = proxq.send(post("/x").pattern(up)).await.from_upstream(200);
        assert_eq!(reply.digest, down.digest());
        assert_eq!(upstream.received()[1].digest, up.digest());
        let above = proxq.memory_peak().saturating_sub(idle);
        eprintln!("{length} bytes each way: {above} bytes above {idle} idle");
        assert!(above <= ABOVE_IDLE_BYTES_MAX, "{above} bytes above idle");
    }

    async fn a_client_that_does_not_read_holds_its_upstream_back(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(200).pattern(Pattern::new(1, 256 << 20)));
        proxq.assert_healthy().await;
        let idle = proxq.memory();
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = proxq.wire().await;
            client.send("GET /x?stream=true HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert_eq!(client.head().await.word(1), "200");
            clients.push(client);
        }
        proxq.assert_healthy().await;
        let above = proxq.memory().saturating_sub(idle);
        assert!(above <= 32 << 20, "{above} bytes above idle");
    }
}
