//! Tests of `waiting` in a job's status: why it has not begun.

use harness::{Answer, Gate, Proxq, Refusing, Store, Upstream, get, on_every_store, on_the_store, post};
use proxq_protocol::{JobStatus, Waiting};
use serde_json::json;

use super::{config_for_url, waits};

on_every_store! {
    async fn a_job_of_a_later_time_is_delayed(proxq: Proxq, _upstream: Upstream) {
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "1h")).await;
        assert_eq!(proxq.send(get(&job.location)).await.json()["waiting"], "delayed");
    }

    async fn a_job_beyond_the_number_at_once_waits_for_the_limit(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let base = store.config();
        for (key, config) in [("global", base.clone().set("concurrency", 1)), ("own", base)] {
            let config = config.route(harness::Route::new("/", &upstream.url()));
            let config = if key == "own" { config.upstream("concurrency", 1) } else { config };
            let proxq = Proxq::start(config.set("queue", key)).await;
            let running = proxq.submit(post("/x")).await;
            proxq.running(&running).await;
            let waiting = proxq.submit(post("/x")).await;
            let status = waits(&proxq, &waiting, Waiting::Limit).await;
            assert_eq!((status.status, status.attempts), (JobStatus::Queued, Some(0)), "{key}");
            assert_eq!(proxq.status(&running).await.waiting, None, "it does not wait");
            gate.let_through(2);
            proxq.response(&waiting).await;
            assert_eq!(proxq.status(&waiting).await.waiting, None, "it has ended");
        }
    }

    async fn a_job_beyond_the_rate_waits_for_it(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("rateLimit", "1/h")).await;
        proxq.through_queue(post("/x")).await;
        let job = proxq.submit(post("/x")).await;
        waits(&proxq, &job, Waiting::Rate).await;
        assert_eq!(upstream.received().len(), 1);
    }

    async fn jobs_of_an_upstream_that_is_down_wait_for_the_breaker(store: Store) {
        let nobody = Refusing::new();
        let config = config_for_url(store, &nobody.url()).upstream("maxRetries", 3).upstream("retryDelay", "1ms");
        let proxq = Proxq::start(config.upstream("circuitBreaker", json!({"failures": 1}))).await;
        for _ in 0..2 {
            let job = proxq.submit(post("/x")).await;
            waits(&proxq, &job, Waiting::Breaker).await;
        }
    }

    async fn a_job_that_rests_after_a_failure_is_in_backoff(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "1h");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(get("/x")).await;
        assert_eq!(proxq.resting(&job).await.waiting, Some(Waiting::Backoff));
    }

    async fn jobs_of_a_credential_that_the_upstream_asked_to_wait_are_parked(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(429).header("Retry-After", "3600"));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("retryOn", vec![429])).await;
        let refused = proxq.submit(post("/x")).await;
        let status = waits(&proxq, &refused, Waiting::Parked).await;
        assert!(status.next_attempt_at.is_some(), "{status:?}");
        let next = proxq.submit(post("/x")).await;
        waits(&proxq, &next, Waiting::Parked).await;
        assert_eq!(upstream.received().len(), 1);
    }
}

on_the_store! {
    Redis:

    async fn jobs_of_a_queue_that_an_operator_paused_are_paused(store: Store) {
        for (queue, concurrency) in [("asynq:{default}:paused", None), ("asynq:{default:_}:paused", Some(5))] {
            let upstream = Upstream::start().await;
            let config = store.config_for(&upstream);
            let config = match concurrency {
                Some(concurrency) => config.upstream("concurrency", concurrency),
                None => config,
            };
            let proxq = Proxq::start(config).await;
            proxq.redis().run(&["SET", queue, "1"]);
            let job = proxq.submit(post("/x")).await;
            waits(&proxq, &job, Waiting::Paused).await;
            assert!(upstream.received().is_empty());
            proxq.redis().run(&["DEL", queue]);
            proxq.response(&job).await;
        }
    }
}
