//! Tests of routing: which requests are queued, for which upstream and with which path.

use harness::{Proxq, Route, Store, Upstream, get, on_every_store, once, post, request};

/// Two upstreams under prefixes of their own.
async fn two(store: Store) -> (Proxq, Upstream, Upstream) {
    let (api, other) = (Upstream::start().await, Upstream::start().await);
    let config = store.config().route(Route::new("/api", &api.url())).route(Route::new("/api2", &other.url()));
    (Proxq::start(config).await, api, other)
}

once! {
    async fn a_path_that_climbs_is_refused_in_every_encoding(store: Store) {
        let (proxq, api, other) = two(store).await;
        for climbing in [
            "/api/..",
            "/api/../x",
            "/api/%2e%2e/x",
            "/api/%2E%2e/x",
            "/api/.%2e",
            "/api/%2e./x",
            "/api/..%2Fx",
            "/api/x%2f..%2fy",
            "/api/x%2F%2e%2e",
            "/api/..\\x",
            "/api/x%5C..%5Cy",
            "/api/x%5c%2e%2e",
            "/api/..;a=b/x",
            "/api/%2e%2e;a/x",
            "/api/..%3Ba/x",
            "/..",
            "/__jobs/../x",
            "/nowhere/..",
            "/api/..?x=1",
        ] {
            let reply = proxq.raw(format!("GET {climbing} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!((reply.status, reply.code().as_str()), (400, "BAD_PATH"), "{climbing}: {reply}");
        }
        assert!(api.received().is_empty() && other.received().is_empty());
    }

    async fn the_jobs_path_never_reaches_an_upstream_whatever_the_method(proxq: Proxq, upstream: Upstream) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            for path in ["/__jobs", "/__jobs/", "/__jobs/x", "/%5F_jobs/x", "/__%6a%6Fbs/a/b/c"] {
                let mut wire = proxq.wire().await;
                wire.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
                let reply = wire.reply_to(method).await;
                assert!(matches!(reply.status, 404 | 405), "{method} {path}: {reply}");
                assert!(reply.head.has("x-proxq-source"), "{method} {path}: {reply}");
            }
        }
        assert!(upstream.received().is_empty());
    }

    async fn a_path_that_some_server_reads_as_another_is_refused(store: Store) {
        let (proxq, api, other) = two(store).await;
        for path in [
            "/api/%00",
            "/api/a%00.png",
            "/api/%c0%ae%c0%ae/x",
            "/api/a%C0%AF..",
            "/api/%c1%9c",
            "/api/%e0%80%ae",
            "/api/%e0%80%af",
            "/api/%f0%80%80%af",
            "/api/%f8%80%80%80%af",
            "/api/%fc%80%80%80%80%af",
            "/__jobs/%00",
            "/nowhere/%c0%80",
        ] {
            for mode in ["queue", "direct"] {
                let reply = proxq.send(get(path).header("X-Proxq-Mode", mode)).await;
                assert_eq!((reply.status, reply.code().as_str()), (400, "BAD_PATH"), "{path}: {reply}");
            }
        }
        assert_eq!((api.connections(), other.connections()), (0, 0));
        proxq.submit(get("/api/x?%00%c0%ae")).await;
        assert_eq!(api.request().await.target(), "/x?%00%c0%ae", "a query is passed on as it is");
    }

    async fn only_whole_segments_make_a_path_the_jobs_path(proxq: Proxq, upstream: Upstream) {
        for path in ["/__jobs2", "/__jobs%2Fx", "//__jobs/x", "/x/__jobs/y"] {
            proxq.submit(get(path)).await;
            assert_eq!(upstream.request().await.target(), path);
        }
    }

    async fn connect_is_not_implemented(proxq: Proxq, upstream: Upstream) {
        let connect = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", upstream.address());
        proxq.raw(connect).await.refused(501, "NOT_IMPLEMENTED");
        assert_eq!(upstream.connections(), 0);
    }

    async fn trace_is_not_allowed(proxq: Proxq, upstream: Upstream) {
        proxq.send(request("TRACE", "/x")).await.refused(405, "METHOD_NOT_ALLOWED");
        assert!(upstream.received().is_empty());
    }

    async fn options_of_the_whole_server_are_not_found(proxq: Proxq, upstream: Upstream) {
        proxq.raw("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await.refused(404, "NOT_FOUND");
        assert!(upstream.received().is_empty());
    }

    async fn a_path_without_an_upstream_is_a_bad_gateway(store: Store) {
        let (proxq, api, other) = two(store).await;
        for path in ["/", "/other", "/apix", "/ap", "/API/x", "/api%2Fx", "//api/x", "/x/api"] {
            let reply = proxq.send(get(path)).await;
            reply.refused(502, "NO_UPSTREAM");
            assert_eq!(reply.json()["title"], "Bad Gateway");
            assert!(reply.detail().contains(path), "{}", reply.detail());
        }
        assert!(api.received().is_empty() && other.received().is_empty());
    }

    async fn a_refusal_is_a_problem_document(store: Store) {
        let (proxq, ..) = two(store).await;
        let reply = proxq.send(get("/other?x=hidden")).await;
        let expected = concat!(
            r#"{"status":502,"title":"Bad Gateway","code":"NO_UPSTREAM","detail":"no upstream matches /other","#,
            r#""error":{"message":"no upstream matches /other","type":"proxq_error","code":"NO_UPSTREAM","param":null}}"#
        );
        assert_eq!(reply.text(), expected);
        assert_eq!(reply.header("content-type").as_deref(), Some("application/problem+json"));
    }

    async fn with_longest_prefix_the_longest_that_matches_takes_the_request(store: Store) {
        let (web, api, newer) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
        let strict = store.config().route(Route::new("/api", &api.url()));
        let proxq = Proxq::start(strict.clone()).await;
        let longest = strict.set("routing", "longest-prefix");
        let longest = longest.route(Route::new("/", &web.url())).route(Route::new("/api/v2", &newer.url()));
        let changed = proxq.reload(longest).await;
        assert_eq!(changed, "routing, upstreams[/] (added), upstreams[/api/v2] (added)");
        for (path, upstream, forwarded) in [
            ("/", &web, "/"),
            ("/apix", &web, "/apix"),
            ("/api", &api, "/"),
            ("/api/v20", &api, "/v20"),
            ("/api/v2", &newer, "/"),
            ("/api/%762/x?y", &newer, "/x?y"),
        ] {
            proxq.submit(get(path)).await;
            assert_eq!(upstream.request().await.target(), forwarded, "{path}, queued");
            proxq.send(get(path).header("X-Proxq-Mode", "direct")).await.from_upstream(200);
            assert_eq!(upstream.request().await.target(), forwarded, "{path}, direct");
        }
    }

    async fn a_request_that_came_back_too_often_is_a_loop(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("viaName", "edge")).await;
        let with_via = |values: &[&str]| values.iter().fold(get("/x"), |request, value| request.header("Via", value));
        for fine in
            [&["1.1 edge"][..], &["1.1 other, 1.1 edge"], &["1.1 edge2, 1.1 edge", "1.0 other"], &["1.1 x (edge)"]]
        {
            assert_eq!(proxq.send(with_via(fine)).await.status, 202, "{fine:?}");
        }
        for loops in [&["1.1 edge, 1.1 edge"][..], &["1.1 edge", "1.1 edge"], &["1.1 a, 1.0 EDGE (x), HTTP/1.1 edge"]] {
            let reply = proxq.send(with_via(loops)).await;
            assert_eq!((reply.status, reply.code().as_str()), (508, "LOOP_DETECTED"), "{loops:?}: {reply}");
        }
    }

    async fn the_number_of_hops_is_configurable(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("viaName", "edge").set("maxHops", 2)).await;
        assert_eq!(proxq.send(get("/x").header("Via", "1.1 edge, 1.1 edge")).await.status, 202);
        let thrice = get("/x").header("Via", "1.1 edge, 1.1 edge, 1.1 edge");
        proxq.send(thrice).await.refused(508, "LOOP_DETECTED");
    }

    async fn a_websocket_handshake_goes_direct(proxq: Proxq, _upstream: Upstream) {
        for (connection, upgrade) in [
            ("Upgrade", "websocket"),
            ("keep-alive, Upgrade", "WebSocket"),
            ("UPGRADE", "WEBSOCKET"),
            ("keep-alive,upgrade", "websocket"),
        ] {
            let handshake = get("/ws").header("Connection", connection).header("Upgrade", upgrade);
            proxq.send(handshake).await.from_upstream(200);
        }
    }

    async fn what_the_path_filter_names_goes_direct(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config().route(Route::new("/api", &upstream.url()));
        let config = config.upstream("pathFilter.patterns", vec!["^/api/health$", r"/[0-9]+\.txt$"]);
        let proxq = Proxq::start(config).await;
        for direct in ["/api/health", "/api/%68ealth", "/api/health?x=1", "/api/a/17.txt"] {
            proxq.send(get(direct)).await.from_upstream(200);
        }
        for queued in ["/api/health/x", "/api/x?y=/api/health", "/api/a/x.txt", "/api/a/17.txt2"] {
            proxq.submit(get(queued)).await;
        }
    }

    async fn a_whitelist_names_what_is_queued(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("pathFilter.mode", "whitelist");
        let proxq = Proxq::start(config.upstream("pathFilter.patterns", vec!["^/slow/"])).await;
        proxq.submit(get("/slow/x")).await;
        proxq.send(get("/fast/slow/")).await.from_upstream(200);
    }

    async fn a_body_of_unknown_length_goes_direct(proxq: Proxq, upstream: Upstream) {
        let chunked = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        proxq.raw(chunked).await.from_upstream(200);
        assert_eq!(upstream.request().await.text(), "hi");
    }

    async fn a_body_above_the_threshold_goes_direct(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let proxq = Proxq::start(config.clone().upstream("directProxyThreshold", 1000)).await;
        proxq.send(post("/x").body("x".repeat(1001))).await.from_upstream(200);
        proxq.submit(post("/x").body("x".repeat(1000))).await;
        for disabled in [0, -1] {
            let config = config.clone().upstream("directProxyThreshold", disabled).upstream("maxBodySize", "30MiB");
            let proxq = Proxq::start(config).await;
            proxq.submit(post("/x").body(vec![b'x'; 11 << 20])).await;
        }
    }

    async fn a_cors_preflight_goes_direct(proxq: Proxq, _upstream: Upstream) {
        let preflight = request("OPTIONS", "/x").header("Access-Control-Request-Method", "POST");
        proxq.send(preflight.header("Origin", "https://a.example")).await.from_upstream(200);
        proxq.submit(request("OPTIONS", "/x").header("Origin", "https://a.example")).await;
        proxq.submit(post("/x").header("Access-Control-Request-Method", "POST")).await;
    }

    async fn a_request_for_a_stream_goes_direct(proxq: Proxq, _upstream: Upstream) {
        for accept in ["text/event-stream", "application/json, text/event-stream;q=0.5", "Text/Event-Stream"] {
            proxq.send(get("/x").header("Accept", accept)).await.from_upstream(200);
        }
        for target in ["/x?stream=true", "/x?a=b&stream=true&c"] {
            proxq.send(get(target)).await.from_upstream(200);
        }
        for target in ["/x?stream=false", "/x?upstream=true", "/x?stream=true1", "/x/stream=true"] {
            proxq.submit(get(target)).await;
        }
        proxq.submit(get("/x").header("Accept", "text/event-streams, */*")).await;
    }

    async fn the_first_rule_that_applies_wins(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config().set("viaName", "edge").route(Route::new("/api", &upstream.url()));
        let proxq = Proxq::start(config).await;
        let websocket = |path: &str| get(path).header("Connection", "upgrade").header("Upgrade", "websocket");
        proxq.send(websocket("/api/..")).await.refused(400, "BAD_PATH");
        proxq.send(websocket("/__jobs/x")).await.refused(404, "NOT_FOUND");
        proxq.send(websocket("/other")).await.refused(502, "NO_UPSTREAM");
        proxq.send(websocket("/api").header("Via", "1.1 edge, 1.1 edge")).await.refused(508, "LOOP_DETECTED");
        let looping_trace = request("TRACE", "/other").header("Via", "1.1 edge, 1.1 edge");
        proxq.send(looping_trace).await.refused(405, "METHOD_NOT_ALLOWED");
    }
}

