//! Tests of clients that speak HTTP/2 without TLS: everything works as over HTTP/1.1, within limits for each connection.

use std::time::Duration;

use bytes::Bytes;
use harness::{
    Answer, Gate, Head, Http2Client, Proxq, RawUpstream, Refusing, Route, Store, Upstream, eventually, never_within,
    on_every_store, once, outlast,
};
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn to(method: &str, target: &str, fields: &[(&str, &str)]) -> http::request::Builder {
    let mut request = Request::builder().method(method).uri(format!("http://front.example{target}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request
}

/// What a `HEAD` is answered with: a head that ends its stream.
async fn head_of(client: &mut Http2Client, target: &str, fields: &[(&str, &str)]) -> http::response::Parts {
    let (response, _) = client.begin(to("HEAD", target, fields).body(()).unwrap(), true).await.unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    assert!(body.is_end_stream(), "{target}: {head:?}");
    assert!(body.data().await.is_none() && body.trailers().await.unwrap().is_none(), "{target}");
    head
}

once! {
    async fn a_direct_request_is_one_of_http_1_1_to_its_upstream(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(200).header("Connection", "X-Gone").header("X-Gone", "1").body("hi"));
        let mut client = Http2Client::connect(proxq.address()).await;
        let fields = [("x-proxq-mode", "direct"), ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")];
        let reply = client.send(to("GET", "/x?y", &fields).body("").unwrap()).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "hi"));
        assert!(!reply.headers.contains_key("connection") && !reply.headers.contains_key("x-gone"));
        let received = upstream.request().await;
        assert_eq!((received.head.line(), received.headers("cookie")), ("GET /x?y HTTP/1.1", vec!["a=1; b=2".to_owned()]));
        assert_eq!(received.header("host"), Some(upstream.address().to_string()));
        assert_eq!(received.header("te").as_deref(), Some("trailers"));
    }

    async fn a_body_without_a_length_goes_direct_and_no_body_is_queued(proxq: Proxq, upstream: Upstream) {
        let mut client = Http2Client::connect(proxq.address()).await;
        let direct = client.send(to("POST", "/x", &[]).body("hello").unwrap()).await;
        assert_eq!((direct.status, direct.header("x-proxq-source")), (200, None));
        let received = upstream.request().await;
        assert_eq!((received.text().as_str(), received.header("transfer-encoding").as_deref()), ("hello", Some("chunked")));
        assert_eq!(client.send(to("POST", "/x", &[]).body("").unwrap()).await.status, 202);
    }

    async fn both_bodies_stream_and_trailers_pass(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        let mut client = Http2Client::connect(proxq.address()).await;
        let (response, mut sending) = client.begin(to("POST", "/x", &[]).body(()).unwrap(), false).await.unwrap();
        let mut served = upstream.accept().await;
        served.head().await;
        sending.send_data(Bytes::from_static(b"up"), false).unwrap();
        served.comes("2\r\nup\r\n").await;
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndown\r\n").await;
        let mut coming = response.await.unwrap().into_body();
        assert_eq!(coming.data().await.unwrap().unwrap(), "down");
        sending.send_data(Bytes::new(), true).unwrap();
        served.comes("0\r\n\r\n").await;
        served.send("0\r\nX-End: 9\r\nX-Proxq-Source: proxq\r\n\r\n").await;
        assert!(coming.data().await.is_none());
        let trailers = coming.trailers().await.unwrap().unwrap();
        assert_eq!((trailers.len(), trailers["x-end"].as_bytes()), (1, &b"9"[..]));
    }

    async fn a_stream_that_is_reset_ends_its_exchange_and_no_other(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        let mut client = Http2Client::connect(proxq.address()).await;
        let direct = || to("GET", "/x?stream=true", &[]).body(()).unwrap();
        let (first, mut resetting) = client.begin(direct(), true).await.unwrap();
        let mut first_served = upstream.accept().await;
        first_served.head().await;
        let (second, _) = client.begin(direct(), true).await.unwrap();
        let mut second_served = upstream.accept().await;
        second_served.head().await;
        resetting.send_reset(h2::Reason::CANCEL);
        assert_eq!(first_served.rest().await, b"");
        first.await.unwrap_err();
        second_served.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(second.await.unwrap().status(), 200);
    }

    async fn a_body_that_is_reset_without_an_error_is_not_ended_for_its_client(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        for _ in 0..20 {
            let mut client = Http2Client::connect(proxq.address()).await;
            let (_response, mut sending) = client.begin(to("POST", "/x", &[]).body(()).unwrap(), false).await.unwrap();
            let mut served = upstream.accept().await;
            served.head().await;
            sending.send_data(Bytes::from_static(b"half"), false).unwrap();
            served.comes("4\r\nhalf\r\n").await;
            sending.send_reset(h2::Reason::NO_ERROR);
            assert_eq!(served.rest().await, b"", "no last chunk");
        }
    }

    async fn one_stream_that_is_not_read_does_not_cost_the_others_their_connection(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        let (large, slow) = ("x".repeat(1 << 20), Answer::status(200).body("in the end").wait(&gate));
        upstream.plan(move |head| {
            if head.word(1).starts_with("/large") { Answer::status(200).body(large.clone()) } else { slow.clone() }
        });
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.idleTimeout", "300ms")).await;
        let mut settings = h2::client::Builder::new();
        settings.initial_window_size(1000);
        let mut client = Http2Client::connect_with(proxq.address(), &settings).await;
        let (slow, _) = client.begin(to("GET", "/slow?stream=true", &[]).body(()).unwrap(), true).await.unwrap();
        upstream.arrivals(1).await;
        let (left, _) = client.begin(to("GET", "/large?stream=true", &[]).body(()).unwrap(), true).await.unwrap();
        let _left = left.await.unwrap();
        outlast(Duration::from_secs(1)).await;
        gate.open();
        assert_eq!(slow.await.unwrap().into_body().data().await.unwrap().unwrap(), "in the end");
    }

    async fn an_upstream_that_breaks_off_breaks_off_the_stream(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").close());
        let mut client = Http2Client::connect(proxq.address()).await;
        let broken = client.try_send(to("GET", "/x?stream=true", &[]).body("").unwrap()).await.unwrap_err();
        assert!(broken.is_reset(), "{broken}");
        let healthy = client.send(to("GET", "/__jobs/healthz", &[]).body("").unwrap()).await;
        assert_eq!(healthy.status, 200, "the connection goes on");
    }

    async fn only_so_many_streams_are_open_at_once(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let mut client = Http2Client::connect(proxq.address()).await;
        let (_first, _) = client.begin(to("GET", "/x?stream=true", &[]).body(()).unwrap(), true).await.unwrap();
        upstream.arrivals(1).await;
        let mut waiting = Vec::new();
        for _ in 1..128 {
            waiting.push(client.begin(to("GET", "/x?stream=true", &[]).body(()).unwrap(), true).await.unwrap());
        }
        upstream.arrivals(128).await;
        let (_beyond, _) = client.begin(to("GET", "/x?stream=true", &[]).body(()).unwrap(), true).await.unwrap();
        never_within(Duration::from_millis(300), "what is beyond is begun", upstream.arrivals(129)).await;
        proxq.assert_healthy().await;
    }

    async fn a_client_that_resets_stream_after_stream_is_disconnected(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let mut client = Http2Client::connect(proxq.address()).await;
        let mut resets = 0;
        while let Ok((_, mut stream)) = client.begin(to("GET", "/x?stream=true", &[]).body(()).unwrap(), true).await {
            stream.send_reset(h2::Reason::CANCEL);
            resets += 1;
            assert!(resets < 10_000, "it goes on for ever");
            tokio::task::yield_now().await;
        }
        client.ended().await.ok();
        upstream.quiet().await;
        proxq.assert_healthy().await;
    }

    async fn a_head_that_is_too_large_is_refused(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.maxHeaderBytes", "16KiB")).await;
        let mut client = Http2Client::connect(proxq.address()).await;
        let large = "x".repeat(20_000);
        let refused = client.try_send(to("GET", "/x", &[("x-large", &large)]).body("").unwrap()).await;
        assert!(refused.as_ref().map_or(true, |reply| reply.status == 431), "{refused:?}");
        assert!(upstream.received().is_empty());
    }

    async fn a_preface_that_does_not_come_whole_ends_the_connection(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.headerReadTimeout", "300ms")).await;
        for begun in ["P", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let mut wire = proxq.wire().await;
            wire.send(begun).await;
            wire.closed().await;
        }
    }

    async fn an_idle_connection_is_closed_whatever_it_pings(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.idleTimeout", "300ms")).await;
        let mut client = Http2Client::connect(proxq.address()).await;
        client.send(to("GET", "/__jobs/healthz", &[]).body("").unwrap()).await;
        client.ended().await.ok();
        let mut pinging = TcpStream::connect(proxq.address()).await.unwrap();
        pinging.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        eventually("the connection is closed", || {
            let open = pinging.try_write(b"\0\0\x08\x06\0\0\0\0\0pingping").is_ok();
            async move { !open }
        })
        .await;
    }

    async fn a_client_that_reads_nothing_of_its_stream_is_disconnected(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).body("x".repeat(1 << 20)));
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.idleTimeout", "500ms")).await;
        let mut settings = h2::client::Builder::new();
        settings.initial_window_size(1000);
        let mut client = Http2Client::connect_with(proxq.address(), &settings).await;
        let (response, _) = client.begin(to("GET", "/x?stream=true", &[]).body(()).unwrap(), true).await.unwrap();
        let _untaken = response.await.unwrap();
        client.ended().await.ok();
        upstream.quiet().await;
    }

    async fn a_drain_lets_streams_end_and_takes_no_more(store: Store) {
        let upstream = RawUpstream::start().await;
        let mut proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        let mut client = Http2Client::connect(proxq.address()).await;
        let (response, _) = client.begin(to("GET", "/x?stream=true", &[]).body(()).unwrap(), true).await.unwrap();
        let mut served = upstream.accept().await;
        served.head().await;
        proxq.terminate();
        proxq.drains().await;
        served.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(response.await.unwrap().into_body().data().await.unwrap().unwrap(), "hi");
        client.ended().await.unwrap();
        assert_eq!(proxq.exit_code().await, Some(0));
    }
}

