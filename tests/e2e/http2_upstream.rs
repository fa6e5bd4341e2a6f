//! Tests of upstreams that speak HTTP/2, agreed on in the TLS handshake.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::{
    Answer, Config, Gate, Pattern, Proxq, Request, Store, Upstream, get, head, never_within, on_every_store, post, put,
    request,
};
use proxq_protocol::{JobInfo, JobStatus, Outcome};

/// A configuration that forwards everything to this upstream, and trusts it.
fn config_for(store: Store, upstream: &Upstream) -> Config {
    store.config_for(upstream).upstream("tls.caFile", upstream.ca_file())
}

/// A server that forwards everything to an upstream that speaks HTTP/2, and that upstream.
async fn pair(store: Store) -> (Proxq, Upstream) {
    let upstream = Upstream::start_http2().await;
    let proxq = Proxq::builder(config_for(store, &upstream)).on_one_core().start().await;
    (proxq, upstream)
}

/// How a job ends whose first attempt gets this answer and whose others get a `200`, and how often it was sent.
async fn ends(store: Store, retries: u32, sent: Request, first: Answer) -> (JobInfo, usize) {
    let upstream = Upstream::start_http2().await;
    upstream.once(first);
    let config = config_for(store, &upstream).upstream("delivery", "auto").upstream("timeout", "10s");
    let config = config.upstream("maxRetries", retries).upstream("retryDelay", "10ms");
    let proxq = Proxq::start(config).await;
    let job = proxq.submit(sent).await;
    let status = proxq.settled(&job).await;
    (status, upstream.deliveries(job.id))
}

/// The same where the upstream goes away from the first connection, and of its streams processed those up to this one.
async fn goes_away(store: Store, retries: u32, sent: Request, last_stream: u32) -> (JobInfo, usize) {
    let upstream = Upstream::start_http2().await;
    upstream.goes_away_once(last_stream);
    let config = config_for(store, &upstream).upstream("delivery", "auto").upstream("timeout", "10s");
    let config = config.upstream("maxRetries", retries).upstream("retryDelay", "10ms");
    let proxq = Proxq::start(config).await;
    let job = proxq.submit(sent).await;
    let status = proxq.settled(&job).await;
    (status, upstream.deliveries(job.id))
}

/// The error of a failed job, which is one clean line.
#[track_caller]
fn error_of(status: &JobInfo) -> &str {
    let error = status.error.as_deref().expect("a failed job says why");
    assert!(error.starts_with("forward request: "), "{error}");
    for no in ["\n", "::", "{", "Error(", "hyper", ".rs", "hidden"] {
        assert!(!error.contains(no), "{no:?} in {error:?}");
    }
    error
}

