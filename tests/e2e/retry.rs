//! Tests of retries: which attempts fail, when the next one comes, and what a status says about it.

use std::time::Duration;

use harness::{Answer, Gate, Pattern, Proxq, Refusing, Store, Upstream, get, on_every_store, outlast, post};
use jiff::Timestamp;
use proxq_protocol::{JobInfo, JobStatus, Outcome};
use tokio::time::Instant;

/// Fails every `GET` once, then answers.
async fn fails_once(store: Store, failure: Answer) -> (Proxq, Upstream) {
    let upstream = Upstream::start().await;
    upstream.once(failure);
    upstream.answers(200, "in the end");
    let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "10ms");
    (Proxq::start(config.upstream("timeout", "500ms").set("maxResponseSize", "64KiB")).await, upstream)
}

/// A failed attempt, whatever broke it, is followed by another one that succeeds.
async fn is_tried_again(store: Store, failure: Answer) {
    let shown = format!("{failure:?}");
    let (proxq, upstream) = fails_once(store, failure).await;
    let job = proxq.submit(get("/x")).await;
    let status = proxq.settled(&job).await;
    assert_eq!((status.status, status.attempts), (JobStatus::Completed, Some(2)), "{shown}: {status:?}");
    assert_eq!((status.error, status.outcome), (None, Some(Outcome::Responded)), "a later success clears the error");
    assert_eq!(proxq.response(&job).await.text(), "in the end");
    let attempts: Vec<_> = upstream.received().iter().map(|received| received.attempt().unwrap()).collect();
    assert_eq!(attempts, [1, 2], "{shown}");
}

/// How a job ends whose only attempt meets this.
async fn ends(store: Store, answer: Answer) -> (JobInfo, Proxq, Upstream) {
    let upstream = Upstream::start().await;
    upstream.always(answer);
    let config = store.config_for(&upstream).upstream("timeout", "500ms").set("maxResponseSize", "64KiB");
    let proxq = Proxq::start(config).await;
    let job = proxq.submit(post("/x?key=hidden").header("Authorization", "Bearer hidden").body("x")).await;
    let status = proxq.settled(&job).await;
    assert_eq!(upstream.deliveries(job.id), 1);
    (status, proxq, upstream)
}

