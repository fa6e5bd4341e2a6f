//! Jobs with bounds, as asynq's tools and other servers meet them.

use super::layout::{key, task};
use super::*;
use crate::job::{JobId, Outcome, State, TimeBounds, Verdict};
use crate::store::contract::{found, job, lease_ids, leased, response, retry_after, state_of};
use crate::store::{BATCH_LIMIT, NewJob};

const MINUTE: Duration = Duration::from_mins(1);

impl InRedis {
    async fn submit_bounded(&self) -> JobId {
        let mut job = job();
        job.request.bounds = TimeBounds { start_within: Some(MINUTE), deadline: Some(2 * MINUTE) };
        let id = job.request.id;
        self.store.submit(job).await.unwrap();
        id
    }

    /// The jobs that end when their time is over, each with the second.
    async fn bounded(&self) -> Vec<(String, i64)> {
        let listed: Vec<(String, i64)> =
            self.server.run(&["ZRANGE", "proxq:{default}:bounded", "0", "-1", "WITHSCORES"]).await;
        listed.into_iter().map(|(id, at_ms)| (id, (at_ms - START.as_millis()) / 1000)).collect()
    }
}

#[tokio::test]
async fn a_go_worker_does_not_get_a_job_with_bounds() {
    let redis = in_redis().await;
    let id = redis.submit_bounded().await;
    assert_eq!(redis.message(id).await.kind, "proxq:2");
    assert_eq!(leased(&redis.store).await.lease.id, id);
}