on_every_store! {
    async fn the_answer_to_a_head_is_its_head(store: Store) {
        let upstream = Upstream::start().await;
        let answer = |head: &Head| {
            Answer::status(200).header("X-Report", "7").body(if head.word(0) == "HEAD" { "" } else { "done" })
        };
        upstream.plan(answer);
        let refusing = Refusing::new();
        let proxq = Proxq::start(
            store
                .config()
                .route(Route::new("/api", &upstream.url()))
                .route(Route::new("/gone", &refusing.url()))
                .route(Route::new("/away", &upstream.url()).set("directProxyMode", "redirect").set("pathFilter.patterns", vec!["."])),
        )
        .await;
        let mut client = Http2Client::connect(proxq.address()).await;
        let accepted = head_of(&mut client, "/api/x", &[]).await;
        assert_eq!((accepted.status.as_u16(), accepted.headers["content-length"].as_bytes()), (202, &b"48"[..]));
        let job = accepted.headers["location"].to_str().unwrap().to_owned();
        let got = client.send(to("GET", "/api/x?got", &[]).body("").unwrap()).await;
        let got = got.header("location").unwrap().to_owned();
        for (target, fields, status) in [
            (format!("{job}?wait=10s"), &[][..], 200),
            (format!("{got}?wait=10s"), &[], 200),
            (format!("{got}/content"), &[], 200),
            ("/__jobs/healthz".to_owned(), &[], 200),
            ("/__jobs/readyz".to_owned(), &[], 200),
            ("/__jobs/nothing".to_owned(), &[], 404),
            (format!("{job}/retry"), &[], 405),
            (format!("{job}?wait=x"), &[], 400),
            ("/nowhere".to_owned(), &[], 502),
            ("/gone".to_owned(), &[("x-proxq-mode", "direct")], 502),
            ("/api/../x".to_owned(), &[], 400),
        ] {
            let head = head_of(&mut client, &target, fields).await;
            let whole = client.send(to("GET", &target, fields).body("").unwrap()).await;
            assert_eq!((head.status.as_u16(), whole.status), (status, status), "{target}");
            let length = head.headers["content-length"].to_str().unwrap();
            assert_eq!(length, whole.body.len().to_string(), "{target}: as GET is answered");
        }
        assert_eq!(head_of(&mut client, &format!("{got}/events"), &[]).await.status, 200);
        let held = head_of(&mut client, "/api/x?held", &[("x-proxq-wait", "10s")]).await;
        assert_eq!((held.status.as_u16(), held.headers["x-report"].as_bytes()), (200, &b"7"[..]));
        let direct = head_of(&mut client, "/api/x", &[("x-proxq-mode", "direct")]).await;
        assert_eq!((direct.status.as_u16(), direct.headers["x-report"].as_bytes()), (200, &b"7"[..]));
        assert_eq!(head_of(&mut client, "/away/x", &[]).await.status, 307);
        assert_eq!(client.send(to("GET", "/__jobs/healthz", &[]).body("").unwrap()).await.status, 200);
    }

    async fn a_job_is_submitted_asked_for_and_fetched(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(201).header("X-Report", "7").body("done"));
        let mut client = Http2Client::connect(proxq.address()).await;
        let accepted = client.send(to("POST", "/x", &[("content-length", "5")]).body("hello").unwrap()).await;
        assert_eq!((accepted.status, accepted.header("connection")), (202, None));
        let location = accepted.header("location").unwrap().to_owned();
        let content = client.send(to("GET", &format!("{location}/content?wait=10s"), &[]).body("").unwrap()).await;
        assert_eq!((content.status, content.header("x-report"), content.text().as_str()), (201, Some("7"), "done"));
        let received = upstream.request().await;
        assert_eq!(received.text(), "hello");
        assert_eq!(received.header("x-forwarded-host").as_deref(), Some("front.example"));
        assert!(received.header("via").unwrap().starts_with("2.0 "));
    }
}
