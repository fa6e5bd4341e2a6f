//! Tests of how requests and responses pass through the middleware.

use std::time::Duration;

use harness::{Answer, Digest, Gate, Pattern, Proxq, Route, Store, Upstream, on_every_store, on_the_store};
use proxq_client::{Delivery, Proxq as Middleware, ProxqOptions};
use proxq_protocol::header;
use reqwest::header::CONTENT_LENGTH;

use super::{client, plain, url, with};

on_every_store! {
    async fn a_queued_call_looks_like_a_direct_one(proxq: Proxq, upstream: Upstream) {
        let answer = Answer::status(418).header("X-A", "1").header("X-A", "2").header("Set-Cookie", "a=b").header("Set-Cookie", "c=d");
        upstream.always(answer.body("short and stout"));
        let direct = plain().post(format!("{}/tea?pot=1", upstream.url())).body("leaves").send().await.unwrap();
        let (status, mut headers, text) = (direct.status(), direct.headers().clone(), direct.text().await.unwrap());
        headers.remove("date");
        let http = client();
        // The first is looked for, the second held: from then on the middleware knows that there is a proxq.
        for _ in 0..2 {
            let target = url(&proxq, "/tea?pot=1");
            let response = http.post(&target).body("leaves").send().await.unwrap();
            assert!(matches!(response.extensions().get(), Some(Delivery::Job { .. })));
            assert_eq!(response.url().as_str(), target);
            let mut received = response.headers().clone();
            received.remove("date");
            assert_eq!((response.status(), received), (status, headers.clone()));
            assert_eq!(response.text().await.unwrap(), text);
        }
        let received = upstream.received();
        assert_eq!(received.len(), 3, "one request for each call");
        assert!(received.iter().all(|received| received.text() == "leaves"));
    }

    async fn what_has_no_body_stays_without(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| match head.word(0) {
            "HEAD" => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
            _ => Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        });
        let http = client();
        for _ in 0..2 {
            let response = http.head(url(&proxq, "/x")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.headers()[CONTENT_LENGTH].as_bytes()), (200, &b"1234"[..]));
            let response = http.delete(url(&proxq, "/x")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (204, ""));
        }
    }

    async fn a_large_result_arrives_whole(proxq: Proxq, upstream: Upstream) {
        let pattern = Pattern::new(7, 20 << 20);
        upstream.always(Answer::status(200).pattern(pattern));
        let mut response = client().get(url(&proxq, "/large")).send().await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(Digest::of(&bytes), pattern.digest());
    }

    async fn a_stream_arrives_event_by_event(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        let first = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n";
        upstream.always(Answer::raw(first).wait(&gate).then("8\r\ndata: 2\n\r\n0\r\n\r\n"));
        let http = with(Middleware::builder().proxq_url(url(&proxq, "")));
        let request = http.post(url(&proxq, "/x")).header("Content-Type", "application/json").body(r#"{"stream":true}"#);
        let mut response = request.send().await.unwrap();
        assert_eq!(response.extensions().get(), Some(&Delivery::Direct));
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n", "before the second was sent");
        gate.open();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 2\n");
    }

    async fn the_caller_can_mark_a_request_as_a_stream(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "direct");
        let http = client();
        for _ in 0..2 {
            let request = http.get(url(&proxq, "/x")).with_extension(ProxqOptions::new().direct());
            assert_eq!(request.send().await.unwrap().extensions().get(), Some(&Delivery::Direct));
        }
        let queued = http.get(url(&proxq, "/x?stream=true")).with_extension(ProxqOptions::new().queue());
        assert!(matches!(queued.send().await.unwrap().extensions().get(), Some(Delivery::Job { .. })));
    }

    async fn the_time_for_an_attempt_can_be_set(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let http = with(Middleware::builder().proxq_url(url(&proxq, "")).upstream_timeout(Duration::from_millis(200)));
        let error = http.get(url(&proxq, "/x")).send().await.unwrap_err();
        assert!(matches!(proxq_client::Error::find(&error), Some(proxq_client::Error::JobFailed { .. })), "{error}");
    }
}

on_the_store! { Embedded:
    async fn an_answer_of_proxqs_own_is_a_response(store: Store) {
        let upstream = Upstream::start().await;
        let route = Route::new("/api", &upstream.url()).set("maxBodySize", 10);
        let proxq = Proxq::start(store.config().route(route).route(Route::new("/other", &upstream.url()))).await;
        let http = client();
        for (path, body, status, code) in [("/nowhere", "", 502, "NO_UPSTREAM"), ("/api", "a body too large", 413, "BODY_TOO_LARGE")] {
            let response = http.post(url(&proxq, path)).body(body).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.extensions().get()), (status, Some(&Delivery::Direct)));
            assert_eq!(response.headers()[header::SOURCE], header::SOURCE_VALUE);
            assert!(response.text().await.unwrap().contains(code));
        }
    }

    async fn a_route_sends_requests_with_fixed_urls_through_proxq(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "here");
        let config = store.config().route(Route::new("/api", &upstream.url())).route(Route::new("/b", &upstream.url()));
        let proxq = Proxq::start(config).await;
        let http = with(Middleware::builder().route("https://api.example.com/v1", url(&proxq, "/api")));
        for path in ["reports?year=2026&x=%20", "late?stream=true"] {
            let target = format!("https://api.example.com/v1/{path}");
            let response = http.get(&target).send().await.unwrap();
            assert_eq!(response.url().as_str(), target);
            assert_eq!(response.text().await.unwrap(), "here");
            assert_eq!(upstream.request().await.target(), format!("/{path}"));
        }
    }
}

/// Controls on a request as an upstream received it.
fn controls(received: &harness::Received) -> Vec<String> {
    let names = [header::JOB_ID, header::WAIT, header::REDIRECTS, header::TIMEOUT, header::TOKEN];
    names.into_iter().filter(|name| received.header(name).is_some()).map(str::to_owned).collect()
}

#[test]
fn another_servers_202_is_left_alone_and_gets_no_controls() {
    harness::run(async {
        let server = Upstream::start().await;
        let body = r#"{"jobId":"550e8400-e29b-41d4-a716-446655440000"}"#;
        server.always(Answer::status(202).header("Location", "/elsewhere").body(body));
        let http = with(Middleware::builder().upstream_timeout(Duration::from_secs(1)));
        for _ in 0..2 {
            let response = http.post(format!("{}/x", server.url())).body("x").send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.extensions().get()), (202, Some(&Delivery::Direct)));
            assert_eq!(response.text().await.unwrap(), body);
            assert_eq!(controls(&server.request().await), [""; 0]);
        }
        assert_eq!(server.received().len(), 2);
    });
}

#[test]
fn controls_and_the_token_go_to_a_proxq_from_the_first_request_on_where_it_was_named() {
    harness::run(async {
        let server = Upstream::start().await;
        let http = with(Middleware::builder().proxq_url(server.url()).token("secret"));
        http.get(server.url()).send().await.unwrap();
        assert_eq!(controls(&server.request().await), [header::JOB_ID, header::WAIT, header::REDIRECTS, header::TOKEN]);
        let other = Upstream::start().await;
        other.always(Answer::status(404).header(header::SOURCE, header::SOURCE_VALUE));
        http.get(other.url()).send().await.unwrap();
        assert_eq!(controls(&other.request().await), [""; 0]);
        http.get(other.url()).send().await.unwrap();
        let own = [header::JOB_ID, header::WAIT, header::REDIRECTS];
        assert_eq!(controls(&other.request().await), own, "it only says that it is a proxq");
    });
}
