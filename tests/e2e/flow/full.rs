//! Tests of `maxQueued`: a full queue refuses, and says when there is room.

use futures_util::future::join_all;
use harness::{Answer, Gate, Proxq, Reply, Store, Upstream, eventually, on_every_store, post};
use proxq_protocol::header;

use super::submit;

/// Asserts that a queue of so many is full, and that the client is told when to come back.
#[track_caller]
fn is_full(reply: &Reply, most: usize) {
    reply.refused(429, "QUEUE_FULL");
    assert_eq!(reply.header(header::SHOULD_RETRY).as_deref(), Some("true"), "{reply}");
    let seconds: u64 = reply.header("retry-after").expect("a 429 has it").parse().expect("a number");
    assert!((1..=3600).contains(&seconds), "{reply}");
    let policy = format!("\"queue\";q={most};qu=\"concurrent-requests\"");
    assert_eq!(reply.header(header::RATE_LIMIT_POLICY), Some(policy));
    assert_eq!(reply.header(header::RATE_LIMIT), Some(format!("\"queue\";r=0;t={seconds}")));
    assert!(!reply.head.has(header::JOB_ID), "no job was made: {reply}");
}

/// A server whose queue has room for so many, and whose only attempt at once waits for the gate.
async fn at_work(store: Store, most: usize) -> (Upstream, Gate, Proxq) {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    upstream.always(Answer::status(200).wait(&gate));
    let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("maxQueued", most);
    let proxq = Proxq::start(config).await;
    proxq.submit(post("/runs")).await;
    upstream.arrivals(1).await;
    (upstream, gate, proxq)
}

on_every_store! {
    async fn a_full_queue_refuses_until_jobs_have_begun(store: Store) {
        const MOST: usize = 3;
        let (upstream, gate, proxq) = at_work(store, MOST).await;
        let waiting = submit(&proxq, &post("/x"), MOST).await;
        for _ in 0..3 {
            is_full(&proxq.send(post("/x")).await, MOST);
        }
        gate.let_through(1);
        upstream.arrivals(2).await;
        let job = proxq.submit(post("/x")).await;
        is_full(&proxq.send(post("/x")).await, MOST);
        proxq.cancel(&waiting[MOST - 1]).await;
        proxq.submit(post("/x")).await;
        is_full(&proxq.send(post("/x")).await, MOST);
        gate.open();
        proxq.response(&job).await;
        eventually("there is room", async || proxq.send(post("/x")).await.status == 202).await;
    }

    async fn of_many_submissions_at_once_no_more_are_taken_than_may_wait(store: Store) {
        const MOST: usize = 10;
        let (_upstream, _gate, proxq) = at_work(store, MOST).await;
        let replies = join_all((0..50).map(|_| proxq.send(post("/x")))).await;
        let (taken, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 202);
        assert_eq!(taken.len(), MOST);
        for reply in refused {
            is_full(reply, MOST);
        }
    }

    async fn the_pause_follows_how_fast_jobs_end(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("maxQueued", 100);
        let proxq = Proxq::start(config).await;
        for _ in 0..20 {
            proxq.through_queue(post("/x")).await;
        }
        upstream.always(Answer::status(200).wait(&gate));
        submit(&proxq, &post("/x"), 101).await;
        let reply = proxq.send(post("/x")).await;
        is_full(&reply, 100);
        let seconds: u64 = reply.header("retry-after").expect("checked above").parse().expect("a number");
        assert!(seconds <= 5, "20 jobs have just ended within a second or so, a twentieth of 100 is 5: {reply}");
    }

    async fn other_upstreams_and_direct_requests_have_room(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let other = Upstream::start().await;
        let config = store.config().route(harness::Route::new("/other", &other.url()));
        let config = config.route(harness::Route::new("/x", &upstream.url())).upstream("maxQueued", 1);
        let proxq = Proxq::start(config.set("concurrency", 1)).await;
        submit(&proxq, &post("/x"), 1).await;
        upstream.arrivals(1).await;
        submit(&proxq, &post("/x"), 1).await;
        is_full(&proxq.send(post("/x")).await, 1);
        proxq.through_queue(post("/other")).await;
        gate.open();
        proxq.send(post("/x").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
    }

    async fn a_repeated_submission_is_no_further_job(store: Store) {
        let (_upstream, _gate, proxq) = at_work(store, 1).await;
        let request = post("/x").header("Idempotency-Key", "k");
        let first = proxq.submit(request.clone()).await;
        is_full(&proxq.send(post("/x")).await, 1);
        assert_eq!(proxq.submit(request).await, first, "it has its place already");
    }
}
