//! Tests of the bytes on both sides of a direct request: whatever a client sends, its upstream sees one request, and the one
//! that was meant.

use harness::{Answer, Proxq, RawUpstream, Route, Store, Upstream, Wire, once};

/// The bytes of a request as the upstream gets them, of one that a client has sent raw; both connections, too.
async fn passed(store: Store, request: &str) -> (String, Wire, Wire, Proxq) {
    let upstream = RawUpstream::start().await;
    let config = store.config().set("viaName", "edge").set("trustedProxies", Vec::<String>::new());
    let route = Route::new("/", &upstream.url()).set("pathFilter.patterns", vec![".*"]);
    let proxq = Proxq::start(config.route(route)).await;
    let mut client = proxq.wire().await;
    client.send(request).await;
    let mut served = upstream.accept().await;
    let head = String::from_utf8(served.head().await.raw().to_vec()).unwrap();
    let head = head.replace(&upstream.address().to_string(), "UPSTREAM");
    (head, client, served, proxq)
}

once! {
    async fn a_request_arrives_byte_for_byte_but_for_what_the_contract_names(store: Store) {
        let request = "PATCH /a%2Fb//c/./d?q=%20x&y='| HTTP/1.1\r\n\
            hOST: front\r\nx-dup: 1\r\nX-Dup:  2 \r\nX-Dup: \r\nX-Hop: gone\r\nConnection: X-Hop, close\r\nKeep-Alive: 5\r\n\
            Proxy-Connection: close\r\nX-Request-ID: mine\r\nX-Proxq-Anything: gone\r\nForwarded: for=1.2.3.4\r\n\
            TE: gzip\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi";
        let (head, mut client, mut served, _proxq) = passed(store, request).await;
        let expected = "PATCH /a%2Fb//c/./d?q=%20x&y='| HTTP/1.1\r\n\
            Host: UPSTREAM\r\nX-Dup: 1\r\nX-Dup: 2\r\nX-Dup: \r\nX-Request-Id: mine\r\nContent-Length: 2\r\n\
            X-Forwarded-For: 127.0.0.1\r\nX-Real-Ip: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: front\r\n\
            Via: 1.1 edge\r\n\r\n";
        let sorted = |head: &str| {
            let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
            lines[2..].sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
            lines
        };
        assert_eq!(sorted(&head), sorted(expected));
        served.comes("hi").await;
        served.send("HTTP/1.1 299 Odd\r\nx-lower: a\r\nX-Two: 1\r\nX-Two: 2\r\nConnection: X-Gone\r\nX-Gone: 1\r\n").await;
        served.send("Date: today\r\nContent-Length: 2\r\n\r\nho").await;
        let reply = client.reply().await.from_upstream(299);
        assert_eq!(reply.head.values("x-two"), ["1", "2"]);
        assert_eq!((reply.header("x-gone"), reply.header("date").as_deref()), (None, Some("today")));
        client.closed().await;
    }

    async fn a_body_of_chunks_is_passed_on_in_chunks_without_their_extensions(store: Store) {
        let request = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;name=value\r\nabc\r\n0003;x=\"1\\\"2\"\r\ndef\r\n0;last\r\nX-Undeclared: 1\r\n\r\n";
        let (head, mut client, mut served, _proxq) = passed(store, request).await;
        assert!(head.contains("Transfer-Encoding: chunked\r\n") && !head.contains("Content-Length"), "{head}");
        served.comes("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n").await;
        served.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        client.reply().await.from_upstream(204);
    }

    async fn chunked_coding_overrides_a_length_and_ends_the_connection(store: Store) {
        for fields in ["Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"] {
            let hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
            let request = format!("POST /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n2\r\nhi\r\n0\r\n\r\n{hidden}");
            let (head, mut client, mut served, _proxq) = passed(store, &request).await;
            assert!(head.contains("Transfer-Encoding: chunked\r\n") && !head.contains("Content-Length"), "{head}");
            served.comes("2\r\nhi\r\n0\r\n\r\n").await;
            served.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho").await;
            let reply = client.reply().await.from_upstream(200);
            assert_eq!(reply.header("connection").as_deref(), Some("close"));
            client.closed().await;
        }
    }

    async fn a_get_with_a_body_keeps_it(store: Store) {
        let chunked = "GET /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        let (_, _client, mut served, _proxq) = passed(store, chunked).await;
        served.comes("2\r\nhi\r\n0\r\n\r\n").await;
        let fixed = "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
        let (head, _client, mut served, _proxq) = passed(store, fixed).await;
        assert!(head.contains("Content-Length: 2\r\n"), "{head}");
        served.comes("hi").await;
    }

    async fn an_ambiguous_request_never_reaches_an_upstream(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("pathFilter.patterns", vec![".*"]);
        let proxq = Proxq::start(config).await;
        for framing in [
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
            "Content-Length: 2,3\r\n\r\nhi!",
            "Content-Length: +2\r\n\r\nhi",
            "Content-Length: 2\r\n 3\r\n\r\nhi",
            "Content-Length : 2\r\n\r\nhi",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            "X: y\r\n\tz\r\n\r\n",
            "X: y\rZ: z\r\n\r\n",
        ] {
            let reply = proxq.raw(format!("POST /x HTTP/1.1\r\nHost: h\r\n{framing}")).await;
            assert_eq!(reply.status, 400, "{framing:?}: {reply}");
        }
        for coded in ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"] {
            let reply = proxq.raw(format!("POST /x HTTP/1.1\r\nHost: h\r\n{coded}\r\n\r\n0\r\n\r\n")).await;
            assert!(matches!(reply.status, 400 | 501), "{coded:?}: {reply}");
        }
        let old = "POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(proxq.raw(old).await.status, 400);
        assert!(upstream.received().is_empty(), "{:?}", upstream.received());
    }

    async fn malformed_chunks_are_refused_and_hide_nothing(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        for chunks in [
            "x\r\nhi\r\n0\r\n\r\n",
            "-2\r\nhi\r\n0\r\n\r\n",
            "0x2\r\nhi\r\n0\r\n\r\n",
            " 2\r\nhi\r\n0\r\n\r\n",
            "2 x\r\nhi\r\n0\r\n\r\n",
            "2\nhi\n0\n\n",
            "2;a\nb\r\nhi\r\n0\r\n\r\n",
            "2\r\nhi0\r\n\r\n",
            "2\r\nhi!\r\n0\r\n\r\n",
            "ffffffffffffffff1\r\nhi\r\n0\r\n\r\n",
        ] {
            let request = format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            let mut client = proxq.wire().await;
            client.send(request).await;
            let came = upstream.accept().await.rest().await;
            assert!(!came.ends_with(b"0\r\n\r\n"), "{chunks:?} has a clean end: {}", String::from_utf8_lossy(&came));
            let answer = client.reply().await;
            answer.refused(400, "BAD_HEADER");
            assert!(answer.detail().contains("Transfer-Encoding: chunked"), "{answer}");
            client.closed().await;
        }
    }

    async fn malformed_chunks_behind_the_beginning_of_an_answer_break_it_off(store: Store) {
        let request = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
        let (_, mut client, mut served, _proxq) = passed(store, request).await;
        served.comes("2\r\nhi\r\n").await;
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n").await;
        assert_eq!(client.head().await.word(1), "200");
        client.comes("2\r\nho\r\n").await;
        client.send("x\r\n").await;
        let came = served.rest().await;
        assert!(!came.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&came));
        assert_eq!(client.rest().await, b"", "no end, and no other answer");
    }

    async fn requests_in_one_go_are_answered_in_their_order(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| Answer::status(200).body(head.word(1)));
        let mut client = proxq.wire().await;
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n");
        let with_body = "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        client.send(request("/a") + &request("/b") + with_body + &request("/d")).await;
        for path in ["/a", "/b", "/c", "/d"] {
            assert_eq!(client.reply().await.from_upstream(200).text(), path);
        }
        assert_eq!(upstream.received()[2].text(), "hi");
    }

    async fn a_body_is_asked_for_only_once_the_upstream_is_there(store: Store) {
        let expecting = "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let (head, mut client, mut served, _proxq) = passed(store, expecting).await;
        assert!(!head.contains("Expect"), "it is answered here: {head}");
        assert_eq!(client.head().await.word(1), "100");
        client.send("hi").await;
        served.comes("hi").await;
        served.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        client.reply().await.from_upstream(200);

        let refusing = harness::Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &refusing.url()))).await;
        let mut client = proxq.wire().await;
        client.send(expecting.replace("Expect", "X-Proxq-Mode: direct\r\nExpect")).await;
        let reply = client.reply().await;
        reply.refused(502, "UPSTREAM_UNREACHABLE");
        assert_eq!(reply.header("connection").as_deref(), Some("close"), "{reply}");
        client.closed().await;
    }

    async fn a_client_of_http_1_0_gets_a_body_that_ends_with_its_connection(store: Store) {
        let (head, mut client, mut served, _proxq) = passed(store, "GET /x HTTP/1.0\r\n\r\n").await;
        assert!(head.starts_with("GET /x HTTP/1.1\r\nHost: UPSTREAM\r\n") && head.contains("Via: 1.0 edge"), "{head}");
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
        let head = client.head().await;
        assert!(!head.has("transfer-encoding") && !head.has("content-length"), "{}", String::from_utf8_lossy(head.raw()));
        assert_eq!(client.rest().await, b"hi");
    }

    async fn answers_without_a_body_promise_none(proxq: Proxq, upstream: Upstream) {
        for (method, answer, length) in [
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 123\r\n\r\n", Some("123")),
            ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
            // It may be left out (RFC 9110 §8.6), and the HTTP library does so.
            ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 123\r\n\r\n", None),
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
        ] {
            upstream.once(Answer::raw(answer));
            let mut client = proxq.wire().await;
            client.send(format!("{method} /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n")).await;
            let reply = client.reply_to(method).await;
            assert_eq!(reply.header("content-length").as_deref(), length, "{method} {answer:?}: {reply}");
            // The connection is in step: what follows is the next answer.
            client.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert_eq!(client.reply().await.status, 200, "{method} {answer:?}");
        }
    }

    async fn an_ambiguous_response_is_not_passed_on(proxq: Proxq, upstream: Upstream) {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nContent-Length: 3\r\n\r\nhi!",
            "HTTP/1.1 200 OK\r\nX y: z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        ] {
            upstream.once(Answer::raw(answer).close());
            let mut client = proxq.wire().await;
            client.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
            client.reply().await.refused(502, "UPSTREAM_UNREACHABLE");
        }
    }

    async fn an_early_answer_reaches_a_client_that_is_still_sending(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(413).body("too much").early().close());
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let mut client = proxq.wire().await;
        client.send("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\nContent-Length: 900000\r\n\r\n").await;
        for _ in 0..9 {
            client.try_send(vec![b'x'; 100_000]).await.unwrap();
        }
        assert_eq!(client.reply().await.from_upstream(413).text(), "too much");
    }
}
