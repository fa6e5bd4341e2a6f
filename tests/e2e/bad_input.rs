//! Tests of malformed requests and broken submissions: they are refused, leave nothing behind and harm no other client.

use harness::{Http2Client, Proxq, Store, Upstream, eventually, get, on_every_store, once, post};
use proxq_protocol::{JobId, header};

/// The server is as it was: it takes a job and does it, and nothing else has reached the upstream.
async fn still_works(proxq: &Proxq, upstream: &Upstream) {
    let job = proxq.submit(post("/still-works")).await;
    proxq.response(&job).await;
    let received = upstream.received();
    let others: Vec<_> = received.iter().filter(|received| received.target() != "/still-works").collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Begins a submission of 4,000,000 bytes and sends half of it: more than any store has in memory of a body.
async fn half_a_submission(proxq: &Proxq, id: JobId) -> harness::Wire {
    let mut wire = proxq.wire().await;
    wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Job-Id: {id}\r\nContent-Length: 4000000\r\n\r\n")).await;
    wire.send(vec![b'x'; 2_000_000]).await;
    wire
}

on_every_store! {
    async fn a_client_that_leaves_before_its_body_is_complete_leaves_nothing_behind(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 10_000)).await;
        let before = proxq.large_bodies();
        for reset in [true, false] {
            let id = JobId::new();
            let mut wire = half_a_submission(&proxq, id).await;
            eventually("the body is being written", async || proxq.large_bodies() > before).await;
            if reset {
                wire.reset();
            } else {
                wire.finish().await;
                let answer = wire.try_reply("POST").await;
                assert!(answer.as_ref().map_or(true, |reply| reply.status == 400), "{answer:?}");
            }
            proxq.keeps_large_bodies(before).await;
            proxq.send(get(&format!("/__jobs/{id}"))).await.refused(404, "NOT_FOUND");
        }
        still_works(&proxq, &upstream).await;
    }

    async fn a_small_body_that_is_cut_short_makes_no_job(proxq: Proxq, upstream: Upstream) {
        let id = JobId::new();
        let mut wire = proxq.wire().await;
        wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Job-Id: {id}\r\nContent-Length: 10\r\n\r\nhalf"))
            .await;
        wire.finish().await;
        let answer = wire.try_reply("POST").await;
        assert!(answer.as_ref().map_or(true, |reply| reply.status == 400), "{answer:?}");
        proxq.send(get(&format!("/__jobs/{id}"))).await.refused(404, "NOT_FOUND");
        still_works(&proxq, &upstream).await;
    }

    async fn a_crash_in_the_middle_of_a_submission_leaves_no_job(store: Store) {
        let upstream = Upstream::start().await;
        let mut proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 10_000)).await;
        let before = proxq.large_bodies();
        let id = JobId::new();
        let _wire = half_a_submission(&proxq, id).await;
        eventually("the body is being written", async || proxq.large_bodies() > before).await;
        proxq.kill();
        proxq.start_again().await;
        proxq.send(get(&format!("/__jobs/{id}"))).await.refused(404, "NOT_FOUND");
        still_works(&proxq, &upstream).await;
    }

    async fn submissions_on_one_connection_are_answered_in_order(proxq: Proxq, upstream: Upstream) {
        let mut wire = proxq.wire().await;
        let ids: Vec<_> = (0..5).map(|_| JobId::new()).collect();
        let request = |id: &JobId| {
            format!("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Job-Id: {id}\r\nContent-Length: 4\r\n\r\nbody")
        };
        wire.send(ids.iter().map(request).collect::<String>()).await;
        for id in &ids {
            assert_eq!(wire.reply().await.header(header::JOB_ID), Some(id.to_string()));
        }
        upstream.arrivals(5).await;
    }

    async fn a_client_that_never_reads_harms_nobody(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, &"x".repeat(1 << 20));
        let job = proxq.submit(get("/still-works")).await;
        proxq.response(&job).await;
        let mut silent = Vec::new();
        for _ in 0..20 {
            let mut wire = proxq.wire().await;
            for _ in 0..4 {
                wire.send(format!("GET {}/content HTTP/1.1\r\nHost: h\r\n\r\n", job.location)).await;
            }
            silent.push(wire);
        }
        still_works(&proxq, &upstream).await;
    }
}

