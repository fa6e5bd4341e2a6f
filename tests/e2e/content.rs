//! Tests of a job's content: the upstream's response, unchanged, as often as it is asked for.

use std::time::Duration;

use harness::{
    Answer, Gate, Pattern, Proxq, Reply, Store, Upstream, eventually, get, head, on_every_store, post, stay_silent,
};
use proxq_protocol::{JobStatus, header};

/// Every header but the ones of the connection that the reply came on, names in lower case, sorted by name.
fn headers(reply: &Reply) -> Vec<(String, String)> {
    let mut headers: Vec<_> = reply
        .head
        .fields()
        .iter()
        .map(|(name, value)| (name.to_lowercase(), String::from_utf8_lossy(value).into_owned()))
        .filter(|(name, _)| name != "connection")
        .collect();
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    headers
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

on_every_store! {
    async fn an_upstream_500_is_a_completed_job(proxq: Proxq, upstream: Upstream) {
        upstream.answers(500, "boom");
        let job = proxq.submit(post("/api/report")).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
        let content = proxq.content(&job).await;
        assert_eq!((content.status, content.text().as_str()), (500, "boom"));
        assert!(!content.head.has(header::SOURCE), "an upstream's own answer bears no stamp of proxq");
    }

    async fn a_response_is_replayed_with_nothing_added_and_nothing_lost(proxq: Proxq, upstream: Upstream) {
        let answer = Answer::status(203)
            .header("Date", "Tue, 15 Nov 1994 08:12:31 GMT")
            .header("Set-Cookie", "b=2; Path=/")
            .header("X-Bytes", b"\xe4\xff")
            .header("Set-Cookie", "a=1")
            .header("Content-Type", "text/plain")
            .header("Cache-Control", "max-age=60")
            .header("Server", "scripted")
            .header("Location", "relative/../path?x")
            .header("Content-Encoding", "gzip");
        upstream.always(answer.body(b"\x1f\x8b\x08 is not decoded".to_vec()));
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!(reply.status, 203);
        assert_eq!(reply.body, b"\x1f\x8b\x08 is not decoded");
        let expected = [
            ("cache-control", "max-age=60"),
            ("content-encoding", "gzip"),
            ("content-length", "18"),
            ("content-type", "text/plain"),
            ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
            ("location", "relative/../path?x"),
            ("server", "scripted"),
            ("set-cookie", "b=2; Path=/"),
            ("set-cookie", "a=1"),
            ("x-bytes", "\u{fffd}\u{fffd}"),
        ];
        assert_eq!(headers(&reply), pairs(expected));
        assert_eq!(reply.head.values_raw("x-bytes"), [b"\xe4\xff"]);
    }

    async fn every_status_is_a_result(proxq: Proxq, upstream: Upstream) {
        for status in [
            200, 201, 202, 206, 226, 300, 301, 302, 303, 307, 308, 400, 401, 404, 409, 418, 429, 451, 500, 502, 503,
            504, 599,
        ] {
            upstream.once(Answer::status(status).header("Location", "/elsewhere").body("said"));
            let reply = proxq.through_queue(get("/x")).await;
            assert_eq!((reply.status, reply.text().as_str()), (status, "said"));
        }
        assert_eq!(upstream.received().len(), 23, "no redirect is followed, nothing is tried again");
    }

    async fn content_can_be_fetched_again_and_again(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "same");
        let job = proxq.submit(get("/x")).await;
        let first = proxq.response(&job).await;
        for _ in 0..3 {
            let again = proxq.content(&job).await;
            assert_eq!((headers(&again), again.body), (headers(&first), first.body.clone()));
        }
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_response_without_a_date_gets_the_time_of_its_receipt(proxq: Proxq, _upstream: Upstream) {
        let job = proxq.submit(get("/x")).await;
        let first = proxq.response(&job).await.header("date").expect("a date");
        let now = async || proxq.send(get("/__jobs/healthz")).await.header("date").expect("a date");
        eventually("the next second begins, which dates have whole", async || now().await != first).await;
        assert_eq!(proxq.content(&job).await.header("date"), Some(first), "of the receipt, not of this reply");
    }

    async fn head_of_content_is_its_head_alone(proxq: Proxq, upstream: Upstream) {
        upstream.always(
            Answer::status(200).header("X-A", "1").header("Date", "Tue, 15 Nov 1994 08:12:31 GMT").body("hello"),
        );
        let job = proxq.submit(get("/x")).await;
        let with_body = proxq.response(&job).await;
        let alone = proxq.send(head(&format!("{}/content", job.location))).await;
        assert_eq!((alone.status, alone.body.len()), (200, 0));
        assert_eq!(headers(&alone), headers(&with_body));
    }

    async fn a_response_to_head_promises_no_body_that_does_not_come(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(200).header("X-A", "1").body("12345"));
        let job = proxq.submit(head("/x")).await;
        let reply = proxq.response(&job).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply}");
        assert_eq!(reply.head.values("x-a"), ["1"]);
    }

    async fn a_length_that_a_response_to_head_does_not_tell_is_not_made_up(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
        let held = proxq.send(head("/x").header("X-Proxq-Wait", "30s")).await;
        let id = held.header(header::JOB_ID).expect("it waited");
        let content = proxq.send(head(&format!("/__jobs/{id}/content"))).await;
        for reply in [held, content] {
            assert_eq!((reply.status, reply.header("content-length")), (200, None), "{reply}");
        }
    }

    async fn bodiless_responses_stay_bodiless(proxq: Proxq, upstream: Upstream) {
        for status in [204, 304] {
            upstream.once(Answer::status(status).header("ETag", "\"e\"").without_length());
            let job = proxq.submit(get("/x")).await;
            proxq.response(&job).await;
            // On one connection with another request behind it: no byte too many, none too few.
            let mut wire = proxq.wire().await;
            wire.send(format!("GET {}/content HTTP/1.1\r\nHost: h\r\n\r\n", job.location)).await;
            let reply = wire.reply().await;
            assert_eq!((reply.status, reply.header("etag").as_deref()), (status, Some("\"e\"")));
            assert_eq!(reply.header("transfer-encoding"), None);
            wire.assert_healthy().await;
        }
    }

    async fn a_304_with_a_length_keeps_its_connection_usable(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"));
        let job = proxq.submit(get("/x")).await;
        proxq.response(&job).await;
        let mut wire = proxq.wire().await;
        for _ in 0..2 {
            wire.send(format!("GET {}/content HTTP/1.1\r\nHost: h\r\n\r\n", job.location)).await;
            assert_eq!(wire.reply().await.status, 304);
        }
    }

    async fn chunked_and_open_ended_responses_are_kept_whole(proxq: Proxq, upstream: Upstream) {
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n";
        upstream.once(Answer::raw(chunked));
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello!"));
        upstream.once(Answer::raw("HTTP/1.1 200 OK\r\n\r\nto the end").close());
        assert_eq!(proxq.through_queue(get("/x")).await.text(), "to the end");
        upstream.once(Answer::raw("HTTP/1.0 200 OK\r\n\r\nold").close());
        assert_eq!(proxq.through_queue(get("/x")).await.text(), "old");
    }

    async fn a_response_with_two_lengths_has_the_one_that_counts_on_both_ways(proxq: Proxq, upstream: Upstream) {
        let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
        let twice = "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi";
        for (answer, body, direct_length) in [(both, "abcde", None), (twice, "hi", Some("2".to_owned()))] {
            upstream.always(Answer::raw(format!("HTTP/1.1 200 OK\r\n{answer}")));
            let direct = proxq.send(get("/x?stream=true")).await.from_upstream(200);
            assert_eq!((direct.text().as_str(), direct.header("content-length")), (body, direct_length));
            let queued = proxq.through_queue(get("/x")).await;
            assert_eq!((queued.text().as_str(), queued.header("content-length")), (body, Some(body.len().to_string())));
        }
    }

    async fn a_response_in_a_coding_that_nobody_undoes_is_none(proxq: Proxq, upstream: Upstream) {
        let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x08\r\n0\r\n\r\n";
        upstream.always(Answer::raw(coded));
        proxq.send(get("/x?stream=true")).await.refused(502, "UPSTREAM_UNREACHABLE");
        let job = proxq.submit(get("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!(status.status, JobStatus::Failed);
        let error = status.error.expect("a failed job says why");
        assert!(error.contains("it has the transfer coding \"gzip\""), "{error}");
    }

    async fn interim_responses_are_not_the_response(proxq: Proxq, upstream: Upstream) {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        upstream.always(Answer::raw(format!("{early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")));
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "hi"));
        assert!(!reply.head.has("link"));
    }

    async fn responses_around_the_inline_limit_are_replayed_byte_for_byte(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 4096)).await;
        for length in [0, 4095, 4096, 4097, 1_000_000] {
            let pattern = Pattern::new(length + 1, length);
            upstream.once(Answer::status(200).pattern(pattern));
            let reply = proxq.through_queue(get("/x")).await;
            assert_eq!(reply.digest, pattern.digest());
            assert_eq!(reply.header("content-length"), Some(length.to_string()));
        }
    }

    async fn content_that_is_not_there_says_why(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::status(200).wait(&gate));
        upstream.always(Answer::nothing().reset());
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
        let running = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let fails = proxq.submit(post("/x")).await;
        proxq.content(&running).await.refused(404, "NOT_READY");
        proxq.content(&fails).await.refused(404, "NOT_READY");
        gate.open();
        proxq.settled(&fails).await;
        proxq.content(&fails).await.refused(404, "JOB_FAILED");
        for unknown in ["00000000-0000-4000-8000-000000000000", "nonsense", "..."] {
            proxq.send(get(&format!("/__jobs/{unknown}/content"))).await.refused(404, "NOT_FOUND");
        }
    }

    async fn a_slow_reader_gets_all_of_a_large_result(store: Store) {
        let upstream = Upstream::start().await;
        let pattern = Pattern::new(9, 8 << 20);
        upstream.always(Answer::status(200).pattern(pattern));
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(get("/x")).await;
        proxq.response(&job).await;
        let mut wire = proxq.wire().await;
        wire.send(format!("GET {}/content HTTP/1.1\r\nHost: h\r\n\r\n", job.location)).await;
        stay_silent(Duration::from_millis(200)).await; // long enough for every buffer between to be full
        assert_eq!(wire.reply().await.digest, pattern.digest());
    }
}
