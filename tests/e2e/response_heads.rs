//! Tests of unusual heads of upstreams' responses, and of what a client gets of them on every way.

use harness::{Answer, Http2Client, Proxq, Reply, Request, Store, Upstream, get, on_every_store};

/// The answers to equal requests on every way: straight through, from a job's content, as the answer to a submission that
/// waits, and from the cache.
async fn on_every_way(proxq: &Proxq, request: impl Fn() -> Request) -> Vec<(&'static str, Reply)> {
    let direct = proxq.send(request().header("X-Proxq-Mode", "direct")).await;
    let content = proxq.through_queue(request()).await;
    let held = proxq.send(request().header("X-Proxq-Wait", "30s")).await;
    vec![("direct", direct), ("content", content), ("held", held)]
}

/// A server with a cache that all instances on its store could share, and its upstream.
async fn with_cache(store: Store) -> (Proxq, Upstream) {
    let upstream = Upstream::start().await;
    let mode = if store == Store::Redis { "redis" } else { "memory" };
    let proxq = Proxq::start(store.config_for(&upstream).set("cache.mode", mode)).await;
    (proxq, upstream)
}

on_every_store! {
    async fn a_reason_phrase_passes_on_every_way(store: Store) {
        let (proxq, upstream) = with_cache(store).await;
        for (number, (came, expected)) in [
            ("200 OK", "200 OK"),
            ("200 Awesome", "200 Awesome"),
            ("200 ", "200 "),
            ("200", "200 "),
            ("299 Nearly", "299 Nearly"),
            ("404 No  such\tthing", "404 No  such\tthing"),
            ("520 Web Server Returned an Unknown Error", "520 Web Server Returned an Unknown Error"),
            ("599 ", "599 "),
            ("999 Request denied", "999 Request denied"),
        ].into_iter().enumerate() {
            upstream.always(Answer::raw(format!("HTTP/1.1 {came}\r\nContent-Length: 2\r\n\r\nhi")));
            for (way, reply) in on_every_way(&proxq, || get(&format!("/{number}"))).await {
                assert_eq!(reply.head.line(), format!("HTTP/1.1 {expected}"), "{way}");
                assert_eq!(reply.text(), "hi", "{way} {came}");
                let verdict = reply.header("x-cache-status");
                let cacheable = came.starts_with('2');
                assert_eq!(verdict.as_deref() == Some("HIT"), way == "held" && cacheable, "{way} {came}: {verdict:?}");
            }
        }
    }

    async fn an_unknown_status_code_without_a_phrase_gets_none(store: Store) {
        let upstream = Upstream::start_http2().await; // which has no phrases
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.caFile", upstream.ca_file())).await;
        for (status, line) in [(200, "HTTP/1.1 200 OK"), (520, "HTTP/1.1 520 ")] {
            upstream.always(Answer::status(status).body("hi"));
            for (way, reply) in on_every_way(&proxq, || get("/x")).await {
                assert_eq!((reply.head.line(), reply.text().as_str()), (line, "hi"), "{way}");
            }
        }
    }

    async fn a_client_of_http_2_gets_the_code_alone(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 520 Odd\r\nContent-Length: 2\r\n\r\nhi"));
        let mut client = Http2Client::connect(proxq.address()).await;
        for (name, value) in [("x-proxq-mode", "direct"), ("x-proxq-wait", "30s")] {
            let request = http::Request::get("http://front.example/x").header(name, value).body(()).unwrap();
            let reply = client.begin(request, true).await.unwrap().0.await.unwrap();
            assert_eq!(reply.status().as_u16(), 520, "{name}");
        }
    }

    async fn spaces_before_a_colon_and_folded_lines_are_mended(store: Store) {
        let (proxq, upstream) = with_cache(store).await;
        for framing in ["Content-Length : 2\r\n\r\nhi", "Transfer-Encoding \t: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"] {
            let head = "HTTP/1.1 200 OK\r\nX-Spaced : a b\r\nX-Tabbed\t:c\r\nX-Folded: d\r\n  e\r\n\tf\r\nX-Plain: g\r\n";
            upstream.always(Answer::raw(format!("{head}{framing}")));
            let path = format!("/{}", framing.len());
            for (way, reply) in on_every_way(&proxq, || get(&path)).await {
                let value = |name| reply.header(name).unwrap_or_else(|| panic!("{way}: {name} is missing: {reply}"));
                assert_eq!((reply.status, reply.text().as_str()), (200, "hi"), "{way}");
                assert_eq!((value("x-spaced"), value("x-tabbed"), value("x-plain")), ("a b".into(), "c".into(), "g".into()));
                assert_eq!(value("x-folded").split_whitespace().collect::<Vec<_>>(), ["d", "e", "f"], "{way}");
                let raw = String::from_utf8_lossy(reply.head.raw()).into_owned();
                assert!(!raw.contains(" :") && !raw.contains("\t:") && !raw.contains("\n "), "{way}: {raw}");
            }
        }
    }

    /// The same job fails nowhere, and its request is sent once.
    async fn a_space_before_a_colon_does_not_lose_the_answer_to_a_post(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 201 Created\r\nServer : old\r\nContent-Length: 4\r\n\r\nmade"));
        let reply = proxq.through_queue(harness::post("/x").body("once")).await;
        assert_eq!((reply.status, reply.text().as_str(), reply.header("server").as_deref()), (201, "made", Some("old")));
        assert_eq!(upstream.received().len(), 1);
    }
}
