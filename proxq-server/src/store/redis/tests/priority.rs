//! Where jobs of high and low priority wait, and what those see who know only asynq's list.

use super::layout::{key, task};
use super::several::soon;
use super::*;
use crate::job::{JobId, Priority, State, Verdict};
use crate::store::contract::{List, job, lease_ids, leased, state_of, submitted, submitted_as};
use crate::store::{BATCH_LIMIT, JobOrder, LOW_WAITS_AT_MOST};

const HIGH: &str = "proxq:{default}:high";
const LOW: &str = "proxq:{default}:low";

impl InRedis {
    /// The ids in asynq's list, those that are leased first at the front.
    async fn pending(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.server.run(&["LRANGE", &key("pending"), "0", "-1"]).await;
        ids.reverse();
        ids
    }

    async fn waiting(&self, set: &str) -> Vec<String> {
        self.server.run(&["ZRANGE", set, "0", "-1"]).await
    }

    async fn set_of(&self, id: JobId) -> Option<String> {
        self.server.run(&["HGET", &task(id), "x_priority"]).await
    }
}

fn texts<const N: usize>(ids: [JobId; N]) -> [String; N] {
    ids.map(|id| id.to_string())
}

#[tokio::test]
async fn a_job_of_normal_priority_leaves_no_trace_of_priorities() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    assert_eq!((redis.pending().await, redis.set_of(id).await), (texts([id]).to_vec(), None));
    leased(&redis.store).await;
    assert_eq!(redis.server.run::<i64>(&["EXISTS", HIGH, LOW]).await, 0);
}

#[tokio::test]
async fn jobs_of_high_and_low_priority_wait_in_sets_and_are_pending_to_asynq() {
    let redis = in_redis().await;
    for (priority, set) in [(Priority::High, HIGH), (Priority::Low, LOW)] {
        let id = submitted_as(&redis.store, priority).await;
        assert_eq!(redis.waiting(set).await, texts([id]));
        assert_eq!(redis.pending().await, [""; 0]);
        let hash = redis.hash(id).await;
        assert_eq!((&hash["state"][..], hash["pending_since"].len()), (&b"pending"[..], 19));
        assert_eq!(redis.message(id).await.kind, "proxy:request", "a worker of Go's can do it");
        assert_eq!(lease_ids(&redis.store, 1).await, [id]);
        assert!(redis.waiting(set).await.is_empty());
    }
}

#[tokio::test]
async fn a_worker_of_another_instance_is_told_of_a_job_that_is_not_in_its_list() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let channel = "proxq:changed:{default}";
    soon(async { while redis.server.run::<i64>(&["PUBLISH", channel, "hello"]).await < 2 {} }).await;
    for priority in [Priority::High, Priority::Low] {
        // The message alone is waited for: no worker waits here, who would look once a second.
        let signal = there.shared.signals.queue("default");
        let told = signal.due(there.shared.clock);
        let id = submitted_as(&redis.store, priority).await;
        soon(told).await;
        assert_eq!(lease_ids(&there, 1).await, [id]);
    }
}

#[tokio::test]
async fn a_paused_queue_hands_out_no_job_of_any_priority() {
    let redis = in_redis().await;
    let mut ids = Vec::new();
    for priority in Priority::ALL {
        ids.push(submitted_as(&redis.store, priority).await);
    }
    let () = redis.server.run(&["SET", &key("paused"), "1767225600"]).await;
    assert!(lease_ids(&redis.store, 10).await.is_empty());
    let _removed: i64 = redis.server.run(&["DEL", &key("paused")]).await;
    assert_eq!(lease_ids(&redis.store, 10).await, ids);
}

