//! Tests of the limits on sizes and times of client connections, and of the answers beyond them.

use std::time::Duration;

use harness::{
    Answer, Pattern, Proxq, Store, Upstream, get, keep_pace, never_within, on_every_store, once, post, stay_silent,
};
use tokio::time::Instant;

async fn with_body_limit(store: Store, bytes: u64) -> (Proxq, Upstream) {
    let upstream = Upstream::start().await;
    let config = store.config_for(&upstream).upstream("maxBodySize", bytes);
    (Proxq::start(config).await, upstream)
}

/// A server with these limits on connections.
async fn with_limits(store: Store, limits: &[(&str, &str)]) -> (Proxq, Upstream) {
    let upstream = Upstream::start().await;
    let config = limits
        .iter()
        .fold(store.config_for(&upstream), |config, (key, value)| config.set(&format!("limits.{key}"), *value));
    (Proxq::start(config).await, upstream)
}

once! {
    async fn a_body_that_is_too_large_is_refused_at_once_when_its_length_says_so(store: Store) {
        let (proxq, upstream) = with_body_limit(store, 1000).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n").await;
        let reply = wire.reply().await; // no byte of the body was sent
        reply.refused(413, "BODY_TOO_LARGE");
        assert!(reply.detail().contains("1000"), "the detail says what would be right: {}", reply.detail());
        assert!(upstream.received().is_empty());
    }

    async fn a_client_that_sends_on_sees_the_refusal(store: Store) {
        let (proxq, _upstream) = with_body_limit(store, 1000).await;
        for _ in 0..10 {
            let mut wire = proxq.wire().await;
            let length = 900 << 10; // below what ends the connection
            wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")).await;
            wire.send(vec![b'x'; length]).await;
            wire.reply().await.refused(413, "BODY_TOO_LARGE");
        }
    }

    async fn a_client_of_unknown_length_that_sends_on_sees_the_refusal(proxq: Proxq, _upstream: Upstream) {
        let mut wire = proxq.wire().await;
        wire.send("POST /.. HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..9 {
            wire.send(format!("186a0\r\n{}\r\n", "x".repeat(100_000))).await;
        }
        wire.send("0\r\n\r\n").await;
        wire.reply().await.refused(400, "BAD_PATH");
    }

    async fn a_refused_body_is_not_waited_for_longer_than_five_seconds(store: Store) {
        let (proxq, _upstream) = with_body_limit(store, 1000).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n").await;
        let begin = Instant::now();
        wire.reply().await.refused(413, "BODY_TOO_LARGE");
        wire.closed().await;
        assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
    }

    async fn an_answer_ends_the_connection_where_the_rest_of_the_body_is_too_long(store: Store) {
        let (proxq, _upstream) = with_body_limit(store, 1000).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n").await;
        let reply = wire.reply().await;
        reply.refused(413, "BODY_TOO_LARGE");
        assert_eq!(reply.header("connection").as_deref(), Some("close"), "{reply}");
        wire.send(vec![b'x'; 10_000_000]).await;
        wire.closed().await;
    }

    async fn a_refusal_comes_instead_of_100_continue(store: Store) {
        let (proxq, _upstream) = with_body_limit(store, 1000).await;
        for (target, header, status) in
            [("/x", "", 413), ("/..", "", 400), ("/x", "X-Proxq-Timeout: soon\r\n", 400), ("/__jobs/x", "", 405)]
        {
            let mut wire = proxq.wire().await;
            let head = format!(
                "POST {target} HTTP/1.1\r\nHost: h\r\n{header}Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
            );
            wire.send(head).await;
            let reply = wire.reply().await;
            assert_eq!(reply.status, status, "{target} {header}");
            assert_eq!(reply.header("connection").as_deref(), Some("close"), "the body is not read: {reply}");
            wire.closed().await;
        }
    }

    async fn a_connection_lives_on_after_a_small_refused_body(store: Store) {
        let (proxq, _upstream) = with_body_limit(store, 1000).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n").await;
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (413, None), "{reply}");
        wire.send(vec![b'x'; 2000]).await;
        wire.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n").await;
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (200, None), "there is no body to wait for: {reply}");
    }

    async fn a_head_that_is_too_large_is_refused(store: Store) {
        let (proxq, upstream) = with_limits(store, &[("maxHeaderBytes", "16KiB")]).await;
        let large = get("/x").header("X-Large", vec![b'x'; 20_000]);
        let mut wire = proxq.wire().await;
        let head = format!("GET /x HTTP/1.1\r\nHost: h\r\nX-Large: {}\r\n\r\n", "x".repeat(20_000));
        wire.try_send(head).await.ok();
        assert_eq!(wire.reply().await.status, 431);
        assert_eq!(proxq.send(large).await.status, 431);
        proxq.submit(get("/x").header("X-Fits", vec![b'x'; 10_000])).await;
        assert_eq!(upstream.request().await.header("x-fits").unwrap().len(), 10_000);
    }

    async fn a_head_without_end_is_refused(proxq: Proxq, _upstream: Upstream) {
        let mut wire = proxq.wire().await;
        wire.send("GET /x HTTP/1.1\r\nHost: h\r\n").await;
        for _ in 0..200 {
            wire.send("X-Filler: and another one, and another one\r\n".repeat(100)).await;
        }
        assert_eq!(wire.reply().await.status, 431);
        wire.closed().await;
        proxq.submit(get("/x")).await; // others are served
    }

    async fn a_target_that_is_too_long_is_refused(proxq: Proxq, _upstream: Upstream) {
        let mut wire = proxq.wire().await;
        wire.try_send(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(70_000))).await.ok();
        let reply = wire.reply().await;
        assert!(matches!(reply.status, 414 | 431), "{reply}");
    }

    async fn a_slow_head_is_cut_off(store: Store) {
        let (proxq, _upstream) = with_limits(store, &[("headerReadTimeout", "300ms")]).await;
        let mut wire = proxq.wire().await;
        let begin = Instant::now();
        for byte in b"GET /x HTTP/1.1\r\nHost: h\r\nX-Slow: ".iter().cycle() {
            if wire.try_send([*byte]).await.is_err() {
                break;
            }
            keep_pace(Duration::from_millis(20)).await; // each byte in time, the whole not
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }

    async fn a_silent_connection_is_closed(store: Store) {
        let (proxq, _upstream) = with_limits(store, &[("headerReadTimeout", "300ms")]).await;
        for beginning in ["", "P", "PRI * HT", "GET /x HTTP/1.1\r\nHost"] {
            let mut wire = proxq.wire().await;
            wire.send(beginning).await;
            let begin = Instant::now();
            assert!(
                wire.try_reply("GET").await.is_err_and(|e| e.kind() == std::io::ErrorKind::UnexpectedEof),
                "{beginning:?}"
            );
            assert!(begin.elapsed() < Duration::from_secs(3), "{beginning:?}: {:?}", begin.elapsed());
        }
    }

    async fn an_idle_connection_is_closed_by_its_own_limit(store: Store) {
        let (proxq, _upstream) = with_limits(store, &[("headerReadTimeout", "200ms"), ("idleTimeout", "1s")]).await;
        let mut wire = proxq.wire().await;
        for _ in 0..2 {
            wire.assert_healthy().await;
            stay_silent(Duration::from_millis(500)).await; // longer than a head may take, shorter than the connection may idle
        }
        let begin = Instant::now();
        wire.closed().await;
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    }

    async fn more_connections_than_allowed_wait_for_their_turn(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.maxConnections", 4)).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut wire = proxq.wire().await;
            wire.assert_healthy().await;
            held.push(wire);
        }
        let mut waiting = proxq.wire().await;
        waiting.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        // Less than the time for which a connection is idle before it has to make room.
        never_within(Duration::from_millis(100), "a fifth connection is served", waiting.head()).await;
        drop(held.pop());
        assert_eq!(waiting.reply().await.status, 200);
    }

    async fn a_flood_of_silent_connections_keeps_nobody_out_for_long(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).set("limits.maxConnections", 100);
        let proxq = Proxq::start(config.set("limits.headerReadTimeout", "500ms")).await;
        proxq.assert_healthy().await;
        let idle = proxq.memory();
        let mut flood = Vec::new();
        for number in 0..400 {
            let mut wire = proxq.wire().await;
            if number % 2 == 0 {
                // Those that wait in the backlog are not read, and may be closed at once when their turn comes.
                wire.try_send("GET /x HT").await.ok();
            }
            flood.push(wire);
        }
        assert_eq!(proxq.send(get("/__jobs/healthz")).await.status, 200, "served in its turn");
        let above = proxq.memory().saturating_sub(idle);
        assert!(above <= 16 << 20, "{above} bytes above idle");
    }

    async fn many_clients_that_stop_in_the_middle_of_a_direct_upload_cost_little(store: Store) {
        let (proxq, _upstream) = with_limits(store, &[("idleTimeout", "1s")]).await;
        proxq.assert_healthy().await;
        let idle = proxq.memory();
        let mut silent = Vec::new();
        for _ in 0..200 {
            let mut wire = proxq.wire().await;
            wire.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
            silent.push(wire);
        }
        let above = proxq.memory().saturating_sub(idle);
        assert!(above <= 32 << 20, "{above} bytes above idle");
        for wire in &mut silent {
            wire.closed().await;
        }
        proxq.assert_healthy().await;
    }
}

