//! Tests of which requests bypass the queue because of their body or a control of their client, and how they are sent on.

use harness::{Config, Proxq, RawUpstream, Request, Route, Store, Upstream, get, on_every_store, once, post, request};
use serde_json::json;

fn json(body: impl Into<Vec<u8>>) -> Request {
    post("/v1/chat/completions").header("Content-Type", "application/json").body(body)
}

const BOUNDARY: &str = "x-boundary-7";

/// A form with these parts: what follows `form-data`, and the content.
fn form(parts: &[(&str, &[u8])]) -> Request {
    let mut body = Vec::new();
    for (disposition, content) in parts {
        body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data{disposition}\r\n\r\n").bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    post("/v1/audio/transcriptions")
        .header("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(body)
}

fn redirecting(store: Store, url: &str) -> Config {
    let route = Route::new("/files", url).set("directProxyMode", "redirect").set("directProxyThreshold", 10);
    store.config().route(route.set("pathFilter.patterns", vec!["^/files/fast"]))
}

once! {
    async fn patterns_match_characters_as_go_reads_them(store: Store) {
        let upstream = Upstream::start().await;
        let patterns = vec!["^/x/.$", "^/[^ü]$", r"^/\p{Greek}", r"^/\Qa.b\E$", "^/{id}$", "(?i)^/straße$"];
        let proxq = Proxq::start(store.config_for(&upstream).upstream("pathFilter.patterns", patterns)).await;
        for direct in ["/x/%C3%BC", "/x/%FF", "/%C3%A4", "/%CE%B1", "/a.b", "/%7Bid%7D", "/STRA%C3%9FE"] {
            assert_eq!(proxq.send(get(direct)).await.from_upstream(200).header("x-proxq-job-id"), None, "{direct}");
        }
        for queued in ["/x/ab", "/%C3%BC", "/axb", "/stra%C3%9F"] {
            proxq.submit(get(queued)).await;
        }
    }

    async fn a_json_body_that_asks_for_a_stream_goes_direct_byte_for_byte(proxq: Proxq, upstream: Upstream) {
        for body in [
            r#"{"model":"m","stream":true}"#,
            "{ \"stream\"\n:\ttrue , \"messages\": [{\"stream\": false}] }\n",
            r#"{"input":"hi","stream_format":"sse"}"#,
            r#"{"stre\u0061m":true}"#,
            r#"{"stream":false,"stream":true}"#,
            r#"{"stream":true,}"#,
            r#"{"stream":true} x"#,
        ] {
            let reply = proxq.send(json(body)).await.from_upstream(200);
            assert_eq!(reply.header("x-proxq-job-id"), None);
            let received = upstream.request().await;
            assert_eq!((received.text().as_str(), received.header("content-length")), (body, Some(body.len().to_string())));
        }
        let suffixed = post("/x").header("Content-Type", "application/vnd.api+json; charset=utf-8");
        proxq.send(suffixed.body(r#"{"stream":true}"#)).await.from_upstream(200);
    }

    async fn a_json_body_that_does_not_ask_for_one_is_queued(proxq: Proxq, upstream: Upstream) {
        for body in [
            r#"{"stream":false}"#,
            r#"{"stream":"true"}"#,
            r#"{"stream":1}"#,
            r#"{"stream_format":"audio"}"#,
            r#"{"options":{"stream":true}}"#,
            r#"{"text":"{\"stream\":true}"}"#,
            r#"[{"stream":true}]"#,
            r#"{"stream":true"#,
            "",
        ] {
            proxq.submit(json(body)).await;
            assert_eq!(upstream.request().await.text(), body);
        }
        proxq.submit(post("/x").header("Content-Type", "text/plain").body(r#"{"stream":true}"#)).await;
        proxq.submit(json(r#"{"stream":true}"#).header("Content-Encoding", "gzip")).await;
    }

    async fn json_that_lenient_parsers_accept_does_not_hide_a_stream(proxq: Proxq, upstream: Upstream) {
        for body in [
            &br#"{"m":"\ud83d","stream":true}"#[..],
            br#"{"temperature":NaN,"stream":true}"#,
            b"\xef\xbb\xbf{\"stream\":true}",
            b"{\"m\":\"\xff\",\"stream\":true}",
        ] {
            proxq.send(json(body)).await.from_upstream(200);
            assert_eq!(upstream.request().await.body, body);
        }
        for body in [&br#"{"m":"\ud83d\",\"stream\":true"}"#[..], br#"{"m":[NaN,{"stream":true}]}"#] {
            proxq.submit(json(body)).await;
        }
    }

    async fn paths_that_stream_go_direct_unless_a_body_or_a_mode_says_otherwise(store: Store) {
        let upstream = Upstream::start().await;
        let patterns = vec![":streamGenerateContent", r"-stream(\?|$)", "/api/(chat|generate)$"];
        let proxq = Proxq::start(store.config_for(&upstream).upstream("streamPaths", patterns)).await;
        let to = |target: &str, body: &'static str| post(target).header("Content-Type", "application/json").body(body);
        for request in [
            to("/v1beta/models/m:streamGenerateContent?key=k", "{}"),
            to("/v1beta/models/m:generateContent?alt=sse", "{}"),
            to("/model/m/converse-stream", "{}"),
            to("/api/chat", r#"{"model":"m"}"#),
            to("/api/chat", r#"{"stream":null}"#),
            to("/api/chat", "broken"),
            to("/api/generate", ""),
            get("/api/generate"),
            post("/api/chat").body("no JSON"),
        ] {
            proxq.send(request).await.from_upstream(200);
        }
        for request in [
            to("/v1beta/models/m:generateContent", "{}"),
            to("/api/chat", r#"{"model":"m","stream":false}"#),
            to("/api/chats", r#"{"model":"m"}"#),
            to("/api/chat", "{}").header("X-Proxq-Mode", "queue"),
        ] {
            proxq.submit(request).await;
        }
    }

    async fn a_form_with_a_field_that_asks_for_a_stream_goes_direct(proxq: Proxq, upstream: Upstream) {
        let file = ("; name=\"file\"; filename=\"a.mp3\"", &b"\0\xff--x-boundary\r\n"[..]);
        let _ = proxq.send(form(&[file, ("; name=\"stream\"", b"true")])).await.from_upstream(200);
        let _ = proxq.send(form(&[("; name=stream", b"true"), file])).await.from_upstream(200);
        for queued in [
            ("; name=\"stream\"", &b"false"[..]),
            ("; name=\"stream\"; filename=\"true\"", b"true"),
            ("; name=\"upstream\"", b"true"),
            ("; name=\"text\"", b"Content-Disposition: form-data; name=\"stream\"\r\n\r\ntrue"),
        ] {
            proxq.submit(form(&[file, queued])).await;
        }
        upstream.arrivals(6).await;
    }

    async fn no_more_of_a_body_is_looked_at_than_the_limit(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("streamPeekLimit", 1000)).await;
        let late = format!(r#"{{"text":"{}","stream":true}}"#, "x".repeat(1000));
        proxq.submit(json(late)).await;
        let early = format!(r#"{{"stream":true,"text":"{}"}}"#, "x".repeat(1000));
        proxq.send(json(early)).await.from_upstream(200);
    }

    async fn a_body_over_the_limit_of_the_queue_may_still_ask_for_a_stream(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("maxBodySize", 10)).await;
        proxq.send(json(r#"{"stream":true}"#)).await.from_upstream(200);
        proxq.send(json(r#"{"stream":false}"#)).await.refused(413, "BODY_TOO_LARGE");
    }

    async fn an_answer_to_a_peeked_body_streams(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        let mut client = proxq.wire().await;
        let body = r#"{"stream":true}"#;
        client.send(format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len())).await;
        client.send(format!("Expect: 100-continue\r\n\r\n{body}")).await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.comes(body).await;
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        assert_eq!(client.head().await.word(1), "100");
        client.head().await;
        client.comes("2\r\nhi\r\n").await;
    }

    async fn a_quoted_string_in_accept_asks_for_no_stream(proxq: Proxq, _upstream: Upstream) {
        let quoted = r#"a/b;p=", text/event-stream, ""#;
        proxq.submit(get("/x").header("Accept", quoted)).await;
        proxq.send(get("/x").header("Accept", format!("{quoted}, text/event-stream"))).await.from_upstream(200);
    }

    async fn stream_detection_can_be_limited_to_headers(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("streamDetection", false)).await;
        proxq.submit(json(r#"{"stream":true}"#)).await;
        proxq.submit(get("/x?stream=true")).await;
        proxq.submit(get("/x?alt=sse")).await;
        proxq.send(get("/x").header("Accept", "text/event-stream")).await.from_upstream(200);
        proxq.send(get("/x").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
    }

    async fn a_client_chooses_by_the_mode(proxq: Proxq, upstream: Upstream) {
        proxq.send(post("/x").header("X-Proxq-Mode", "direct").body("hi")).await.from_upstream(200);
        assert_eq!(upstream.request().await.header("x-proxq-mode"), None);
        let queued = |request: Request| request.header("X-Proxq-Mode", "queue");
        proxq.submit(queued(json(r#"{"stream":true}"#))).await;
        proxq.submit(queued(get("/x?stream=true").header("Accept", "text/event-stream"))).await;
        for value in ["", "Direct", "stream", "direct, queue"] {
            let reply = proxq.send(get("/x").header("X-Proxq-Mode", value)).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.detail().contains("X-Proxq-Mode") && reply.detail().contains("direct, queue, wait or follow"), "{reply}");
        }
        let twice = get("/x").header("X-Proxq-Mode", "direct").header("X-Proxq-Mode", "direct");
        proxq.send(twice).await.refused(400, "BAD_HEADER");
    }

    async fn an_upstream_may_ignore_what_clients_choose(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("clientMode", false)).await;
        for value in ["direct", "nonsense"] {
            proxq.submit(get("/x").header("X-Proxq-Mode", value)).await;
        }
        let stream = get("/x?stream=true").header("X-Proxq-Mode", "queue");
        proxq.send(stream).await.from_upstream(200);
    }

    async fn a_redirect_names_the_upstreams_own_address(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(redirecting(store, &format!("{}/base/", upstream.url()))).await;
        let chunked = "POST /files/a%20b?x='1' HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        for reply in [
            proxq.raw(chunked).await,
            proxq.send(post("/files/a%20b?x='1'").body("more than ten")).await,
        ] {
            assert_eq!((reply.status, reply.header("x-proxq-source").as_deref()), (307, Some("proxq")), "{reply}");
            assert_eq!(reply.header("location"), Some(format!("{}/base/a%20b?x='1'", upstream.url())));
        }
        assert_eq!(proxq.send(get("/files/fast/x")).await.status, 307);
        proxq.submit(get("/files/slow")).await;
        assert_eq!(upstream.request().await.target(), "/base/slow");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn requests_whose_clients_cannot_follow_are_not_redirected(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(redirecting(store, &upstream.url())).await;
        for request in [
            get("/files/x").header("Connection", "Upgrade").header("Upgrade", "websocket"),
            request("OPTIONS", "/files/x").header("Access-Control-Request-Method", "PUT"),
            get("/files/x?stream=true"),
            get("/files/x").header("X-Proxq-Mode", "direct"),
            // Whatever else keeps them out of the queue.
            request("OPTIONS", "/files/fast/x").header("Access-Control-Request-Method", "PUT"),
            get("/files/fast/x").header("Accept", "text/event-stream"),
            post("/files/x").header("Accept", "text/event-stream").body("more than ten"),
        ] {
            proxq.send(request).await.from_upstream(200);
        }
    }

    async fn a_redirect_comes_instead_of_100_continue(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(redirecting(store, &upstream.url())).await;
        let mut client = proxq.wire().await;
        client.send("PUT /files/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n").await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("connection").as_deref()), (307, Some("close")), "{reply}");
        client.closed().await;
    }
}

on_every_store! {
    async fn a_large_body_is_looked_at_too_and_arrives_whole(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 1000)).await;
        let before = proxq.large_bodies();
        for (stream, queued) in [(true, false), (false, true)] {
            let body = json!({ "audio": "x".repeat(3 << 20), "stream": stream, "text": "y".repeat(1 << 20) }).to_string();
            let reply = proxq.send(json(body.clone())).await;
            assert_eq!(reply.status == 202, queued, "{}", reply.head.line());
            let received = upstream.request().await;
            assert!(received.complete && received.digest == harness::Digest::of(body.as_bytes()));
            if !queued {
                assert_eq!(proxq.large_bodies(), before, "the store has seen nothing of it");
            }
        }
    }
}
