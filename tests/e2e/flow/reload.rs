//! Tests of other settings while jobs wait: by a reload, and by a restart.

use std::time::Duration;

use harness::{Answer, Config, Gate, Proxq, Store, Upstream, never_within, on_every_store, on_the_store, post};
use proxq_protocol::Waiting;

use super::{job_of, submit, waits};

/// Longer than an attempt takes that may begin.
const WOULD_HAVE_BEGUN: Duration = Duration::from_millis(300);

/// An upstream that answers when the gate is opened.
async fn gated() -> (Upstream, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    upstream.always(Answer::status(200).wait(&gate));
    (upstream, gate)
}

/// A server with one job that runs and some that wait. Gives those that wait.
async fn with_waiting_jobs(config: Config, upstream: &Upstream, count: usize) -> (Proxq, Vec<harness::Job>) {
    let proxq = Proxq::start(config).await;
    proxq.submit(post("/runs")).await;
    upstream.arrivals(1).await;
    let jobs = submit(&proxq, &post("/waits"), count).await;
    (proxq, jobs)
}

async fn a_higher_rate(store: Store, key: &str) {
    let upstream = Upstream::start().await;
    let config = store.config_for(&upstream);
    let (proxq, jobs) = with_waiting_jobs(config.clone().upstream(key, "1/h"), &upstream, 10).await;
    waits(&proxq, &jobs[9], Waiting::Rate).await;
    assert_eq!(proxq.reload(config.upstream(key, "100/s")).await, format!("upstreams[/].{key}"));
    are_done(&proxq, &jobs).await;
}

async fn are_done(proxq: &Proxq, jobs: &[harness::Job]) {
    for job in jobs {
        proxq.response(job).await;
    }
}

on_every_store! {
    async fn a_higher_rate_takes_effect_at_once(store: Store) {
        a_higher_rate(store, "rateLimit").await;
    }

    async fn a_higher_rate_of_each_credential_takes_effect_at_once(store: Store) {
        a_higher_rate(store, "perCredential.rateLimit").await;
    }

    async fn a_lower_rate_takes_effect_at_once(store: Store) {
        let (upstream, gate) = gated().await;
        let config = store.config_for(&upstream).upstream("concurrency", 1);
        let (proxq, jobs) = with_waiting_jobs(config.clone().upstream("rateLimit", "100/s"), &upstream, 5).await;
        proxq.reload(config.upstream("rateLimit", "1/h")).await;
        gate.open();
        upstream.arrivals(2).await;
        waits(&proxq, &jobs[4], Waiting::Rate).await;
        assert_eq!(upstream.received().len(), 2, "the first after the reload, and no more");
    }

    async fn more_and_fewer_at_once_take_effect_at_once(store: Store) {
        let (upstream, gate) = gated().await;
        let config = store.config_for(&upstream);
        let (proxq, jobs) = with_waiting_jobs(config.clone().upstream("concurrency", 1), &upstream, 6).await;
        waits(&proxq, &jobs[0], Waiting::Limit).await;
        proxq.reload(config.clone().upstream("concurrency", 3)).await;
        upstream.arrivals(3).await;
        proxq.reload(config.upstream("concurrency", 1)).await;
        gate.let_through(2);
        never_within(WOULD_HAVE_BEGUN, "one begins beside the third", upstream.arrivals(4)).await;
        gate.open();
        are_done(&proxq, &jobs).await;
    }

    async fn a_rate_holds_for_jobs_that_were_queued_without_one(store: Store) {
        let (upstream, gate) = gated().await;
        let config = store.config_for(&upstream);
        let (proxq, jobs) = with_waiting_jobs(config.clone().set("concurrency", 1), &upstream, 5).await;
        proxq.reload(config.clone().set("concurrency", 1).upstream("rateLimit", "1/h")).await;
        gate.open();
        upstream.arrivals(2).await;
        never_within(WOULD_HAVE_BEGUN, "more begin than the rate allows", upstream.arrivals(3)).await;
        proxq.reload(config.upstream("rateLimit", "100/s")).await;
        are_done(&proxq, &jobs[..1]).await;
    }

    async fn without_flow_control_the_old_queue_is_drained(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let (proxq, jobs) = with_waiting_jobs(config.clone().upstream("rateLimit", "1/h"), &upstream, 10).await;
        proxq.reload(config).await;
        are_done(&proxq, &jobs).await;
        proxq.through_queue(post("/x")).await;
    }

    async fn another_queue_while_jobs_wait_leaves_none_behind(store: Store) {
        let (upstream, gate) = gated().await;
        let config = store.config_for(&upstream).upstream("concurrency", 1);
        let (proxq, mut jobs) = with_waiting_jobs(config.clone(), &upstream, 3).await;
        proxq.reload(config.upstream("queue", "another")).await;
        jobs.extend(submit(&proxq, &post("/x"), 3).await);
        gate.open();
        are_done(&proxq, &jobs).await;
    }

    async fn a_smaller_queue_refuses_at_once_and_a_larger_one_takes_more(store: Store) {
        let (upstream, _gate) = gated().await;
        let config = store.config_for(&upstream).upstream("concurrency", 1);
        let (proxq, _jobs) = with_waiting_jobs(config.clone(), &upstream, 3).await;
        proxq.reload(config.clone().upstream("maxQueued", 3)).await;
        proxq.send(post("/x")).await.refused(429, "QUEUE_FULL");
        proxq.reload(config.upstream("maxQueued", 4)).await;
        proxq.submit(post("/x")).await;
        proxq.send(post("/x")).await.refused(429, "QUEUE_FULL");
    }

    async fn jobs_filed_for_a_credential_go_on_without_its_limit(store: Store) {
        let (upstream, gate) = gated().await;
        let config = store.config_for(&upstream);
        let proxq = Proxq::start(config.clone().upstream("perCredential.concurrency", 1)).await;
        let jobs = submit(&proxq, &job_of("a"), 5).await;
        upstream.arrivals(1).await;
        waits(&proxq, &jobs[4], Waiting::Limit).await;
        proxq.reload(config.upstream("maxQueued", 100)).await;
        upstream.arrivals(5).await;
        gate.open();
        are_done(&proxq, &jobs).await;
    }

    async fn a_restart_works_on_the_jobs_of_a_queue_that_was_named_after_the_prefix(store: Store) {
        let (upstream, gate) = gated().await;
        let config = store.config_for(&upstream);
        // Not one runs, so that all are waiting when it stops.
        let front = config.clone().set("concurrency", 0).upstream("retryOn", vec![503]);
        for new in [config.clone(), config.upstream("queue", "another")] {
            let mut proxq = Proxq::start(front.clone()).await;
            let jobs = submit(&proxq, &post("/x"), 5).await;
            proxq.stop().await;
            gate.open();
            proxq.start_again_with(new).await;
            are_done(&proxq, &jobs).await;
        }
    }
}

on_the_store! {
    Embedded:

    async fn a_restart_works_on_the_jobs_of_a_queue_with_any_name(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let front = config.clone().set("concurrency", 0).upstream("queue", "one");
        for new in [config.clone(), config.upstream("queue", "another")] {
            let mut proxq = Proxq::start(front.clone()).await;
            let jobs = submit(&proxq, &post("/x"), 5).await;
            proxq.stop().await;
            proxq.start_again_with(new).await;
            are_done(&proxq, &jobs).await;
        }
    }
}
