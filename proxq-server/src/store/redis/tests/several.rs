//! Several instances on one queue.

use super::*;
use crate::job::{State, Verdict};
use crate::store::contract::{found, leased, response, state_of, submitted};

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("is told")
}

#[tokio::test]
async fn a_job_submitted_here_is_worked_on_there_and_waited_for_elsewhere() {
    let redis = in_redis().await;
    let (there, elsewhere) = (open(&redis.server, redis.time).await, open(&redis.server, redis.time).await);
    let queue = queue();
    let mut due = there.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending());
    let id = submitted(&redis.store).await;
    soon(due).await;
    let watch = elsewhere.watch(id).await.unwrap();
    let job = leased(&there).await;
    soon(watch).await;
    let watch = elsewhere.watch(id).await.unwrap();
    there.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    soon(watch).await;
    assert_eq!(state_of(&elsewhere, id).await, Some(State::Completed));
}

#[tokio::test]
async fn a_cancelled_job_ends_where_it_runs() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let id = submitted(&redis.store).await;
    let job = leased(&there).await;
    assert!(redis.store.cancel(id).await.unwrap());
    tokio::time::timeout(Duration::from_secs(1), job.revoked.cancelled()).await.expect("within a second");
}

#[tokio::test]
async fn what_a_lost_instance_held_is_taken_over() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let id = submitted(&redis.store).await;
    let job = leased(&there).await;
    drop(there);
    redis.advance(Duration::from_millis(35_001)).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 1);
    let again = leased(&redis.store).await;
    assert!(again.lease.token > job.lease.token);
    assert_eq!((again.lease.id, again.progress.retried), (id, 0));
}

#[tokio::test]
async fn taking_a_lease_away_does_not_end_the_next_attempt() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let lost = leased(&redis.store).await;
    redis.advance(Duration::from_millis(35_001)).await;
    redis.store.upkeep().await.unwrap();
    let next = leased(&redis.store).await;
    redis.store.shared.revoke(&lost.lease); // by an upkeep that is slower than the worker
    assert!(lost.revoked.is_cancelled() && !next.revoked.is_cancelled());
}

#[tokio::test]
async fn upkeep_on_every_instance_at_once_does_everything_once() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    for _ in 0..10 {
        submitted(&redis.store).await;
    }
    assert_eq!(redis.store.lease(&queue(), 10).await.unwrap().len(), 10);
    redis.advance(Duration::from_millis(35_001)).await;
    let (one, other) = tokio::join!(redis.store.upkeep(), there.upkeep());
    assert_eq!(one.unwrap().reclaimed + other.unwrap().reclaimed, 10);
    let jobs = there.lease(&queue(), 20).await.unwrap();
    assert_eq!(jobs.len(), 10);
    assert!(jobs.iter().all(|job| job.progress.lease_losses == 1));
}

#[tokio::test]
async fn a_queue_that_another_instance_began_is_found() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let mut job = crate::store::contract::job();
    job.queue = crate::job::QueueName::new("other").unwrap();
    let id = job.request.id;
    there.submit(job).await.unwrap();
    assert_eq!(found(&redis.store, id).await.state, State::Pending);
    assert!(redis.store.cancel(id).await.unwrap());
}

#[tokio::test]
async fn deployments_share_their_secrets() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let (one, other) = tokio::join!(redis.store.deployment(), there.deployment());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.via_name, one.credential_key), (other.via_name, other.credential_key));
}