on_every_store! {
    async fn the_request_line_arrives_byte_for_byte(store: Store) {
        let (proxq, upstream) = pair(store).await;
        for target in ["/", "/a%2Fb/%20/./x//;p=1/", "/x?", "/x?a=b&&c='|{}^`\\%zz", "/~a!$&'()*+,;=:@", "//x"] {
            for method in ["GET", "POST", "PROPFIND", "x-own"] {
                proxq.submit(request(method, target)).await;
                let received = upstream.request().await;
                assert_eq!(received.head.line(), format!("{method} {target} HTTP/2"));
                assert_eq!(received.header(":authority"), Some(upstream.address().to_string()));
                assert_eq!(received.header(":scheme").as_deref(), Some("https"));
            }
        }
    }

    async fn fields_arrive_in_order_and_none_of_one_connection_does(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let request = post("/x")
            .header("Host", "public.example")
            .header("Connection", "X-Hop, keep-alive")
            .header("X-Hop", "1")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "keep-alive")
            .header("TE", "trailers")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
            .header("Upgrade-Insecure-Requests", "1")
            .header("X-Dup", "b")
            .header("Cookie", "a=1")
            .header("x-dup", "a, c")
            .header("X-DUP", "")
            .header("Cookie", "b=2; c=3")
            .header("X-Bytes", b"\x21\x80\xff")
            .body("body");
        let job = proxq.submit(request).await;
        let received = upstream.request().await;
        for gone in
            ["host", "connection", "x-hop", "keep-alive", "proxy-connection", "te", "upgrade", "transfer-encoding"]
        {
            assert!(!received.head.has(gone), "{gone}: {}", String::from_utf8_lossy(received.head.raw()));
        }
        assert_eq!(received.headers("x-dup"), ["b", "a, c", ""]);
        assert_eq!(received.headers("cookie"), ["a=1", "b=2; c=3"]);
        assert_eq!(received.head.values_raw("x-bytes"), [b"\x21\x80\xff"]);
        assert_eq!(received.header("upgrade-insecure-requests").as_deref(), Some("1"));
        assert_eq!(received.header("x-forwarded-host").as_deref(), Some("public.example"));
        assert_eq!(received.header("content-length").as_deref(), Some("4"));
        assert_eq!((received.job_id(), received.attempt()), (Some(job.id), Some(1)));
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
    }

    async fn no_field_is_added_beyond_the_named_ones(store: Store) {
        let (proxq, upstream) = pair(store).await;
        proxq.submit(get("/x")).await;
        let received = upstream.request().await;
        let mut names = received.head.names();
        names.sort_unstable();
        let expected = [
            ":authority",
            ":scheme",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-proxq-attempt",
            "x-proxq-job-id",
            "x-real-ip",
            "x-request-id",
        ];
        assert_eq!(names, expected);
    }

    async fn bodies_of_any_size_are_the_same_on_both_sides(store: Store) {
        let (proxq, upstream) = pair(store).await;
        for length in [0, 1, 16_384, 65_535, 65_536, 5 << 20] {
            let (sent, answered) = (Pattern::new(1, length), Pattern::new(2, length));
            upstream.always(Answer::status(200).pattern(answered));
            let job = proxq.submit(post("/x").pattern(sent)).await;
            assert_eq!(upstream.request().await.digest, sent.digest());
            proxq.settled(&job).await;
            assert_eq!(proxq.content_digest(&job).await, answered.digest());
        }
    }

    async fn a_body_without_a_length_ends_with_its_stream(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let answered = Pattern::new(2, 2 << 20);
        upstream.always(Answer::status(200).without_length().pattern(answered));
        let job = proxq.submit(get("/x")).await;
        proxq.settled(&job).await;
        assert_eq!(proxq.content_digest(&job).await, answered.digest());
    }

    async fn the_content_is_the_upstreams_answer(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let answer = Answer::status(418)
            .header("X-Dup", "b")
            .header("Set-Cookie", "a=1")
            .header("X-Dup", "a, c")
            .header("Set-Cookie", "b=2")
            .header("X-Bytes", b"\x21\x80\xff")
            .header("X-Proxq-Source", "proxq")
            .body("short and stout");
        upstream.always(answer);
        let reply = proxq.through_queue(post("/x")).await;
        assert_eq!((reply.status, reply.text().as_str()), (418, "short and stout"));
        assert_eq!(reply.head.values("x-dup"), ["b", "a, c"]);
        assert_eq!(reply.head.values("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(reply.head.values_raw("x-bytes"), [b"\x21\x80\xff"]);
        assert_eq!(reply.header("content-length").as_deref(), Some("15"));
        assert!(!reply.head.names().iter().any(|name| name.starts_with(':')), "{reply}");
    }

    async fn answers_without_a_body_are_answers(store: Store) {
        let (proxq, upstream) = pair(store).await;
        upstream.always(Answer::status(200).header("X-A", "1").body("not sent"));
        let reply = proxq.through_queue(head("/x")).await;
        assert_eq!((reply.status, reply.header("x-a").as_deref()), (200, Some("1")));
        assert_eq!(reply.text(), "");
        for status in [204, 304] {
            upstream.always(Answer::status(status).without_length().header("ETag", "\"e\""));
            let reply = proxq.through_queue(get("/x")).await;
            assert_eq!((reply.status, reply.header("etag").as_deref()), (status, Some("\"e\"")));
        }
        upstream.always(Answer::status(304).without_length().header("Content-Length", "9"));
        assert_eq!(proxq.through_queue(get("/x")).await.status, 304);
    }

    async fn interim_responses_and_trailers_are_no_part_of_the_answer(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let answer = Answer::status(200).inform(100).inform(103).body("whole").trailer("x-checksum", "1");
        upstream.always(answer);
        let reply = proxq.through_queue(post("/x").body("b")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "whole"));
        assert!(!reply.head.has("x-checksum") && reply.trailers.is_empty(), "{reply}");
        upstream.always(Answer::status(200).without_length().trailer("grpc-status", "0"));
        assert_eq!(proxq.through_queue(get("/x")).await.text(), "");
    }

    async fn many_and_long_fields_are_an_answer(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let answer = (0..200).fold(Answer::status(200), |answer, n| answer.header(&format!("X-{n}"), [b'x'; 500]));
        upstream.always(answer);
        assert_eq!(proxq.through_queue(get("/x")).await.head.values("x-199"), ["x".repeat(500)]);
    }

    async fn an_answer_before_the_body_was_read_is_an_answer(store: Store) {
        let (proxq, upstream) = pair(store).await;
        upstream.always(Answer::status(413).body("too much").early().stop_reading());
        let reply = proxq.through_queue(post("/x").pattern(Pattern::new(1, 10 << 20))).await;
        assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
    }

    async fn a_preserved_host_is_said_over_http_1(store: Store) {
        let upstream = Upstream::start_http2().await;
        let proxq = Proxq::start(config_for(store, &upstream).upstream("preserveHost", true)).await;
        let reply = proxq.through_queue(post("/x%2Fy").header("Host", "public.example").body("b")).await;
        assert_eq!(reply.status, 200);
        let received = upstream.request().await;
        assert_eq!(received.head.line(), "POST /x%2Fy HTTP/1.1");
        assert_eq!(received.header("host").as_deref(), Some("public.example"));
    }

    async fn a_host_that_was_preserved_stays_when_the_configuration_changes(store: Store) {
        let upstream = Upstream::start_http2().await;
        upstream.once(Answer::nothing().hang());
        let config = config_for(store, &upstream).upstream("preserveHost", true);
        let mut proxq = Proxq::start(config).await;
        let job = proxq.submit(get("/x").header("Host", "public.example")).await;
        upstream.arrivals(1).await;
        proxq.kill();
        proxq.start_again_with(config_for(store, &upstream)).await;
        proxq.response(&job).await;
        let lines: Vec<_> = upstream.received().iter().map(|received| received.head.line().to_owned()).collect();
        assert_eq!(lines, ["GET /x HTTP/1.1", "GET /x HTTP/1.1"]);
        assert_eq!(upstream.received()[1].header("host").as_deref(), Some("public.example"));
        proxq.through_queue(get("/y").header("Host", "public.example")).await;
        assert_eq!(upstream.received()[2].head.line(), "GET /y HTTP/2");
    }

    async fn a_refused_request_was_not_sent(store: Store) {
        for refusal in [Answer::nothing().refuse(), Answer::nothing().early().refuse()] {
            let sent = post("/x?key=hidden").body("b");
            let (status, deliveries) = ends(store, 0, sent.clone(), refusal.clone()).await;
            assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
            assert_eq!(deliveries, 1);
            let error = error_of(&status);
            assert!(error.contains("send to https://127.0.0.1:") && error.contains("refused"), "{error}");
            let (status, deliveries) = ends(store, 1, sent, refusal).await;
            assert_eq!((status.status, status.attempts, deliveries), (JobStatus::Completed, Some(2), 2));
        }
    }

    async fn what_an_upstream_that_goes_away_left_unprocessed_was_not_sent(store: Store) {
        let (status, _) = goes_away(store, 0, post("/x").body("b"), 0).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)), "{status:?}");
        let error = error_of(&status);
        assert!(error.contains("send to https://127.0.0.1:"), "{error}");
        let (status, deliveries) = goes_away(store, 1, post("/x").body("b"), 0).await;
        assert_eq!((status.status, status.attempts), (JobStatus::Completed, Some(2)), "{status:?}");
        assert_eq!(deliveries, 1, "the other one was unprocessed");
    }

    async fn what_an_upstream_that_goes_away_may_have_processed_is_in_doubt(store: Store) {
        let (status, deliveries) = goes_away(store, 3, post("/x").body("b"), 1).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)), "{status:?}");
        assert_eq!((status.attempts, deliveries), (Some(1), 0));
        error_of(&status);
        let (status, deliveries) = goes_away(store, 1, put("/x").body("b"), 1).await;
        assert_eq!((status.status, status.attempts, deliveries), (JobStatus::Completed, Some(2), 1));
    }

    async fn a_stream_that_breaks_is_in_doubt(store: Store) {
        let half = Answer::status(200).without_length().header("Content-Length", "100").body("half");
        for (broken, step) in [
            (Answer::nothing().break_stream(), "send to https://127.0.0.1:"),
            (half.clone().break_stream(), "read the response of https://127.0.0.1:"),
            (half.clone().refuse(), "read the response of https://127.0.0.1:"),
            (half, "read the response of https://127.0.0.1:"),
        ] {
            let sent = post("/x?key=hidden").body("b");
            let (status, deliveries) = ends(store, 3, sent, broken.clone()).await;
            assert_eq!(status.outcome, Some(Outcome::Indeterminate), "{broken:?}: {status:?}");
            assert_eq!((status.attempts, deliveries), (Some(1), 1));
            let error = error_of(&status);
            assert!(error.contains(step), "{error}");
            let (status, deliveries) = ends(store, 1, get("/x"), broken).await;
            assert_eq!((status.status, status.attempts, deliveries), (JobStatus::Completed, Some(2), 2));
        }
    }

    async fn a_response_that_is_reset_without_an_error_is_cut_short(store: Store) {
        let half = || Answer::status(200).without_length().body("half").stop_reading();
        let (status, deliveries) = ends(store, 0, post("/x"), half()).await;
        assert_eq!((status.outcome, deliveries), (Some(Outcome::Indeterminate), 1), "{status:?}");
        let (proxq, upstream) = pair(store).await;
        upstream.always(half());
        let broken = proxq.try_send(get("/x").header("X-Proxq-Mode", "direct")).await;
        assert!(broken.is_err(), "{broken:?}");
    }

    async fn a_connection_that_ends_is_in_doubt(store: Store) {
        for broken in [Answer::nothing().close(), Answer::status(200).without_length().body("half").close()] {
            let (status, deliveries) = ends(store, 3, post("/x"), broken.clone()).await;
            assert_eq!(status.outcome, Some(Outcome::Indeterminate), "{broken:?}: {status:?}");
            assert_eq!(deliveries, 1);
            error_of(&status);
            let (status, deliveries) = ends(store, 1, get("/x"), broken).await;
            assert_eq!((status.status, deliveries), (JobStatus::Completed, 2));
        }
    }

    async fn a_cancelled_job_breaks_off_its_stream_and_no_other(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate).body("done"));
        let cancelled = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let kept = proxq.submit(post("/x")).await;
        upstream.arrivals(2).await;
        proxq.cancel(&cancelled).await;
        upstream.abandoned(cancelled.id).await;
        gate.open();
        assert_eq!(proxq.response(&kept).await.text(), "done");
        let connections: BTreeSet<_> = upstream.received().iter().map(|received| received.connection).collect();
        assert_eq!(connections.len(), 1);
    }

    async fn a_connection_that_did_not_answer_in_time_takes_no_more(store: Store) {
        let (proxq, upstream) = pair(store).await;
        let gate = Gate::new();
        upstream.once(Answer::status(200).wait(&gate).body("late"));
        upstream.once(Answer::nothing().hang());
        upstream.once(Answer::status(200).without_length().body("half").hang());
        let late = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        for step in ["/head", "/body"] {
            let job = proxq.submit(post(step).header("X-Proxq-Timeout", "300ms")).await;
            assert_eq!(proxq.settled(&job).await.outcome, Some(Outcome::Indeterminate));
        }
        proxq.through_queue(post("/x")).await;
        let connections: Vec<_> = upstream.received().iter().map(|received| received.connection).collect();
        assert_eq!(connections, [0, 0, 1, 2]);
        gate.open();
        assert_eq!(proxq.response(&late).await.text(), "late", "what it carries already may still end");
    }

    async fn jobs_share_a_connection_and_its_streams(store: Store) {
        const JOBS: usize = 12;
        let upstream = Upstream::start_http2().await;
        upstream.allow_streams(2);
        let (settings, answers) = (Gate::new(), Gate::new());
        upstream.hold_settings(&settings);
        upstream.always(Answer::status(200).wait(&answers).body("done"));
        let proxq = Proxq::builder(config_for(store, &upstream).set("concurrency", JOBS)).on_one_core().start().await;
        let mut jobs = vec![proxq.submit(post("/x").body("b")).await];
        upstream.secured(1).await;
        // The others come to a connection of which nobody knows yet how many streams it may carry.
        for _ in 1..JOBS {
            jobs.push(proxq.submit(post("/x").body("b")).await);
        }
        for job in &jobs {
            proxq.running(job).await;
        }
        settings.open();
        upstream.arrivals(2).await;
        never_within(Duration::from_millis(50), "a third stream is opened", upstream.arrivals(3)).await;
        answers.open();
        for job in &jobs {
            assert_eq!(proxq.response(job).await.text(), "done");
            assert_eq!(proxq.status(job).await.attempts, Some(1));
        }
        let connections: BTreeSet<_> = upstream.received().iter().map(|received| received.connection).collect();
        assert_eq!((connections.len(), upstream.received().len()), (1, JOBS));
    }
}