once! {
    async fn what_is_not_http_is_refused(proxq: Proxq, upstream: Upstream) {
        for nonsense in [
            "\r\n\r\n\0\0\0\0",
            "hello\r\n\r\n",
            "GET\r\n\r\n",
            "GET /x\r\n\r\n",
            "GET /x HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /x HTTP/3.0\r\nHost: h\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET x:80 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET ?x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
            "G@T /x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: h\r\nX A: space in the name\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: h\r\nX-A : space behind the name\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: h\r\nX-A: nul \0 inside\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: h\r\nX-A: folded\r\n over lines\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame of HTTP/2",
        ] {
            let mut wire = proxq.wire().await;
            wire.try_send(nonsense).await.ok();
            let answer = wire.try_reply("GET").await;
            assert!(
                answer.as_ref().map_or(true, |reply| (400..=505).contains(&reply.status)),
                "{nonsense:?}: {answer:?}"
            );
        }
        still_works(&proxq, &upstream).await;
    }

    async fn contradicting_lengths_are_refused(proxq: Proxq, upstream: Upstream) {
        for lengths in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2, 3\r\n",
            "Content-Length: -2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: 0x2\r\n",
            "Content-Length: two\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        ] {
            let reply = proxq.raw(format!("POST /x HTTP/1.1\r\nHost: h\r\n{lengths}\r\nhi")).await;
            assert!(matches!(reply.status, 400 | 413 | 501), "{lengths:?}: {reply}");
        }
        let old =
            proxq.raw("POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
        assert_eq!(old.status, 400, "{old}");
        still_works(&proxq, &upstream).await;
    }

    async fn a_request_hidden_behind_a_length_is_not_seen_as_one(proxq: Proxq, upstream: Upstream) {
        // By its chunks the first request is over after five bytes; by its length it is not.
        let hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
        let length = 5 + hidden.len();
        let head =
            format!("POST /still-works HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut wire = proxq.wire().await;
        wire.send(format!("{head}0\r\n\r\n{hidden}")).await;
        let reply = wire.reply().await.from_upstream(200);
        assert_eq!(reply.header("connection").as_deref(), Some("close"), "{reply}");
        wire.closed().await;
        let received = upstream.request().await;
        assert_eq!((received.target(), received.text().as_str()), ("/still-works", ""));
        assert_eq!(received.header("content-length"), None);
        still_works(&proxq, &upstream).await;
    }

    async fn a_control_header_that_is_not_text_is_refused(proxq: Proxq, upstream: Upstream) {
        for name in ["X-Proxq-Timeout", "X-Proxq-Job-Id"] {
            let reply = proxq.send(post("/x").header(name, b"\xff\xfe")).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.detail().contains(name), "{}", reply.detail());
        }
        still_works(&proxq, &upstream).await;
    }

    async fn a_request_names_its_host_exactly_once(proxq: Proxq, upstream: Upstream) {
        let old = proxq.raw("GET /still-works HTTP/1.0\r\n\r\n").await;
        assert_eq!(old.status, 202, "HTTP/1.0 needs none: {old}");
        assert_eq!(upstream.request().await.header("host"), Some(upstream.address().to_string()));
        for hosts in ["", "Host: a\r\nHost: b\r\n"] {
            proxq.raw(format!("GET /x HTTP/1.1\r\n{hosts}\r\n")).await.refused(400, "BAD_HEADER");
        }
        still_works(&proxq, &upstream).await;
    }

    async fn a_host_is_a_name_or_an_address(proxq: Proxq, upstream: Upstream) {
        for host in ["", "h:", "[::1]:80", "a_b.example:8080"] {
            let reply = proxq.raw(format!("GET /still-works HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(reply.status, 202, "{host:?}: {reply}");
        }
        upstream.arrivals(4).await;
        for host in ["a b", "u@h", "a/b", "[::1", "h:x", "h\u{e9}"] {
            for target in ["/x", "/__jobs/healthz", "http://h/x"] {
                let reply = proxq.raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
                reply.refused(400, "BAD_HEADER");
                assert!(reply.detail().starts_with(&format!("Host: {host:?} is not valid")), "{}", reply.detail());
            }
        }
        let mut client = Http2Client::connect(proxq.address()).await;
        let user = http::Request::builder().uri("http://u@h/x").body("").unwrap();
        let reply = client.send(user).await;
        assert!(reply.status == 400 && reply.text().contains("BAD_HEADER"), "{reply:?}");
        assert_eq!(upstream.received().len(), 4, "none goes on");
        still_works(&proxq, &upstream).await;
    }
}