on_every_store! {
    async fn a_connection_closed_without_an_answer_is_tried_again(store: Store) {
        is_tried_again(store, Answer::nothing().close()).await;
    }

    async fn a_reset_is_tried_again(store: Store) {
        is_tried_again(store, Answer::nothing().reset()).await;
    }

    async fn a_head_cut_short_is_tried_again(store: Store) {
        is_tried_again(store, Answer::raw("HTTP/1.1 200 OK\r\nContent-Le").close()).await;
    }

    async fn a_body_cut_short_is_tried_again(store: Store) {
        is_tried_again(store, Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").close()).await;
    }

    async fn a_chunked_body_cut_short_is_tried_again(store: Store) {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        is_tried_again(store, Answer::raw(format!("{head}4\r\nhalf\r\n")).close()).await;
    }

    async fn a_body_reset_on_its_way_is_tried_again(store: Store) {
        let gate = Gate::new();
        gate.open();
        is_tried_again(store, Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").wait(&gate).reset())
            .await;
    }

    async fn a_large_body_cut_short_is_tried_again(store: Store) {
        let upstream = Upstream::start().await;
        let whole = Pattern::new(5, 2 << 20);
        let cut = whole.bytes()[..1 << 20].to_vec();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.length());
        upstream.once(Answer::raw(head).then(cut).reset());
        upstream.always(Answer::status(200).pattern(whole));
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "10ms");
        let proxq = Proxq::start(config).await;
        let before = proxq.large_bodies();
        let job = proxq.submit(get("/x")).await;
        assert_eq!(proxq.response(&job).await.digest, whole.digest());
        proxq.keeps_large_bodies(before + 1).await;
    }

    async fn garbage_is_tried_again(store: Store) {
        is_tried_again(store, Answer::raw("I am not a web server\r\n\r\n").close()).await;
    }

    async fn endless_headers_are_tried_again(store: Store) {
        is_tried_again(store, Answer::raw("HTTP/1.1 200 OK\r\n").endless_headers()).await;
    }

    async fn silence_beyond_the_timeout_is_tried_again(store: Store) {
        is_tried_again(store, Answer::nothing().hang()).await;
    }

    async fn the_timeout_is_over_the_whole_exchange(store: Store) {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        is_tried_again(store, Answer::raw(head).trickle(vec![b'x'; 1000], Duration::from_millis(50))).await;
    }

    async fn an_upstream_that_refuses_is_tried_again(store: Store) {
        let nobody = Refusing::new();
        let config = store.config().route(harness::Route::new("/", &nobody.url()));
        let proxq = Proxq::start(config.upstream("maxRetries", 1000).upstream("retryDelay", "10ms")).await;
        let job = proxq.submit(post("/x").body("kept")).await;
        proxq.reaches(&job, "its third attempt begins", |info| info.attempts >= Some(3)).await;
        let upstream = nobody.listen();
        proxq.response(&job).await;
        let status = proxq.status(&job).await;
        let received = upstream.request().await;
        assert_eq!(
            (received.text().as_str(), received.attempt()),
            ("kept", status.attempts),
            "also those that never connected"
        );
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn a_job_without_retries_fails_at_once(store: Store) {
        let (status, _proxq, _upstream) = ends(store, Answer::nothing().close()).await;
        assert_eq!((status.status, status.attempts), (JobStatus::Failed, Some(1)));
    }

    async fn retries_are_limited(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 3).upstream("retryDelay", "10ms");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(get("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!((status.status, status.attempts, status.max_retries), (JobStatus::Failed, Some(4), Some(3)));
        assert_eq!(upstream.deliveries(job.id), 4);
    }

    async fn the_pause_between_attempts_is_the_configured_one(store: Store) {
        let (proxq, upstream) = fails_once(store, Answer::nothing().reset()).await;
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "600ms");
        let mut proxq = proxq;
        proxq.stop().await;
        proxq.start_again_with(config).await;
        proxq.submit(get("/x")).await;
        upstream.arrivals(1).await;
        let first = Instant::now();
        upstream.arrivals(2).await;
        let pause = first.elapsed();
        assert!((Duration::from_millis(590)..Duration::from_secs(2)).contains(&pause), "{pause:?}");
    }

    async fn without_a_configured_pause_it_grows_by_the_fourth_power(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("maxRetries", 5)).await;
        let job = proxq.submit(get("/x")).await;
        for (attempt, seconds) in [(1, 1), (2, 16)] {
            let rests = |info: &JobInfo| info.attempts == Some(attempt) && info.next_attempt_at.is_some();
            let info = proxq.reaches(&job, "the job rests", rests).await;
            let next: Timestamp = info.next_attempt_at.unwrap().parse().unwrap();
            let left = next.duration_since(Timestamp::now()).as_secs_f64();
            let most = f64::from(seconds) + store.grain().as_secs_f64();
            assert!(left > f64::from(seconds) - 1.0 && left <= most, "{left} of {seconds} s");
        }
    }

    async fn a_timeout_is_named_with_its_limit(store: Store) {
        let (status, ..) = ends(store, Answer::nothing().hang()).await;
        let error = status.error.unwrap();
        assert!(error.contains("500ms"), "{error}");
        assert_eq!(status.outcome, Some(Outcome::Indeterminate));
    }

    async fn a_refusal_is_named_with_the_upstream(store: Store) {
        let nobody = Refusing::new();
        let proxq = Proxq::start(store.config().route(harness::Route::new("/", &nobody.url()))).await;
        let job = proxq.submit(post("/x?key=hidden")).await;
        let status = proxq.settled(&job).await;
        assert_eq!(status.outcome, Some(Outcome::NotSent));
        assert_eq!(status.error, Some(format!("forward request: connect to {}: connection refused", nobody.url())));
    }

    async fn a_name_that_does_not_resolve_was_not_sent(store: Store) {
        let route = harness::Route::new("/", "http://no-such-host.invalid");
        let proxq = Proxq::start(store.config().route(route)).await;
        let job = proxq.submit(post("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
        let error = status.error.unwrap();
        assert!(error.contains("no-such-host.invalid"), "{error}");
    }

    async fn what_fails_says_so_in_one_line_without_secrets(store: Store) {
        for failure in [
            Answer::nothing().close(),
            Answer::nothing().reset(),
            Answer::nothing().hang(),
            Answer::raw("nonsense\r\n\r\n").close(),
            Answer::raw("HTTP/1.1 200 OK\r\n").endless_headers(),
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").close(),
            Answer::status(200).body(vec![b'x'; 100_000]),
        ] {
            let (status, ..) = ends(store, failure).await;
            let error = status.error.expect("a failed job says why");
            assert!(error.starts_with("forward request: "), "{error}");
            for no in ["\n", "hidden", ".rs", "::", "{", "hyper", "Error(", "error reading a body"] {
                assert!(!error.contains(no), "{no:?} in {error:?}");
            }
        }
    }

    async fn a_response_that_is_too_large_ends_the_job_at_once(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("maxRetries", 5).upstream("retryDelay", "10ms");
        let proxq = Proxq::start(config.set("maxResponseSize", "64KiB").set("inlineBodyLimit", "4KiB")).await;
        let before = proxq.large_bodies();
        let unknown_length = Answer::raw("HTTP/1.1 200 OK\r\n\r\n").then(vec![b'x'; 65_537]).close();
        for too_large in [Answer::status(200).body(vec![b'x'; 65_537]), unknown_length] {
            upstream.once(too_large);
            let job = proxq.submit(get("/x")).await;
            let status = proxq.settled(&job).await;
            assert_eq!((status.status, status.attempts), (JobStatus::Failed, Some(1)), "{status:?}");
            assert_eq!(status.outcome, Some(Outcome::Responded));
            proxq.content(&job).await.refused(404, "JOB_FAILED");
            assert_eq!(upstream.deliveries(job.id), 1);
        }
        proxq.keeps_large_bodies(before).await;
        upstream.always(Answer::status(200).body(vec![b'x'; 65_536]));
        assert_eq!(proxq.through_queue(get("/x")).await.body.len(), 65_536, "the limit itself is fine");
    }

    async fn an_answer_before_the_body_was_read_is_an_answer(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(413).body("too much").early().close());
        let reply = proxq.through_queue(post("/x").body("small enough for any buffer")).await;
        assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
    }

    async fn an_answer_to_an_upload_that_the_upstream_does_not_read_is_an_answer(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(413).body("too much").early().hang());
        let config = store.config_for(&upstream).upstream("timeout", "5s");
        let proxq = Proxq::start(config).await;
        let reply = proxq.through_queue(post("/x").pattern(Pattern::new(1, 10 << 20))).await;
        assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
    }

    async fn an_upgrade_that_nobody_asked_for_is_no_answer(store: Store) {
        let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let (status, ..) = ends(store, Answer::raw(switching).hang()).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
    }

    async fn contradicting_lengths_are_no_answer(store: Store) {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n";
        let (status, ..) = ends(store, Answer::raw(head).then("hi!").close()).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
    }

    async fn many_and_long_headers_are_an_answer(proxq: Proxq, upstream: Upstream) {
        let answer = (0..200).fold(Answer::status(200), |answer, n| answer.header(&format!("X-{n}"), [b'x'; 500]));
        upstream.always(answer);
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!(reply.head.values("x-199"), ["x".repeat(500)]);
    }

    async fn an_answer_is_heard_although_the_upstream_hung_up_on_a_large_body(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(413).body("too much").early().close());
        for _ in 0..10 {
            let reply = proxq.through_queue(post("/x").pattern(Pattern::new(3, 4 << 20))).await;
            assert_eq!((reply.status, reply.text().as_str()), (413, "too much"));
        }
    }

    async fn an_idle_upstream_connection_is_dropped_after_four_seconds(proxq: Proxq, upstream: Upstream) {
        proxq.through_queue(get("/x")).await;
        let begin = Instant::now();
        upstream.quiet().await;
        assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
    }

    async fn what_may_not_be_sent_twice_takes_no_connection_that_was_idle_for_a_second(
        proxq: Proxq,
        upstream: Upstream,
    ) {
        proxq.through_queue(post("/x")).await;
        outlast(Duration::from_millis(1200)).await;
        proxq.through_queue(post("/x")).await;
        let connections: Vec<_> = upstream.received().iter().map(|received| received.connection).collect();
        assert_eq!(connections, [0, 1]);
    }

    async fn an_upstream_that_closes_idle_connections_fails_no_job(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(200).body("x").close());
        for _ in 0..30 {
            proxq.through_queue(post("/x")).await;
        }
        assert_eq!(upstream.received().len(), 30);
    }
}