#[tokio::test]
async fn a_low_job_that_has_waited_is_in_asynqs_list() {
    let redis = in_redis().await;
    let low = submitted_as(&redis.store, Priority::Low).await;
    let high = submitted_as(&redis.store, Priority::High).await;
    let normal = submitted(&redis.store).await;
    redis.advance(LOW_WAITS_AT_MOST + Duration::from_secs(1)).await;
    redis.store.upkeep().await.unwrap();
    assert_eq!(redis.pending().await, texts([normal, low]));
    assert_eq!((redis.waiting(HIGH).await, redis.set_of(low).await), (texts([high]).to_vec(), None));
    assert!(redis.store.cancel(low).await.unwrap());
    assert_eq!(redis.pending().await, texts([normal]));
}

#[tokio::test]
async fn all_jobs_are_in_asynqs_list_while_a_server_of_asynq_works_on_the_queue() {
    let redis = in_redis().await;
    let normal = [submitted(&redis.store).await, submitted(&redis.store).await];
    let [mut high, mut low] = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        high.push(submitted_as(&redis.store, Priority::High).await);
        low.push(submitted_as(&redis.store, Priority::Low).await);
    }
    redis.go_server("default").await;
    redis.store.upkeep().await.unwrap();
    let order = [&high[..], &normal, &low].concat();
    assert_eq!(redis.pending().await, order.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(redis.waiting(HIGH).await.is_empty() && redis.waiting(LOW).await.is_empty());

    let list = List::of(&redis.store, State::Pending, JobOrder::OldestFirst);
    assert_eq!(list.from(None).await, order);
    assert!(redis.store.cancel(high[1]).await.unwrap() && redis.store.cancel(low[1]).await.unwrap());
    assert_eq!(redis.pending().await.len(), order.len() - 2);

    let job = redis.store.lease(&queue(), 1).await.unwrap().remove(0);
    assert_eq!(job.lease.id, high[0]);
    redis.store.settle(&job.lease, Verdict::Release).await.unwrap();
    assert_eq!(redis.waiting(HIGH).await, texts([high[0]]), "it still is of high priority");
    redis.store.upkeep().await.unwrap();
    assert_eq!(redis.pending().await[0], high[0].to_string());
}

#[tokio::test]
async fn more_than_a_batch_of_jobs_are_in_asynqs_list_in_their_order() {
    let redis = in_redis().await;
    redis.go_server("default").await;
    let normal = submitted(&redis.store).await;
    let mut order = Vec::new();
    for _ in 0..=BATCH_LIMIT * 2 {
        order.push(submitted_as(&redis.store, Priority::High).await.to_string());
    }
    order.push(normal.to_string());
    redis.store.upkeep().await.unwrap();
    assert_eq!(redis.pending().await, order);
}

#[tokio::test]
async fn a_set_of_another_kind_fails_and_changes_nothing() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let () = redis.server.run(&["SET", HIGH, "theirs"]).await;
    let mut urgent = job();
    urgent.request.priority = Priority::High;
    let refused = urgent.request.id;
    assert!(redis.store.submit(urgent).await.is_err());
    assert_eq!(state_of(&redis.store, refused).await, None);
    assert!(redis.store.lease(&queue(), 1).await.is_err());
    assert_eq!(redis.pending().await, texts([id]));
    let _removed: i64 = redis.server.run(&["DEL", HIGH]).await;
    assert_eq!(lease_ids(&redis.store, 10).await, [id]);
}

#[tokio::test]
async fn an_id_without_a_job_does_not_hold_up_the_others_of_its_priority() {
    let redis = in_redis().await;
    for set in [HIGH, LOW] {
        let _added: i64 = redis.server.run(&["ZADD", set, "0", &JobId::new().to_string()]).await;
    }
    let high = submitted_as(&redis.store, Priority::High).await;
    let low = submitted_as(&redis.store, Priority::Low).await;
    redis.store.upkeep().await.unwrap(); // the one of low priority has waited for very long
    assert_eq!(lease_ids(&redis.store, 10).await, [high, low]);
    assert_eq!(redis.server.run::<i64>(&["EXISTS", HIGH, LOW, &key("pending")]).await, 0);
}
