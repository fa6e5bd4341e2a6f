//! Tests of `retryOn`: responses that count as failed attempts.

use std::time::Duration;

use harness::{Answer, Proxq, Request, Store, Upstream, get, on_every_store, post};
use proxq_protocol::{JobStatus, Outcome};
use tokio::time::Instant;

/// A server that retries at once, up to so many times, after these statuses.
async fn retrying(store: Store, statuses: &[u16], retries: u32) -> (Proxq, Upstream) {
    let upstream = Upstream::start().await;
    upstream.answers(200, "in the end");
    let config = store.config_for(&upstream).upstream("retryOn", statuses).upstream("maxRetries", retries);
    let proxq = Proxq::start(config.upstream("retryDelay", "10ms").upstream("delivery", "auto")).await;
    (proxq, upstream)
}

/// What a job's response is, after how many attempts.
async fn ends(proxq: &Proxq, request: Request) -> (u16, Option<u32>) {
    let job = proxq.submit(request).await;
    let status = proxq.settled(&job).await;
    assert_eq!((status.status, status.outcome), (JobStatus::Completed, Some(Outcome::Responded)));
    assert_eq!(status.error, None, "a response is no error: {status:?}");
    (proxq.content(&job).await.status, status.attempts)
}

on_every_store! {
    async fn a_status_that_counts_is_tried_again(store: Store) {
        let (proxq, upstream) = retrying(store, &[503], 3).await;
        for _ in 0..2 {
            upstream.once(Answer::status(503));
        }
        assert_eq!(ends(&proxq, post("/x")).await, (200, Some(3)));
    }

    async fn a_failure_says_which_status_counts(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(503, "");
        let config = store.config_for(&upstream).upstream("retryOn", vec![503]).upstream("maxRetries", 1);
        let proxq = Proxq::start(config.upstream("retryDelay", "1h")).await;
        let job = proxq.submit(post("/x")).await;
        let error = proxq.attempt_failed(&job).await.error.expect("it has failed once");
        assert!(error.contains("503") && error.contains("retryOn"), "{error}");
    }

    async fn the_response_of_the_last_attempt_is_the_result(store: Store) {
        let (proxq, upstream) = retrying(store, &[503], 2).await;
        upstream.answers(503, "down");
        assert_eq!(ends(&proxq, post("/x")).await, (503, Some(3)));
        assert_eq!(upstream.received().len(), 3);
    }

    async fn other_statuses_are_results(store: Store) {
        let (proxq, upstream) = retrying(store, &[503], 3).await;
        for status in [500, 502, 404, 429] {
            upstream.once(Answer::status(status));
            assert_eq!(ends(&proxq, get("/x")).await, (status, Some(1)));
        }
    }

    async fn a_refusal_that_says_when_to_come_back_costs_no_retry(store: Store) {
        for status in [429, 503, 529] {
            let (proxq, upstream) = retrying(store, &[429, 503, 529], 0).await;
            upstream.once(Answer::status(status).header("Retry-After", "1"));
            let began = Instant::now();
            assert_eq!(ends(&proxq, post("/x")).await, (200, Some(2)), "{status}");
            assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
        }
    }

    async fn a_refusal_that_does_not_say_when_costs_one(store: Store) {
        let (proxq, upstream) = retrying(store, &[429], 0).await;
        upstream.once(Answer::status(429));
        assert_eq!(ends(&proxq, post("/x")).await, (429, Some(1)));
    }

    async fn what_may_have_been_done_is_not_sent_again(store: Store) {
        for status in [502, 504] {
            let (proxq, upstream) = retrying(store, &[502, 503, 504], 3).await;
            upstream.once(Answer::status(status));
            assert_eq!(ends(&proxq, post("/x")).await, (status, Some(1)), "nobody knows whether it was done");
            upstream.once(Answer::status(status));
            assert_eq!(ends(&proxq, get("/x")).await, (200, Some(2)), "harmless to repeat");
            upstream.once(Answer::status(503));
            assert_eq!(ends(&proxq, post("/x")).await, (200, Some(2)), "a refusal was not processed");
        }
    }

    async fn delivery_at_least_once_sends_everything_again(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::status(502));
        let config = store.config_for(&upstream).upstream("retryOn", vec![502]).upstream("maxRetries", 1);
        let proxq = Proxq::start(config.upstream("delivery", "at-least-once").upstream("retryDelay", "1ms")).await;
        assert_eq!(ends(&proxq, post("/x")).await, (200, Some(2)));
    }

    async fn a_large_response_that_counts_is_dropped(store: Store) {
        let (proxq, upstream) = retrying(store, &[503], 1).await;
        let before = proxq.large_bodies();
        upstream.once(Answer::status(503).body(vec![b'x'; 1 << 20]));
        assert_eq!(ends(&proxq, post("/x")).await, (200, Some(2)));
        proxq.keeps_large_bodies(before).await;
    }

    async fn a_deadline_before_the_next_attempt_keeps_the_response(store: Store) {
        let (proxq, upstream) = retrying(store, &[429], 3).await;
        upstream.always(Answer::status(429).header("Retry-After", "60"));
        assert_eq!(ends(&proxq, post("/x").header("X-Proxq-Deadline", "30s")).await, (429, Some(1)));
    }
}
