//! Tests of `delivery`: which requests are sent again when it is unknown whether they arrived.

use harness::{
    Answer, Config, Job, Proxq, Refusing, Request, Route, Store, Upstream, get, on_every_store, post, put, request,
};
use proxq_protocol::{JobInfo, JobStatus, Outcome};

/// Retries at once, up to three times.
fn retrying(config: Config) -> Config {
    config.upstream("maxRetries", 3).upstream("retryDelay", "10ms")
}

/// How a job ends whose first attempt breaks off after it was sent, and how often it was sent.
async fn after_a_reset(store: Store, delivery: &str, request: Request) -> (JobInfo, usize) {
    let upstream = Upstream::start().await;
    upstream.once(Answer::nothing().reset());
    let proxq = Proxq::start(retrying(store.config_for(&upstream)).upstream("delivery", delivery)).await;
    let job = proxq.submit(request).await;
    (proxq.settled(&job).await, upstream.deliveries(job.id))
}

/// A server whose upstream is down until the first attempt has failed.
async fn refused_first(store: Store, delivery: &str) -> (Proxq, Job, Upstream) {
    let nobody = Refusing::new();
    let config = store.config().route(Route::new("/", &nobody.url())).upstream("delivery", delivery);
    let proxq = Proxq::start(config.upstream("maxRetries", 1000).upstream("retryDelay", "20ms")).await;
    let job = proxq.submit(post("/x")).await;
    proxq.attempt_failed(&job).await;
    (proxq, job, nobody.listen())
}

on_every_store! {
    async fn at_least_once_sends_again_whatever_the_method(store: Store) {
        for sent in [post("/x"), get("/x"), request("PATCH", "/x").body("b")] {
            let (status, deliveries) = after_a_reset(store, "at-least-once", sent).await;
            assert_eq!((status.status, deliveries), (JobStatus::Completed, 2));
        }
    }

    async fn auto_sends_idempotent_requests_again(store: Store) {
        let methods = ["GET", "HEAD", "OPTIONS", "DELETE"].map(|method| request(method, "/x"));
        for sent in methods.into_iter().chain([put("/x").body("b")]) {
            let (status, deliveries) = after_a_reset(store, "auto", sent).await;
            assert_eq!((status.status, deliveries), (JobStatus::Completed, 2));
        }
    }

    async fn auto_sends_other_requests_only_once_and_says_that_it_does_not_know(store: Store) {
        for sent in [
            post("/x"),
            request("PATCH", "/x"),
            request("PROPPATCH", "/x"),
            post("/x").header("Idempotency-Key", "\"k\""),
        ] {
            let (status, deliveries) = after_a_reset(store, "auto", sent).await;
            assert_eq!((status.status, deliveries), (JobStatus::Failed, 1));
            assert_eq!(status.outcome, Some(Outcome::Indeterminate));
        }
    }

    async fn at_most_once_sends_nothing_twice(store: Store) {
        for sent in [get("/x"), post("/x")] {
            let (status, deliveries) = after_a_reset(store, "at-most-once", sent).await;
            assert_eq!((status.status, deliveries), (JobStatus::Failed, 1));
            assert_eq!(status.outcome, Some(Outcome::Indeterminate));
        }
    }

    async fn an_idempotency_key_counts_where_the_upstream_honours_it(store: Store) {
        let upstream = Upstream::start().await;
        let config =
            retrying(store.config_for(&upstream)).upstream("delivery", "auto").upstream("idempotentUpstream", true);
        let proxq = Proxq::start(config).await;
        upstream.once(Answer::nothing().reset());
        let with_key = proxq.submit(post("/x").header("Idempotency-Key", "\"k\"")).await;
        proxq.response(&with_key).await;
        assert_eq!(upstream.deliveries(with_key.id), 2);
        upstream.once(Answer::nothing().reset());
        let without = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&without).await.outcome, Some(Outcome::Indeterminate));
        assert_eq!(upstream.deliveries(without.id), 1);
    }

    async fn what_was_not_sent_is_sent_again_whatever_the_delivery(store: Store) {
        for delivery in ["auto", "at-most-once", "at-least-once"] {
            let (proxq, job, upstream) = refused_first(store, delivery).await;
            proxq.response(&job).await;
            assert_eq!(upstream.deliveries(job.id), 1, "{delivery}");
        }
    }

    async fn the_default_is_auto(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&job).await.outcome, Some(Outcome::Indeterminate));
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn the_default_is_at_least_once_where_retries_are_set(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().reset());
        let proxq = Proxq::start(retrying(store.config_for(&upstream))).await;
        let job = proxq.submit(post("/x")).await;
        proxq.response(&job).await;
        assert_eq!(upstream.deliveries(job.id), 2);
    }

    async fn a_job_was_not_sent_only_if_no_attempt_was(store: Store) {
        let nobody = Refusing::new();
        let config = retrying(store.config().route(Route::new("/", &nobody.url())));
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!((status.outcome, status.attempts), (Some(Outcome::NotSent), Some(4)));

        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "300ms");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        proxq.attempt_failed(&job).await;
        upstream.stop().await; // the second one is refused
        let status = proxq.settled(&job).await;
        assert_eq!((status.outcome, status.attempts), (Some(Outcome::Indeterminate), Some(2)));
        assert!(status.error.unwrap().contains("connection refused"), "the last attempt's");
    }

    async fn a_lost_worker_spends_no_retry_where_the_request_may_be_sent_again(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        upstream.answers(200, "done");
        let config = store.config_for(&upstream).upstream("delivery", "at-least-once");
        let mut proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x").body("kept")).await;
        upstream.arrivals(1).await;
        proxq.kill();
        proxq.start_again().await;
        assert_eq!(proxq.response(&job).await.text(), "done", "although maxRetries is 0");
        assert_eq!(proxq.status(&job).await.attempts, Some(2));
        let texts: Vec<_> = upstream.received().iter().map(|received| (received.text(), received.attempt())).collect();
        assert_eq!(texts, [("kept".to_owned(), Some(1)), ("kept".to_owned(), Some(2))]);
    }

    async fn a_lost_worker_leaves_doubt_where_the_request_may_not_be_sent_again(store: Store) {
        for delivery in ["auto", "at-most-once"] {
            let upstream = Upstream::start().await;
            upstream.always(Answer::nothing().hang());
            let mut proxq = Proxq::start(retrying(store.config_for(&upstream)).upstream("delivery", delivery)).await;
            let job = proxq.submit(post("/x")).await;
            upstream.arrivals(1).await;
            proxq.kill();
            proxq.start_again().await;
            let status = proxq.settled(&job).await;
            assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
            assert_eq!(upstream.deliveries(job.id), 1);
        }
    }

    async fn a_poison_job_does_not_kill_workers_for_ever(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let config = store.config_for(&upstream).upstream("delivery", "at-least-once").set("maxLeaseLosses", 2);
        let mut proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        for deaths in 1..=3 {
            upstream.arrivals(deaths).await;
            proxq.kill();
            proxq.start_again().await;
        }
        let status = proxq.settled(&job).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert_eq!(upstream.deliveries(job.id), 3);
        assert!(status.error.unwrap().contains("maxLeaseLosses"));
    }
}