on_every_store! {
    async fn a_response_head_is_read_up_to_its_limits(proxq: Proxq, upstream: Upstream) {
        let small = |count: usize| "X-Small: 1\r\n".repeat(count);
        let large = |bytes: usize| format!("X-Large: {}\r\n", "x".repeat(bytes - "X-Large: \r\n".len()));
        let length = "Content-Length: 2\r\n";
        let most = 256 * 1024;
        for (fields, is_read) in [
            (small(511), true),
            (small(512), false),
            (large(most - length.len()), true),
            (large(most - length.len() + 1), false),
            (large(most * 5 / 4), false),
            (large(most * 2), false),
        ] {
            upstream.always(Answer::raw(format!("HTTP/1.1 200 OK\r\n{length}{fields}\r\nhi")));
            let direct = proxq.send(get("/x?stream=true")).await;
            let job = proxq.submit(get("/x")).await;
            let status = proxq.settled(&job).await;
            if is_read {
                assert_eq!((direct.from_upstream(200).text(), status.error), ("hi".to_owned(), None));
                assert_eq!(proxq.response(&job).await.text(), "hi");
            } else {
                direct.refused(502, "UPSTREAM_UNREACHABLE");
                let expected = format!(
                    "forward request: the response head of {} is too large: it may have 262144 bytes and 512 fields",
                    upstream.url()
                );
                assert_eq!((direct.detail(), status.error), (expected.clone(), Some(expected)));
            }
        }
    }

    async fn a_body_of_the_largest_size_is_taken_whole(store: Store) {
        let (proxq, upstream) = with_body_limit(store, 1000).await;
        proxq.through_queue(post("/x").body("x".repeat(1000))).await;
        assert_eq!(upstream.request().await.body.len(), 1000);
        proxq.send(post("/x").body("x".repeat(1001))).await.refused(413, "BODY_TOO_LARGE");
        assert_eq!(upstream.received().len(), 1, "never truncated");
    }

    async fn a_head_of_64_kib_fits_by_default(proxq: Proxq, upstream: Upstream) {
        let request = (0..60).fold(get("/x"), |request, n| request.header(&format!("X-{n}"), vec![b'x'; 1000]));
        proxq.submit(request).await;
        assert_eq!(upstream.request().await.header("x-59").unwrap().len(), 1000);
    }

    async fn a_slow_body_is_waited_for(store: Store) {
        let (proxq, upstream) = with_limits(store, &[("headerReadTimeout", "200ms"), ("idleTimeout", "200ms")]).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n").await;
        for byte in b"0123456789" {
            keep_pace(Duration::from_millis(60)).await;
            wire.send([*byte]).await;
        }
        assert_eq!(wire.reply().await.status, 202);
        assert_eq!(upstream.request().await.text(), "0123456789");
    }

    async fn a_client_that_takes_nothing_of_its_answer_loses_its_connection(store: Store) {
        let upstream = Upstream::start().await;
        // More than the sockets' buffers hold on both sides.
        upstream.always(Answer::status(200).pattern(Pattern::new(1, 32 << 20)));
        let config = store.config_for(&upstream).set("limits.maxConnections", 1).set("limits.idleTimeout", "300ms");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(get("/large")).await;
        proxq.settled(&job).await;
        let mut unread = proxq.wire().await;
        unread.send(format!("GET {}/content HTTP/1.1\r\nHost: h\r\n\r\n", job.location)).await;
        // There is no place for this one until the other is gone.
        proxq.assert_healthy().await;
        drop(unread);
    }

    async fn many_jobs_at_once_are_all_served(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..64 {
            let client = (*proxq).clone();
            clients.spawn(async move {
                for turn in 0..5 {
                    let body = format!("{number}/{turn}");
                    assert_eq!(client.through_queue(post("/x").body(body.clone())).await.text(), body);
                }
            });
        }
        clients.join_all().await;
    }
}
