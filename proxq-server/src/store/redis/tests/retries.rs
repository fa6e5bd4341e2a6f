//! What asynq's tools show of retries, and what workers of Go's make of it.

use prost::Message;

use super::super::message::TaskMessage;
use super::from_go::go_message;
use super::layout::{START_SECONDS, key, task};
use super::*;
use crate::job::{Backoff, Delivery, JobId, Reach, RetryPolicy, State, Verdict};
use crate::store::contract::{failure, found, job, leased, request, response, retry_after};
use crate::store::{NewJob, Requeued, StoreSettings};

/// A field that asynq has not given away yet, of a number beyond all that it has.
const UNKNOWN: &[u8] = b"\xfa\x01\x03new";

impl InRedis {
    fn allow_retries(&self, max_retries: u32) {
        let mut settings: StoreSettings = settings();
        settings.upstreams[0].retries = RetryPolicy { max_retries, backoff: Backoff::Quartic };
        self.store.reconfigure(settings);
    }

    /// What asynq's tools show: how often the job may be retried, and how often it was.
    async fn shown(&self, id: JobId) -> (i32, i32) {
        let message = self.message(id).await;
        (message.retry, message.retried)
    }

    async fn append_to_message(&self, id: JobId, bytes: &[u8]) {
        let mut message = self.hash(id).await["msg"].to_vec();
        message.extend(bytes);
        let mut command = redis::cmd("HSET");
        command.arg(task(id)).arg("msg").arg(message);
        let _: i64 = command.query_async(&mut self.server.connection()).await.unwrap();
    }

    async fn has_unknown_field(&self, id: JobId) -> bool {
        self.hash(id).await["msg"].windows(UNKNOWN.len()).any(|part| part == UNKNOWN)
    }

    /// A job of ours that may be sent as often as it takes.
    async fn repeatable(&self) -> JobId {
        let mut job = job();
        job.request.delivery = Delivery::AtLeastOnce;
        let id = job.request.id;
        self.store.submit(job).await.unwrap();
        id
    }
}