on_every_store! {
    async fn dots_that_do_not_climb_are_forwarded(store: Store) {
        let (proxq, api, _) = two(store).await;
        for rest in ["/...", "/a..b", "/..a", "/a..", "/.", "/a/./b", "/%252e%252e/x", "/x;..", "/?a=/../b"] {
            proxq.submit(get(&format!("/api{rest}"))).await;
            assert_eq!(api.request().await.target(), rest);
        }
    }

    async fn a_prefix_matches_whole_segments_percent_decoded(store: Store) {
        let (proxq, api, other) = two(store).await;
        for (path, forwarded) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api/x", "/x"),
            ("/%61pi/x", "/x"),
            ("/a%70%69", "/"),
            ("/api?x=1", "/?x=1"),
            ("/api/?x=1", "/?x=1"),
            ("/api?", "/?"),
        ] {
            proxq.submit(get(path)).await;
            assert_eq!(api.request().await.target(), forwarded, "{path}");
        }
        proxq.submit(get("/api2/x")).await;
        assert_eq!(other.request().await.target(), "/x");
        assert!(api.received().len() == 8);
    }

    async fn the_raw_path_and_query_arrive_unchanged(store: Store) {
        let (proxq, api, _) = two(store).await;
        for rest in [
            "/a%20b",
            "/a%2Fb",
            "/a%2fb",
            "//a//b//",
            "/a/",
            "/%61%62%63",
            "/~user/(x)/!$&'*+,;=:@",
            "/%C3%A4/%E2%82%AC/%FF/%C0",
            "/x?q=%20+%2B&q=&=&&a=b=c",
            "/x?http://example.com/../..?y#".trim_end_matches('#'),
            "/x?a='|{}[]^`\\",
            "/%252e%252e/%2500",
            "/%",
            "/%zz",
        ] {
            let reply = proxq.raw(format!("GET /api{rest} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!(reply.status, 202, "{rest}: {reply}");
            assert_eq!(api.request().await.target(), rest);
        }
    }

    async fn an_upstreams_base_path_comes_first(store: Store) {
        let upstream = Upstream::start().await;
        for base in ["/base/v1", "/base/v1/"] {
            let url = format!("{}{base}", upstream.url());
            let proxq = Proxq::start(store.config().route(Route::new("/api", &url))).await;
            for (path, forwarded) in [
                ("/api", "/base/v1/"),
                ("/api/", "/base/v1/"),
                ("/api/x?y=z", "/base/v1/x?y=z"),
                ("/api//x", "/base/v1//x"),
                ("/api?y", "/base/v1/?y"),
            ] {
                proxq.submit(get(path)).await;
                assert_eq!(upstream.request().await.target(), forwarded, "{path}");
            }
        }
    }

    async fn nothing_in_a_request_chooses_another_host(store: Store) {
        let (upstream, evil) = (Upstream::start().await, Upstream::start().await);
        let host = evil.address();
        let config = store.config().route(Route::new("/api", &upstream.url()));
        let proxq = Proxq::start(config).await;
        for path in [format!("/api%2F@{host}/x"), format!("/api@{host}/x"), format!("/api:80@{host}/x")] {
            proxq.send(get(&path)).await.refused(502, "NO_UPSTREAM");
        }
        for rest in
            [format!("/@{host}/x"), format!("//{host}/x"), format!("/http://{host}/x"), format!("/\\\\{host}/x")]
        {
            let reply = proxq.raw(format!("GET /api{rest} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(reply.status, 202, "{rest}: {reply}");
            assert_eq!(upstream.request().await.target(), rest);
        }
        let whole = Proxq::start(store.config_for(&upstream)).await;
        for path in [format!("/api%2F@{host}/x"), format!("/@{host}/x"), format!("//{host}/x"), format!("//@{host}/x")]
        {
            let reply = whole.raw(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!(reply.status, 202, "{path}: {reply}");
            assert_eq!(upstream.request().await.target(), path);
        }
        assert_eq!(evil.connections(), 0);
    }

    async fn the_authority_of_an_absolute_target_is_the_requests_host_and_no_upstream(store: Store) {
        let (upstream, evil) = (Upstream::start().await, Upstream::start().await);
        let config = store.config().route(Route::new("/api", &upstream.url()));
        let proxq = Proxq::start(config.route(Route::new("/kept", &upstream.url()).set("preserveHost", true))).await;
        let named = evil.address().to_string();
        let absolute = |path: &str, fields: &str| format!("GET http://{named}{path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        for (mode, status) in [("queue", 202), ("direct", 200)] {
            let mode = format!("X-Proxq-Mode: {mode}\r\n");
            for (prefix, host) in [("/api", upstream.address().to_string()), ("/kept", named.clone())] {
                let reply = proxq.raw(absolute(&format!("{prefix}/x?y"), &mode)).await;
                assert_eq!(reply.status, status, "{reply}");
                let received = upstream.request().await;
                assert_eq!(received.target(), "/x?y");
                assert_eq!(received.headers("host"), [host]);
                assert_eq!(received.headers("x-forwarded-host"), [named.as_str()]);
            }
        }
        let old = proxq.raw("GET http://old.example/kept/x HTTP/1.0\r\n\r\n").await;
        assert_eq!(old.status, 202, "{old}");
        assert_eq!(upstream.request().await.headers("host"), ["old.example"]);
        proxq.raw(absolute("/x", "")).await.refused(502, "NO_UPSTREAM");
        proxq.raw(absolute("/api/../x", "")).await.refused(400, "BAD_PATH");
        proxq.raw(absolute("/__jobs/x", "")).await.refused(404, "NOT_FOUND");
        let two_hosts = absolute("/api/x", "Host: h\r\n");
        for refused in [
            "GET http://user:password@h/api/x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h/api/x HTTP/1.1\r\n\r\n",
            "GET http://h/api/x HTTP/1.1\r\nHost: a b\r\n\r\n",
            two_hosts.as_str(),
        ] {
            let reply = proxq.raw(refused).await;
            assert_eq!((reply.status, reply.code().as_str()), (400, "BAD_HEADER"), "{refused}: {reply}");
            assert!(!reply.text().contains("password"), "{reply}");
        }
        assert_eq!(evil.connections(), 0);
    }

    async fn an_upgrade_to_something_else_is_queued_without_it(proxq: Proxq, upstream: Upstream) {
        for (connection, upgrade) in [("Upgrade", "h2c"), ("keep-alive", "websocket"), ("upgraded", "websocket")] {
            proxq.submit(get("/x").header("Connection", connection).header("Upgrade", upgrade)).await;
            assert_eq!(upstream.request().await.header("upgrade"), None);
        }
    }
}
