//! Several lanes, each with a queue and slots of its own.

use super::*;
use crate::slots::Slots;

fn second() -> QueueName {
    QueueName::new("second").unwrap()
}

/// A lane for the configured queue, and one for the second, with one slot each.
async fn two_lanes() -> Bench {
    let one_more = |worker: &mut Worker| {
        let lane = Lane { queue: second(), slots: Slots::new(1), gate: None };
        lock(&worker.lanes).push(Arc::new(lane));
    };
    Bench::start_prepared(|config| config.inline_body_limit = 3, one_more).await
}

#[tokio::test]
async fn a_busy_lane_holds_up_no_other() {
    let bench = two_lanes().await;
    let busy = bench.submitted().await;
    let held = bench.request().await;
    let behind = bench.submitted().await;
    let beside = bench.submit(NewJob { queue: second(), ..bench.job() }).await;
    let exchange = bench.request().await;
    assert!(exchange.head.contains(&beside.to_string()), "of the other lane: {}", exchange.head);
    exchange.answer("200 OK", "a large response").await;
    bench.job_in(State::Completed, beside).await;
    bench.job_in(State::Pending, behind).await;
    held.answer("200 OK", "ok").await;
    bench.job_in(State::Completed, busy).await;
    bench.request().await.answer("200 OK", "ok").await;
    bench.job_in(State::Completed, behind).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_job_of_a_queue_without_a_lane_stays() {
    let bench = Bench::start().await;
    let first = bench.submitted().await;
    bench.request().await.answer("200 OK", "ok").await;
    bench.job_in(State::Completed, first).await; // by now it was looked for jobs in queues of former configurations
    let other = bench.submit(NewJob { queue: second(), ..bench.job() }).await;
    let own = bench.submitted().await;
    bench.request().await.answer("200 OK", "ok").await;
    bench.job_in(State::Completed, own).await;
    bench.job_in(State::Pending, other).await;
    bench.stop().await;
}
