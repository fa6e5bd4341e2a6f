//! Tests of which headers of a request reach the upstream, and which of a response reach the client.

use harness::{Answer, Proxq, Route, Store, Upstream, get, on_every_store, once, post};
use proxq_protocol::{JobId, header};

/// The names of a head's headers, sorted.
fn names(head: &harness::Head) -> Vec<&str> {
    let mut names = head.names();
    names.sort_unstable();
    names
}

on_every_store! {
    async fn values_arrive_byte_for_byte_and_in_order(proxq: Proxq, upstream: Upstream) {
        let bytes: Vec<u8> = (0x21..=0xff).filter(|byte| *byte != 0x7f).collect();
        let request =
            post("/x").header("X-Dup", "b").header("X-Bytes", &bytes).header("x-dup", "a, c").header("X-DUP", "");
        proxq.submit(request).await;
        let received = upstream.request().await;
        assert_eq!(received.head.values_raw("x-bytes"), [bytes.as_slice()]);
        assert_eq!(received.headers("x-dup"), ["b", "a, c", ""]);
    }

    async fn names_arrive_in_canonical_case(proxq: Proxq, upstream: Upstream) {
        proxq.submit(post("/x").header("x-tRaCe-id", "1").header("ACCEPT", "*/*").header("etag", "e")).await;
        let received = upstream.request().await;
        for name in ["X-Trace-Id", "Accept", "Etag", "Host", "Content-Length", "Via", "X-Request-Id", "X-Proxq-Job-Id"]
        {
            assert!(received.head.names().contains(&name), "{name}: {:?}", received.head.names());
        }
    }

    async fn no_header_is_added_beyond_the_named_ones(proxq: Proxq, upstream: Upstream) {
        proxq.submit(get("/x")).await;
        let added = [
            "Host",
            "Via",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Proxq-Attempt",
            "X-Proxq-Job-Id",
            "X-Real-Ip",
            "X-Request-Id",
        ];
        assert_eq!(names(&upstream.request().await.head), added);
    }

    async fn headers_of_one_connection_are_not_forwarded(proxq: Proxq, upstream: Upstream) {
        let request = post("/x")
            .header("Connection", "X-Hop, keep-alive")
            .header("Connection", "x-other-hop")
            .header("X-Hop", "1")
            .header("X-Other-Hop", "1")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Authenticate", "Basic")
            .header("Proxy-Authorization", "Basic eDp5")
            .header("Proxy-Connection", "keep-alive")
            .header("TE", "trailers, deflate")
            .header("Trailer", "X-T")
            .header("Trailers", "X-T")
            .header("Upgrade", "h2c")
            .header("X-Stays", "1");
        proxq.submit(request).await;
        let received = upstream.request().await;
        for gone in [
            "Connection",
            "X-Hop",
            "X-Other-Hop",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Trailers",
            "Upgrade",
            "Transfer-Encoding",
        ] {
            assert!(!received.head.has(gone), "{gone}: {}", String::from_utf8_lossy(received.head.raw()));
        }
        assert_eq!(received.headers("X-Stays"), ["1"]);
    }

    async fn controls_are_not_forwarded(proxq: Proxq, upstream: Upstream) {
        let id = JobId::new();
        let request = post("/x").header(header::TIMEOUT, "10s").header(header::JOB_ID, id.to_string());
        proxq.submit(request).await;
        let received = upstream.request().await;
        let own: Vec<_> = names(&received.head).into_iter().filter(|name| name.starts_with("X-Proxq-")).collect();
        assert_eq!(own, ["X-Proxq-Attempt", "X-Proxq-Job-Id"]);
        assert_eq!(received.job_id(), Some(id));
    }

    async fn the_host_is_the_upstreams_and_x_forwarded_host_the_clients(proxq: Proxq, upstream: Upstream) {
        proxq.submit(get("/x").header("Host", "public.example")).await;
        let received = upstream.request().await;
        assert_eq!(received.header("host"), Some(upstream.address().to_string()));
        assert_eq!(received.header("x-forwarded-host").as_deref(), Some("public.example"));
    }

    async fn the_host_is_the_clients_where_it_is_preserved(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("preserveHost", true)).await;
        proxq.submit(get("/x").header("Host", "public.example:8443")).await;
        let received = upstream.request().await;
        assert_eq!(received.header("host").as_deref(), Some("public.example:8443"));
        assert_eq!(received.header("x-forwarded-host").as_deref(), Some("public.example:8443"));
    }

    async fn the_stripped_prefix_is_passed_on(store: Store) {
        let upstream = Upstream::start().await;
        let routes = |trusted: Vec<&str>| {
            let config = store.config().set("trustedProxies", trusted).route(Route::new("/api/v%32", &upstream.url()));
            config.route(Route::new("/other", &upstream.url()).set("preserveHost", true))
        };
        let (trusting, doubting) = (Proxq::start(routes(vec!["loopback"])).await, Proxq::start(routes(vec![])).await);
        for mode in ["queue", "direct"] {
            let ask = |path: &str| get(path).header("X-Proxq-Mode", mode);
            let behind_another = |path: &str| ask(path).header("X-Forwarded-Prefix", "/outer");
            for (proxq, request, expected) in [
                (&trusting, ask("/%61pi/v2/x"), "/api/v%32"),
                (&trusting, ask("/other"), "/other"),
                (&trusting, behind_another("/other/x"), "/outer, /other"),
                (&doubting, behind_another("/other/x"), "/other"),
            ] {
                assert!(proxq.send(request).await.status < 300);
                assert_eq!(upstream.request().await.headers("x-forwarded-prefix"), [expected], "{mode}");
            }
        }
        let whole = Proxq::start(store.config_for(&upstream)).await;
        for mode in ["queue", "direct"] {
            whole.send(get("/x").header("X-Proxq-Mode", mode)).await;
            assert!(!upstream.request().await.head.has("x-forwarded-prefix"), "nothing was stripped");
            whole.send(get("/x").header("X-Proxq-Mode", mode).header("X-Forwarded-Prefix", "/outer")).await;
            assert_eq!(upstream.request().await.headers("x-forwarded-prefix"), ["/outer"], "{mode}");
        }
    }

    async fn dropped_headers_are_also_dropped_when_spelled_with_underscores(proxq: Proxq, upstream: Upstream) {
        let disguised = [
            "X_Proxq_Job_Id",
            "X-Proxq_Attempt",
            "X_Proxq-Anything",
            "X_Forwarded_For",
            "X-Forwarded_Host",
            "X_Forwarded-Proto",
            "X_Forwarded_Prefix",
            "X_Real_IP",
            "X_Request_ID",
            "Content_Length",
            "Transfer_Encoding",
            "Proxy_Authorization",
            "X_Hop",
        ];
        for mode in ["queue", "direct"] {
            let request = post("/x").header("X-Proxq-Mode", mode).header("Connection", "X-Hop").body("hi");
            let request = disguised.iter().fold(request, |request, name| request.header(name, "7"));
            let request = request.header("X_Api_Key", "1").header("Idempotency_Key", "1");
            assert!(proxq.send(request).await.status < 300);
            let received = upstream.request().await;
            let left: Vec<_> = names(&received.head).into_iter().filter(|name| name.contains('_')).collect();
            assert_eq!(left, ["Idempotency_key", "X_api_key"], "{mode}");
            assert_eq!(received.text(), "hi");
        }
    }

    async fn the_clients_address_and_scheme_are_passed_on(proxq: Proxq, upstream: Upstream) {
        proxq.submit(get("/x")).await;
        let received = upstream.request().await;
        assert_eq!(received.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(received.header("x-real-ip").as_deref(), Some("127.0.0.1"));
        assert_eq!(received.header("x-forwarded-proto").as_deref(), Some("http"));
    }

    async fn a_trusted_proxy_is_believed_and_its_list_extended(proxq: Proxq, upstream: Upstream) {
        let request = get("/x")
            .header("X-Forwarded-For", "203.0.113.7, 10.0.0.9")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "public.example");
        proxq.submit(request).await;
        let received = upstream.request().await;
        assert_eq!(received.headers("x-forwarded-for").join(", "), "203.0.113.7, 10.0.0.9, 127.0.0.1");
        assert_eq!(received.header("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(received.header("x-forwarded-host").as_deref(), Some("public.example"));
        assert_eq!(received.header("x-real-ip").as_deref(), Some("203.0.113.7"), "the resulting client address");
    }

    async fn what_an_untrusted_peer_says_of_others_is_dropped(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("trustedProxies", Vec::<String>::new())).await;
        let request = || {
            get("/x")
                .header("Host", "public.example")
                .header("X-Forwarded-For", "203.0.113.7")
                .header("X-Forwarded-Proto", "https")
                .header("X-Forwarded-Host", "evil.example")
                .header("X-Forwarded-Prefix", "/evil")
                .header("X-Forwarded-Port", "443")
                .header("X-Real-IP", "203.0.113.7")
                .header("Forwarded", "for=203.0.113.7")
        };
        proxq.submit(request()).await;
        let received = upstream.request().await;
        assert_eq!(received.headers("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(received.headers("x-real-ip"), ["127.0.0.1"]);
        assert_eq!(received.headers("x-forwarded-proto"), ["http"]);
        assert_eq!(received.headers("x-forwarded-host"), ["public.example"]);
        for gone in ["X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded"] {
            assert!(!received.head.has(gone), "{gone}");
        }
        proxq.submit(request().header("X-Request-ID", "second")).await;
        let of_second = |record: &harness::Record| record.field("request_id").as_deref() == Some("second");
        proxq.log().record("the second request's line", of_second).await;
        let names_both = |line: &&String| line.contains("127.0.0.1") && line.contains("trustedProxies");
        let warnings = proxq.log().lines();
        let warnings: Vec<_> = warnings.iter().filter(|line| line.contains("WARN")).filter(names_both).collect();
        assert_eq!(warnings.len(), 1, "once per start: {warnings:?}");
    }

    async fn via_names_the_received_version_and_this_deployment(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("viaName", "edge")).await;
        proxq.submit(get("/x").header("Via", "1.0 fred").header("Via", "1.1 p.example")).await;
        assert_eq!(upstream.request().await.headers("via").join(", "), "1.0 fred, 1.1 p.example, 1.1 edge");
        let old = proxq.raw("GET /x HTTP/1.0\r\nHost: h\r\n\r\n").await;
        assert_eq!(old.status, 202, "{old}");
        assert_eq!(upstream.request().await.headers("via"), ["1.0 edge"]);
    }

    async fn a_name_in_via_is_made_once_and_kept(store: Store) {
        let upstream = Upstream::start().await;
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        proxq.submit(get("/x")).await;
        let first = upstream.request().await.header("via").expect("a Via");
        assert!(first.len() > "1.1 ".len(), "{first:?}");
        proxq.stop().await;
        proxq.start_again().await;
        proxq.submit(get("/x")).await;
        assert_eq!(upstream.request().await.header("via"), Some(first));
    }

    async fn a_request_id_is_passed_on_and_answered(proxq: Proxq, upstream: Upstream) {
        let reply = proxq.send(get("/x").header("X-Request-ID", "abc-123")).await;
        assert_eq!(reply.header("x-request-id").as_deref(), Some("abc-123"));
        assert_eq!(upstream.request().await.headers("x-request-id"), ["abc-123"]);
        let refused = proxq.send(get("/..").header("X-Request-ID", "abc-124")).await;
        assert_eq!(refused.header("x-request-id").as_deref(), Some("abc-124"));
    }

    async fn a_request_without_an_id_is_given_a_uuid(proxq: Proxq, upstream: Upstream) {
        let reply = proxq.send(get("/x")).await;
        let id = reply.header("x-request-id").expect("proxq's own answers carry one");
        assert!(id.parse::<JobId>().is_ok(), "{id} is a UUIDv4");
        assert_eq!(upstream.request().await.header("x-request-id"), Some(id));
    }

    async fn a_request_id_that_is_none_is_replaced(proxq: Proxq, upstream: Upstream) {
        let longest = "x".repeat(128);
        for mode in ["queue", "direct"] {
            let ask = |ids: &[&[u8]]| {
                let request = get("/x").header("X-Proxq-Mode", mode);
                ids.iter().fold(request, |request, id| request.header("X-Request-ID", id))
            };
            for ids in [&[longest.as_bytes()][..], &[b"a=\"b\",{c}"], &[b"first", b"second"]] {
                proxq.send(ask(ids)).await;
                assert_eq!(upstream.request().await.head.values_raw("x-request-id"), ids, "{mode}");
            }
            let too_long = "x".repeat(129);
            for ids in [
                &[too_long.as_bytes()][..],
                &[b"a b"],
                &[b"a\tb"],
                &["caf\u{e9}".as_bytes()],
                &["a\u{9b}31m".as_bytes()],
                &["a\u{2028}b".as_bytes()],
                &[b"\xff"],
                &[b"first", b"level=ERROR second"],
                &[b"first", b""],
            ] {
                let reply = proxq.send(ask(ids)).await;
                let made = upstream.request().await.headers("x-request-id");
                assert!(made.len() == 1 && made[0].parse::<JobId>().is_ok(), "{ids:?} is replaced by {made:?}");
                let answered = reply.header("x-request-id");
                assert!(mode == "direct" || answered.as_ref() == Some(&made[0]), "{answered:?}");
            }
        }
    }

    async fn trace_context_preferences_and_idempotency_keys_are_passed_on(proxq: Proxq, upstream: Upstream) {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = post("/x")
            .header("traceparent", trace)
            .header("tracestate", "a=b")
            .header("Prefer", "respond-async, wait=1")
            .header("Idempotency-Key", "\"k\"");
        assert_eq!(proxq.send(request).await.status, 200, "it waited");
        let received = upstream.request().await;
        assert_eq!(received.headers("traceparent"), [trace]);
        assert_eq!(received.headers("tracestate"), ["a=b"]);
        assert_eq!(received.headers("prefer"), ["wait=1"], "proxq applies the other one itself");
        assert_eq!(received.headers("idempotency-key"), ["\"k\""]);
    }

    async fn an_attempt_names_its_job_and_its_number(proxq: Proxq, upstream: Upstream) {
        let job = proxq.submit(get("/x")).await;
        let received = upstream.request().await;
        assert_eq!((received.job_id(), received.attempt()), (Some(job.id), Some(1)));
    }

    async fn credentials_go_to_the_upstream(proxq: Proxq, upstream: Upstream) {
        proxq
            .submit(get("/x").header("Authorization", "Bearer a").header("Cookie", "a=b").header("Cookie", "c=d"))
            .await;
        let received = upstream.request().await;
        assert_eq!(received.headers("authorization"), ["Bearer a"]);
        assert_eq!(received.headers("cookie"), ["a=b", "c=d"]);
    }

    async fn an_upstreams_answer_keeps_no_headers_of_proxq(proxq: Proxq, upstream: Upstream) {
        let fake = Answer::status(202)
            .header("X-Proxq-Source", "proxq")
            .header("X-Proxq-Job-Id", JobId::new().to_string())
            .header("x-proxq-anything", "1")
            .header("X-Other", "1");
        upstream.always(fake);
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!(reply.status, 202);
        assert_eq!(reply.head.values("x-other"), ["1"]);
        let own: Vec<_> =
            names(&reply.head).into_iter().filter(|name| name.to_lowercase().starts_with("x-proxq")).collect();
        assert!(own.is_empty(), "{own:?}");
    }

    async fn headers_of_the_upstreams_connection_are_not_replayed(proxq: Proxq, upstream: Upstream) {
        let answer = Answer::status(200)
            .header("Connection", "X-Hop, keep-alive")
            .header("X-Hop", "1")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Authenticate", "Basic")
            .header("Proxy-Connection", "keep-alive")
            .header("Upgrade", "h2c")
            .header("Trailer", "X-T")
            .header("X-Stays", "1");
        upstream.always(answer);
        let reply = proxq.through_queue(get("/x")).await;
        for gone in ["X-Hop", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade", "Trailer"] {
            assert!(!reply.head.has(gone), "{gone}: {reply}");
        }
        assert_eq!(reply.head.values("x-stays"), ["1"]);
    }
}

once! {
    async fn expect_is_answered_here_and_not_forwarded(proxq: Proxq, upstream: Upstream) {
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 100);
        wire.send("hi").await;
        assert_eq!(wire.reply().await.status, 202);
        let received = upstream.request().await;
        assert_eq!((received.text().as_str(), received.header("expect")), ("hi", None));
    }
}