#[tokio::test]
async fn asynqs_tools_show_how_often_a_job_may_be_retried_and_was() {
    let redis = in_redis().await;
    let store = &redis.store;
    redis.allow_retries(4);
    let id = redis.repeatable().await;
    assert_eq!(redis.shown(id).await, (4, 0));
    for retried in 1..=2 {
        store.settle(&leased(store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
        assert_eq!(redis.shown(id).await, (4, retried));
    }
    let uncharged = Verdict::RetryAfter {
        pause: Duration::ZERO,
        error: "shut down".to_owned(),
        reach: Reach::NotSent,
        charged: false,
    };
    store.settle(&leased(store).await.lease, uncharged).await.unwrap();
    assert_eq!(redis.shown(id).await, (4, 2));

    redis.allow_retries(3); // by a reload
    store.settle(&leased(store).await.lease, failure()).await.unwrap();
    assert_eq!(redis.shown(id).await, (3, 2));
    assert_eq!(store.retry_failed(id, true).await.unwrap(), Requeued::Queued);
    assert_eq!(redis.shown(id).await, (3, 0));
    redis.allow_retries(0);
    leased(store).await;
    redis.advance(Duration::from_millis(35_001)).await;
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
    assert_eq!(redis.shown(id).await, (0, 0), "also where a lease was lost");
    redis.allow_retries(5);
    store.settle(&leased(store).await.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(redis.shown(id).await, (5, 0));
}

#[tokio::test]
async fn a_task_of_gos_keeps_its_own_number_of_retries() {
    let redis = in_redis().await;
    redis.allow_retries(9);
    let id = JobId::new();
    redis.go_task(&TaskMessage { retried: 1, ..go_message(id) }, "pending", &[]).await;
    redis.go_place("pending", id, 0).await;
    let job = leased(&redis.store).await;
    assert_eq!(job.progress.retried, 1, "what Go has charged counts");
    redis.store.settle(&job.lease, retry_after(Duration::ZERO)).await.unwrap();
    assert_eq!(redis.shown(id).await, (3, 2));
    redis.store.settle(&leased(&redis.store).await.lease, failure()).await.unwrap();
    assert_eq!(redis.shown(id).await, (3, 2));
}

#[tokio::test]
async fn retries_that_a_go_worker_charged_count() {
    let redis = in_redis().await;
    let store = &redis.store;
    redis.allow_retries(4);
    let id = redis.repeatable().await;
    store.settle(&leased(store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
    let message = redis.message(id).await;
    let by_go = TaskMessage { retried: 3, ..message }; // it encodes the message anew
    redis.go_task(&by_go, "retry", &[]).await;
    let job = leased(store).await;
    assert_eq!(job.progress.retried, 3);
    store.settle(&job.lease, retry_after(Duration::ZERO)).await.unwrap();
    assert_eq!(redis.shown(id).await, (4, 4));
    assert_eq!(leased(store).await.progress.retried, 4, "and they are not counted twice");
}

#[tokio::test]
async fn a_lease_of_a_former_run_is_settled_with_the_same_numbers() {
    let redis = in_redis().await;
    redis.allow_retries(4);
    let id = redis.repeatable().await;
    redis.store.settle(&leased(&redis.store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
    let lease = leased(&redis.store).await.lease;
    redis.append_to_message(id, UNKNOWN).await;
    let there = open(&redis.server, redis.time).await;
    let mut settings = settings();
    settings.upstreams[0].retries.max_retries = 4;
    there.reconfigure(settings);
    there.settle(&lease, retry_after(Duration::ZERO)).await.unwrap();
    assert_eq!(redis.shown(id).await, (4, 2));
    assert!(redis.has_unknown_field(id).await);
}

#[tokio::test]
async fn fields_of_a_later_asynq_survive_every_change_of_a_job() {
    let redis = in_redis().await;
    let store = &redis.store;
    redis.allow_retries(4);
    let mut job = NewJob { request: request(JobId::new()), ..job() };
    job.request.delivery = Delivery::AtLeastOnce;
    job.request.headers.insert("authorization", "Bearer secret".parse().unwrap()); // completing it takes this out
    let id = job.request.id;
    store.submit(job).await.unwrap();
    redis.append_to_message(id, UNKNOWN).await;
    store.settle(&leased(store).await.lease, Verdict::Release).await.unwrap();
    assert!(redis.has_unknown_field(id).await, "given back");
    store.settle(&leased(store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
    assert!(redis.has_unknown_field(id).await, "retried");
    leased(store).await;
    redis.advance(Duration::from_millis(35_001)).await;
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
    assert!(redis.has_unknown_field(id).await, "reclaimed");
    store.settle(&leased(store).await.lease, failure()).await.unwrap();
    assert!(redis.has_unknown_field(id).await, "failed");
    store.retry_failed(id, true).await.unwrap();
    assert!(redis.has_unknown_field(id).await, "run again");
    store.settle(&leased(store).await.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert!(redis.has_unknown_field(id).await, "completed");
    let message = redis.message(id).await;
    assert!(!message.encode_to_vec().windows(6).any(|part| part == b"secret"));
    assert!(message.payload.windows(12).any(|part| part == b"Content-Type"));
}

#[tokio::test]
async fn what_a_go_worker_would_repeat_against_its_delivery_has_another_type() {
    let redis = in_redis().await;
    for (delivery, idempotent, max_retries, kind) in [
        (Delivery::AtLeastOnce, false, 4, "proxy:request"),
        (Delivery::Auto, true, 4, "proxy:request"),
        (Delivery::Auto, false, 4, "proxq:2"),
        (Delivery::AtMostOnce, true, 4, "proxq:2"),
        (Delivery::AtMostOnce, true, 0, "proxy:request"),
    ] {
        redis.allow_retries(max_retries);
        let mut job = job();
        (job.request.delivery, job.request.idempotent) = (delivery, idempotent);
        let id = job.request.id;
        redis.store.submit(job).await.unwrap();
        let message = redis.message(id).await;
        assert_eq!((message.kind.as_str(), message.retry), (kind, i32::try_from(max_retries).unwrap()), "{delivery:?}");
    }
}

impl InRedis {
    /// What asynq's servers do with an active job whose lease expired: they make it rest, or give it up.
    async fn recovered_by_go(&self, id: JobId, to: &str) {
        let (name, now) = (id.to_string(), START_SECONDS.to_string());
        let _removed: i64 = self.server.run(&["LREM", &key("active"), "0", &name]).await;
        let _removed: i64 = self.server.run(&["ZREM", &key("lease"), &name]).await;
        let _added: i64 = self.server.run(&["ZADD", &key(to), &now, &name]).await;
        let _added: i64 = self.server.run(&["HSET", &task(id), "state", to]).await;
    }
}

#[tokio::test]
async fn a_lease_that_asynq_took_away_is_judged_by_delivery() {
    for (delivery, state) in [(Delivery::AtMostOnce, State::Archived), (Delivery::AtLeastOnce, State::Pending)] {
        let redis = in_redis().await;
        let store = &redis.store;
        redis.allow_retries(4);
        let mut job = job();
        job.request.delivery = delivery;
        let id = job.request.id;
        store.submit(job).await.unwrap();
        leased(store).await;
        redis.advance(Duration::from_mins(2)).await;
        redis.recovered_by_go(id, "retry").await;
        assert!(store.lease(&queue(), 1).await.unwrap().is_empty(), "it is not sent again unjudged");
        assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
        let found = found(store, id).await;
        assert_eq!((found.state, found.progress.lease_losses), (state, 1), "{delivery:?}");
        if state == State::Pending {
            assert_eq!(leased(store).await.progress.attempts, 2);
        }
    }
}

#[tokio::test]
async fn a_job_that_asynq_gave_up_is_run_again_on_demand() {
    let redis = in_redis().await;
    let id = redis.repeatable().await;
    leased(&redis.store).await;
    redis.recovered_by_go(id, "archived").await;
    assert_eq!(redis.store.retry_failed(id, false).await.unwrap(), Requeued::MayDuplicate);
    assert_eq!(redis.store.retry_failed(id, true).await.unwrap(), Requeued::Queued);
    assert_eq!(leased(&redis.store).await.lease.id, id);
}
