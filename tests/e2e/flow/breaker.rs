//! Tests of `circuitBreaker`: while an upstream is down its jobs wait, and when it is back they are done.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use harness::{Answer, Limits, Proxq, Refusing, Store, Upstream, eventually, on_every_store, outlast, post};
use proxq_protocol::{JobStatus, Waiting};
use serde_json::json;
use tokio::time::Instant;

use super::{config_for_url, submit, waits};

/// How many attempts run at once, hence how many more than those that open the breaker may fail.
const AT_ONCE: usize = 5;

on_every_store! {
    /// A connection is tried every ten seconds: the test takes that long.
    async fn jobs_of_a_dead_upstream_wait_and_are_done_when_it_is_back(store: Store) {
        const JOBS: usize = 100;
        const BACK_WITHIN: Duration = Duration::from_secs(30);
        const IN_FIRST_SECOND_MAX: usize = 15;
        let dead = Refusing::new();
        let config = config_for_url(store, &dead.url()).upstream("maxRetries", 3).upstream("circuitBreaker", json!({}));
        let proxq = Proxq::start(config.upstream("concurrency", AT_ONCE)).await;
        let jobs = submit(&proxq, &post("/x"), JOBS).await;
        for job in [&jobs[0], &jobs[JOBS - 1]] {
            waits(&proxq, job, Waiting::Breaker).await;
        }
        // Those whose attempts opened it have rested by then, and wait as all others do.
        outlast(Duration::from_secs(2)).await;
        let statuses: Vec<_> = stream::iter(&jobs).then(|job| proxq.status(job)).collect().await;
        let attempts: u32 = statuses.iter().filter_map(|status| status.attempts).sum();
        assert!((5..=2 * 5).contains(&attempts), "{attempts} attempts at a dead upstream");
        assert!(statuses.iter().all(|status| !status.status.is_final()), "{statuses:?}");
        let listens = Instant::now();
        let upstream = dead.listen_with(Limits::none(Duration::from_millis(5)));
        for job in &jobs {
            assert_eq!(proxq.settled(job).await.status, JobStatus::Completed);
        }
        let (all, tally) = (listens.elapsed(), upstream.tally());
        let (first, back) = (tally.seen[0].at, tally.seen[0].at - listens);
        let in_first_second = tally.seen.iter().filter(|seen| seen.at - first < Duration::from_secs(1)).count();
        eprintln!("on {store:?}: {attempts} attempts while dead; back after {back:?}, {in_first_second} in the first second, all after {all:?}");
        assert!(in_first_second <= IN_FIRST_SECOND_MAX, "{in_first_second} in the first second");
        assert!(all < BACK_WITHIN, "{all:?}");
        assert_eq!(tally.taken(), JOBS, "each job once");
    }

    async fn failures_that_count_open_it_and_one_job_at_a_time_is_tried(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(502, "down");
        let open = json!({"failures": 3, "open": "1s"});
        let config = store.config_for(&upstream).upstream("circuitBreaker", open).upstream("retryOn", vec![502]);
        let config = config.upstream("maxRetries", 5).upstream("retryDelay", "1ms").upstream("concurrency", 1);
        let proxq = Proxq::start(config).await;
        let began = Instant::now();
        let jobs = submit(&proxq, &post("/x"), 10).await;
        waits(&proxq, &jobs[9], Waiting::Breaker).await;
        upstream.arrivals(4).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
        upstream.answers(200, "up");
        for job in &jobs {
            let status = proxq.settled(job).await;
            assert_eq!(status.status, JobStatus::Completed);
            assert_eq!(proxq.content(job).await.status, 200);
        }
        assert!(upstream.received().len() <= 10 + 5, "three opened it, one or two were probes");
    }

    async fn a_limit_is_no_outage(store: Store) {
        let upstream = Upstream::start().await;
        upstream.plan(|head| {
            let status = if head.value("authorization").is_some() { 429 } else { 200 };
            Answer::status(status).header("Retry-After", "3600")
        });
        let config = store.config_for(&upstream).upstream("circuitBreaker", json!({"failures": 1}));
        let proxq = Proxq::start(config.upstream("retryOn", vec![429])).await;
        let limited = proxq.submit(super::job_of("a")).await;
        waits(&proxq, &limited, Waiting::Parked).await;
        assert_eq!(proxq.through_queue(post("/x")).await.status, 200);
    }

    async fn responses_that_do_not_count_as_failures_leave_it_closed(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(500, "mine");
        let proxq = Proxq::start(store.config_for(&upstream).upstream("circuitBreaker", json!({"failures": 1}))).await;
        for _ in 0..3 {
            assert_eq!(proxq.through_queue(post("/x")).await.status, 500);
        }
    }

    async fn a_restart_forgets_that_the_upstream_was_down(store: Store) {
        let dead = Refusing::new();
        let config = config_for_url(store, &dead.url()).upstream("maxRetries", 9).upstream("circuitBreaker", json!({"failures": 1}));
        let mut proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        waits(&proxq, &job, Waiting::Breaker).await;
        proxq.stop().await;
        let _upstream = dead.listen();
        let began = Instant::now();
        proxq.start_again().await;
        eventually("the job is done", async || proxq.status(&job).await.status == JobStatus::Completed).await;
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    }
}