#[tokio::test]
async fn only_a_job_that_waits_is_listed() {
    let redis = in_redis().await;
    let id = redis.submit_bounded().await;
    let listed = |second| vec![(id.to_string(), second)];
    assert_eq!(redis.bounded().await, listed(60), "until it begins");
    let job = leased(&redis.store).await;
    assert_eq!(redis.bounded().await, []);
    redis.store.settle(&job.lease, Verdict::Release).await.unwrap();
    assert_eq!(redis.bounded().await, listed(60), "it has not begun");
    redis.store.settle(&leased(&redis.store).await.lease, retry_after(Duration::from_secs(1))).await.unwrap();
    assert_eq!(redis.bounded().await, listed(120), "until its deadline");
    redis.advance(Duration::from_secs(1)).await;
    redis.store.settle(&leased(&redis.store).await.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(redis.bounded().await, []);
    let cancelled = redis.submit_bounded().await;
    redis.store.cancel(cancelled).await.unwrap();
    assert_eq!(redis.bounded().await, []);
}

#[tokio::test]
async fn jobs_expire_in_a_paused_queue_too() {
    let redis = in_redis().await;
    let id = redis.submit_bounded().await;
    let () = redis.server.run(&["SET", &key("paused"), "1767225600"]).await;
    redis.advance(MINUTE).await;
    assert_eq!(redis.store.upkeep().await.unwrap().overdue, 1);
    assert!(found(&redis.store, id).await.progress.expired);
    for (counter, expected) in [("processed", 1), ("failed", 1)] {
        assert_eq!(redis.server.run::<i64>(&["GET", &key(counter)]).await, expected, "{counter}");
    }
    assert_eq!(redis.server.run::<i64>(&["LLEN", &key("pending")]).await, 0);
}

#[tokio::test]
async fn what_a_tool_of_asynqs_has_moved_or_removed_does_not_expire() {
    let redis = in_redis().await;
    let [moved, removed] = [redis.submit_bounded().await, redis.submit_bounded().await];
    for id in [moved, removed] {
        let _: i64 = redis.server.run(&["LREM", &key("pending"), "0", &id.to_string()]).await;
    }
    let _: i64 = redis.server.run(&["DEL", &task(removed)]).await;
    let _: i64 = redis.server.run(&["HSET", &task(moved), "state", "archived"]).await;
    let _: i64 = redis.server.run(&["ZADD", &key("archived"), "1767225600", &moved.to_string()]).await;
    redis.advance(MINUTE).await;
    assert_eq!(redis.store.upkeep().await.unwrap().overdue, 0);
    assert_eq!(redis.bounded().await, []);
    let job = found(&redis.store, moved).await;
    assert_eq!((job.state, job.progress.outcome), (State::Archived, Some(Outcome::Indeterminate)), "as asynq says");
}

#[tokio::test]
async fn bounds_that_cannot_be_read_are_none() {
    let redis = in_redis().await;
    let mut damaged = Vec::new();
    for bounds in ["", "1", "1 2", "1 - 3", "x - 3 error", "1 2 x error"] {
        let id = redis.submit_bounded().await;
        let _: i64 = redis.server.run(&["HSET", &task(id), "x_bounds", bounds]).await;
        damaged.push(id);
    }
    redis.advance(3 * MINUTE).await;
    assert_eq!(redis.store.upkeep().await.unwrap().overdue, 0);
    assert_eq!(redis.bounded().await, []);
    assert_eq!(lease_ids(&redis.store, 10).await, damaged, "no job is lost");
}

#[tokio::test]
async fn what_a_worker_of_asynqs_gives_back_expires() {
    let redis = in_redis().await;
    let id = redis.submit_bounded().await;
    let _: i64 = redis.server.run(&["LREM", &key("pending"), "0", &id.to_string()]).await;
    let _: i64 = redis.server.run(&["HSET", &task(id), "state", "active"]).await;
    redis.advance(MINUTE).await;
    assert_eq!(redis.store.upkeep().await.unwrap().overdue, 0);
    let _: i64 = redis.server.run(&["HSET", &task(id), "state", "retry"]).await;
    let _: i64 = redis.server.run(&["ZADD", &key("retry"), "1893456000", &id.to_string()]).await;
    redis.advance(MINUTE).await;
    assert_eq!(redis.store.upkeep().await.unwrap().overdue, 1);
    assert_eq!(state_of(&redis.store, id).await, Some(State::Archived));
    assert_eq!(redis.server.run::<i64>(&["ZCARD", &key("retry")]).await, 0);
}

#[tokio::test]
async fn a_job_that_a_tool_of_asynqs_runs_again_has_no_bounds() {
    let redis = in_redis().await;
    let id = redis.submit_bounded().await;
    redis.advance(MINUTE).await;
    redis.store.upkeep().await.unwrap();
    let _: i64 = redis.server.run(&["ZREM", &key("archived"), &id.to_string()]).await;
    let _: i64 = redis.server.run(&["HSET", &task(id), "state", "pending"]).await;
    let _: i64 = redis.server.run(&["LPUSH", &key("pending"), &id.to_string()]).await;
    let job = leased(&redis.store).await;
    assert_eq!((job.lease.id, job.left), (id, None));
    redis.store.settle(&job.lease, crate::store::contract::failure()).await.unwrap();
    assert!(!found(&redis.store, id).await.progress.expired, "it failed for another reason");
}

#[tokio::test]
async fn a_full_redis_ends_nothing_and_goes_on_when_there_is_room() {
    let redis = in_redis().await;
    let id = redis.submit_bounded().await;
    redis.advance(MINUTE).await;
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(redis.store.upkeep().await.is_err());
    assert_eq!(state_of(&redis.store, id).await, Some(State::Pending));
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(redis.store.upkeep().await.unwrap().overdue, 1);
    assert!(found(&redis.store, id).await.progress.expired);
}

#[tokio::test]
async fn the_expired_do_not_hold_up_a_worker_for_longer_than_a_batch() {
    let redis = in_redis().await;
    for _ in 0..=BATCH_LIMIT + 1 {
        redis.submit_bounded().await;
    }
    let free: NewJob = job();
    let id = free.request.id;
    redis.store.submit(free).await.unwrap();
    redis.advance(MINUTE).await;
    assert!(redis.store.lease(&queue(), 1).await.unwrap().is_empty(), "one batch at once");
    redis.store.due(&queue()).await; // there is more
    assert_eq!(leased(&redis.store).await.lease.id, id);
}
