//! Tests of jobs that are held back by a limit: they end in time, are cancelled, and outlive a crash as all others do.

use std::time::Duration;

use harness::{Answer, Config, Gate, Job, Proxq, Refusing, Store, Upstream, on_every_store, post};
use proxq_protocol::{JobStatus, Outcome, Waiting};
use serde_json::json;
use tokio::time::Instant;

use super::{config_for_url, job_of, submit, waits};

/// The longest that a server takes to stop of which no attempt runs.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// A server with so many jobs of one credential, of which one has run; its own rate holds the others back.
async fn held_back(config: Config, count: usize) -> (Proxq, Vec<Job>) {
    let proxq = Proxq::start(config.upstream("perCredential.rateLimit", "1/h")).await;
    proxq.through_queue(job_of("a")).await;
    let jobs = submit(&proxq, &job_of("a"), count).await;
    for job in &jobs {
        waits(&proxq, job, Waiting::Rate).await;
    }
    (proxq, jobs)
}

on_every_store! {
    async fn a_job_that_is_held_back_can_be_cancelled(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let (proxq, jobs) = held_back(config.clone(), 3).await;
        assert_eq!(proxq.cancel(&jobs[0]).await.status, 200);
        assert_eq!(proxq.cancel(&jobs[2]).await.status, 200);
        proxq.reload(config).await;
        proxq.response(&jobs[1]).await;
        assert_eq!(upstream.received().len(), 2);
    }

    async fn jobs_that_are_held_back_outlive_a_crash(store: Store) {
        let upstream = Upstream::start().await;
        for (key, value) in [("concurrency", json!(1)), ("timeout", json!("1m")), ("queue", json!("another"))] {
            // In a store of its own: in Redis, the rate of the first one's credential would go on.
            let config = store.config_for(&upstream);
            let (mut proxq, jobs) = held_back(config.clone(), 3).await;
            proxq.kill();
            proxq.start_again_with(config.upstream(key, value)).await;
            for job in &jobs {
                assert_eq!(proxq.response(job).await.status, 200);
                assert_eq!(upstream.deliveries(job.id), 1);
            }
        }
    }

    async fn jobs_that_are_held_back_count_among_those_that_wait(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, jobs) = held_back(store.config_for(&upstream).upstream("maxQueued", 3), 3).await;
        proxq.send(job_of("a")).await.refused(429, "QUEUE_FULL");
        proxq.cancel(&jobs[0]).await;
        submit(&proxq, &job_of("a"), 1).await;
        proxq.send(job_of("b")).await.refused(429, "QUEUE_FULL");
    }

    async fn a_job_that_is_held_back_beyond_its_time_fails_in_time(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, _jobs) = held_back(store.config_for(&upstream), 1).await;
        for (name, value) in [("X-Proxq-Start-Within", "1s"), ("X-Proxq-Deadline", "1s")] {
            let began = Instant::now();
            let job = proxq.submit(job_of("a").header(name, value)).await;
            let status = proxq.settled(&job).await;
            assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)), "{status:?}");
            let elapsed = began.elapsed();
            assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&elapsed), "{name}: {elapsed:?}");
        }
    }

    async fn a_job_of_a_parked_credential_fails_at_its_deadline(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(429).header("Retry-After", "3600"));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("retryOn", vec![429])).await;
        let refused = proxq.submit(job_of("a")).await;
        waits(&proxq, &refused, Waiting::Parked).await;
        let late = proxq.submit(job_of("a").header("X-Proxq-Start-Within", "1s")).await;
        let status = proxq.settled(&late).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)), "{status:?}");
    }

    async fn a_delayed_job_comes_behind_its_limit(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, _jobs) = held_back(store.config_for(&upstream), 1).await;
        let late = proxq.submit(job_of("a").header("X-Proxq-Delay", "1s")).await;
        let other = proxq.submit(job_of("b").header("X-Proxq-Delay", "1s")).await;
        proxq.response(&other).await;
        waits(&proxq, &late, Waiting::Rate).await;
        assert_eq!(upstream.deliveries(late.id), 0);
    }

    async fn a_server_with_jobs_that_are_held_back_stops_at_once(store: Store) {
        let upstream = Upstream::start().await;
        let nobody = Refusing::new();
        let config = store.config_for(&upstream);
        let down = config_for_url(store, &nobody.url()).upstream("maxRetries", 9).upstream("circuitBreaker", json!({"failures": 1}));
        for (config, why) in [
            (config.clone().upstream("rateLimit", "1/h"), Waiting::Rate),
            (config.upstream("perCredential.rateLimit", "1/h"), Waiting::Rate),
            (down, Waiting::Breaker),
        ] {
            let mut proxq = Proxq::start(config).await;
            let jobs = submit(&proxq, &post("/x"), 2).await;
            waits(&proxq, &jobs[1], why).await;
            let began = Instant::now();
            proxq.stop().await;
            assert!(began.elapsed() < STOPS_WITHIN, "{why:?}: {:?}", began.elapsed());
        }
    }

    async fn a_burst_begins_at_once_and_the_rest_waits(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("rateLimit", "5/h").upstream("burst", 5);
        let proxq = Proxq::start(config).await;
        let jobs = submit(&proxq, &post("/x"), 8).await;
        upstream.arrivals(5).await;
        waits(&proxq, &jobs[7], Waiting::Rate).await;
        assert_eq!(upstream.received().len(), 5);
    }
}
