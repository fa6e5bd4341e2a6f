//! Attempts that lose their lease.

use super::*;
use crate::store::{LEASE_TERM, RECLAIM_GRACE, RENEW_EVERY, StoreControl};

#[tokio::test]
async fn cancelling_a_job_ends_its_attempt_and_frees_its_slot() {
    let bench = Bench::start().await;
    let cancelled = bench.submitted().await;
    let exchange = bench.request().await;
    let next = bench.submitted().await;
    assert!(bench.store.cancel(cancelled).await.unwrap());
    exchange.broken_off().await;
    bench.request().await.answer("200 OK", "next").await;
    bench.job_in(State::Completed, next).await;
    assert!(bench.store.get(cancelled).await.unwrap().is_none());
    bench.stop().await;
}

#[tokio::test]
async fn an_attempt_whose_lease_was_taken_away_is_given_up() {
    let bench = Bench::start().await;
    let mut job = bench.job();
    job.request.idempotent = true;
    let id = bench.submit(job).await;
    let lost = bench.request().await;
    bench.stop_renewals().await;
    bench.time.advance(LEASE_TERM + RECLAIM_GRACE + Duration::from_millis(1));
    assert_eq!(bench.store.upkeep().await.unwrap().reclaimed, 1);
    lost.broken_off().await;
    bench.request().await.answer("200 OK", "again").await;
    let progress = bench.job_in(State::Completed, id).await.progress;
    assert_eq!((progress.attempts, progress.lease_losses), (2, 1));
    bench.stop().await;
}

#[tokio::test]
async fn leases_of_running_attempts_are_renewed() {
    let bench = Bench::start().await;
    let mut job = bench.job();
    job.request.timeout = Duration::from_hours(1);
    let id = bench.submit(job).await;
    let exchange = bench.request().await;
    tokio::time::pause(); // while nothing is sent
    for _ in 0..20 {
        bench.time.advance(RENEW_EVERY);
        tokio::time::sleep(RENEW_EVERY).await;
        assert_eq!(bench.store.upkeep().await.unwrap().reclaimed, 0);
    }
    tokio::time::resume();
    exchange.answer("200 OK", "late").await;
    let progress = bench.job_in(State::Completed, id).await.progress;
    assert_eq!((progress.attempts, progress.lease_losses), (1, 0));
    bench.stop().await;
}
