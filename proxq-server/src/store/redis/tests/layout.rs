//! The keys that we write, and what asynq's tools and clients do with them.

use std::collections::HashMap;

use bytes::Bytes;
use http::HeaderValue;
use prost::Message;

use super::super::message::{ServerInfo, TaskMessage};
use super::from_go::go_message;
use super::*;
use crate::job::{Body, JobId, Outcome, State, Verdict};
use crate::store::contract::{failure, found, job, leased, response, retry_after, state_of, submitted};
use crate::store::{Requeued, UPKEEP_EVERY};

/// 2026-01-01T00:00:00Z, when these tests begin.
pub(super) const START_SECONDS: i64 = 1_767_225_600;

impl InRedis {
    pub(super) async fn hash(&self, id: JobId) -> HashMap<String, Bytes> {
        let fields: HashMap<String, Vec<u8>> = self.server.run(&["HGETALL", &task(id)]).await;
        fields.into_iter().map(|(name, value)| (name, value.into())).collect()
    }

    pub(super) async fn message(&self, id: JobId) -> TaskMessage {
        TaskMessage::decode(self.hash(id).await["msg"].clone()).unwrap()
    }

    async fn score(&self, zset: &str, id: JobId) -> String {
        self.server.run(&["ZSCORE", &key(zset), &id.to_string()]).await
    }

    /// All keys of asynq's that name our queue, in order.
    async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.server.run(&["KEYS", "asynq:{default}:*"]).await;
        keys.sort();
        keys
    }
}

/// A score as it must be: whole seconds.
fn whole(seconds: i64) -> String {
    seconds.to_string()
}

pub(super) fn key(name: &str) -> String {
    format!("asynq:{{default}}:{name}")
}

pub(super) fn task(id: JobId) -> String {
    key(&format!("t:{id}"))
}

#[tokio::test]
async fn a_jobs_life_leaves_the_keys_that_asynq_expects() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let name = id.to_string();
    assert_eq!(redis.keys().await, [key("pending"), task(id)]);
    assert_eq!(
        redis.server.run::<Vec<String>>(&["LRANGE", &key("pending"), "0", "-1"]).await,
        *std::slice::from_ref(&name)
    );
    assert_eq!(redis.server.run::<Vec<String>>(&["SMEMBERS", "asynq:queues"]).await, ["default"]);
    let hash = redis.hash(id).await;
    assert_eq!((&hash["state"][..], hash["pending_since"].len()), (&b"pending"[..], 19));
    let message = redis.message(id).await;
    assert_eq!((message.kind.as_str(), message.queue.as_str(), message.id), ("proxy:request", "default", name.clone()));
    assert_eq!((message.timeout, message.retention, message.retry), (30, 3600, 0));
    let payload = r#"{"request":{"method":"POST","url":"http://api:3000/reports?year=2026","headers":{"Content-Type":["application/json"]},"body":"e30=","clientIp":"192.0.2.1","proto":"http"}}"#;
    assert_eq!(message.payload, payload);

    let lease = leased(&redis.store).await.lease;
    assert_eq!(redis.keys().await, [key("active"), key("lease"), task(id)]);
    assert_eq!(redis.score("lease", id).await, whole(START_SECONDS + 30));
    let hash = redis.hash(id).await;
    assert_eq!(&hash["state"][..], b"active");
    assert!(!hash.contains_key("pending_since"));

    redis.advance(Duration::from_secs(7)).await;
    redis.store.settle(&lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let counters = [key("processed"), key("processed:2026-01-01")];
    assert_eq!(redis.keys().await, [&[key("completed")][..], &counters, &[task(id)]].concat());
    assert_eq!(redis.score("completed", id).await, whole(START_SECONDS + 7 + 3600));
    let hash = redis.hash(id).await;
    assert_eq!(&hash["state"][..], b"completed");
    assert_eq!(hash["result"], r#"{"statusCode":200,"headers":{"Set-Cookie":["a=1","b=2"]},"body":"b2s="}"#);
    assert!(!hash.contains_key("x_token"));
    assert_eq!(redis.message(id).await.completed_at, START_SECONDS + 7);
    let left: i64 = redis.server.run(&["TTL", &counters[1]]).await;
    let ninety_days = 90 * 86400;
    assert!((ninety_days - 60..=ninety_days).contains(&left), "the counter of a day expires in {left} s");
    assert_eq!(redis.server.run::<i64>(&["TTL", &counters[0]]).await, -1, "that of all time does not");
    for counter in &counters {
        assert_eq!(redis.server.run::<i64>(&["GET", counter]).await, 1, "{counter}");
    }

    redis.advance(RETENTION).await;
    redis.store.upkeep().await.unwrap();
    assert_eq!(redis.keys().await, counters);
}

#[tokio::test]
async fn failures_are_counted_and_noted_as_asynq_does() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    redis.advance(Duration::from_millis(500)).await;
    let pause = Duration::from_secs(10);
    redis.store.settle(&leased(&redis.store).await.lease, retry_after(pause)).await.unwrap();
    assert_eq!(redis.score("retry", id).await, whole(START_SECONDS + 11), "a whole second, never early");
    let message = redis.message(id).await;
    assert_eq!((message.retried, message.error_msg.as_str()), (1, "connect: refused"));
    assert_eq!(message.last_failed_at, START_SECONDS);
    redis.advance(Duration::from_secs(11)).await;
    redis.store.settle(&leased(&redis.store).await.lease, failure()).await.unwrap();
    assert_eq!(redis.score("archived", id).await, whole(START_SECONDS + 11));
    for (counter, expected) in [("processed", 2), ("failed", 2), ("processed:2026-01-01", 2), ("failed:2026-01-01", 2)]
    {
        assert_eq!(redis.server.run::<i64>(&["GET", &key(counter)]).await, expected, "{counter}");
    }
    assert_eq!(redis.store.retry_failed(id, true).await.unwrap(), Requeued::Queued);
    assert_eq!(redis.message(id).await.retried, 0, "asynq would give it one try only");
}

#[tokio::test]
async fn a_completed_jobs_secrets_are_nowhere_in_redis() {
    let redis = in_redis().await;
    let mut job = job();
    let id = job.request.id;
    job.request.headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
    redis.store.submit(job).await.unwrap();
    let holds = async || redis.hash(id).await.values().any(|value| value.windows(6).any(|part| part == b"secret"));
    assert!(holds().await, "as long as they must be sent");
    redis.store.settle(&leased(&redis.store).await.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert!(!holds().await);
    let payload = redis.message(id).await.payload;
    assert!(payload.windows(12).any(|part| part == b"Content-Type"), "what is no secret stays");
}

#[tokio::test]
async fn what_a_go_worker_could_not_do_right_has_another_type() {
    let redis = in_redis().await;
    let mut job = job();
    job.request.headers.insert("x-name", HeaderValue::from_bytes(b"Ren\xe9").unwrap());
    let id = job.request.id;
    redis.store.submit(job).await.unwrap();
    let message = redis.message(id).await;
    assert_eq!((message.kind.as_str(), &message.payload[..]), ("proxq:2", &b"{}"[..]));
    assert_eq!(leased(&redis.store).await.body, Body::Inline("{}".into()));
}

#[tokio::test]
async fn a_task_of_somebody_else_is_given_up_and_left_alone() {
    let redis = in_redis().await;
    let foreign = JobId::new();
    redis.go_task(&TaskMessage { kind: "email:send".to_owned(), ..go_message(foreign) }, "pending", &[]).await;
    redis.go_place("pending", foreign, 0).await;
    let own = submitted(&redis.store).await;
    assert_eq!(leased(&redis.store).await.lease.id, own, "it is not in the way of others");
    assert_eq!(&redis.hash(foreign).await["state"][..], b"archived");
    assert_eq!(redis.message(foreign).await.error_msg, "handler not found for task \"email:send\"");
}

#[tokio::test]
async fn ids_without_a_task_are_dropped() {
    let redis = in_redis().await;
    for place in ["pending", "active", "scheduled"] {
        redis.go_place(place, JobId::new(), START_SECONDS).await;
    }
    let own = submitted(&redis.store).await;
    assert_eq!(leased(&redis.store).await.lease.id, own);
    redis.store.upkeep().await.unwrap();
    for (place, length) in [("pending", "LLEN"), ("active", "LLEN"), ("scheduled", "ZCARD")] {
        let left = redis.server.run::<i64>(&[length, &key(place)]).await;
        assert_eq!(left, i64::from(place == "active"), "{place}");
    }
}

#[tokio::test]
async fn an_active_task_without_a_lease_is_found_lost() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    leased(&redis.store).await;
    let _removed: i64 = redis.server.run(&["DEL", &key("lease")]).await;
    redis.store.upkeep().await.unwrap();
    redis.advance(RETENTION).await;
    redis.store.upkeep().await.unwrap();
    redis.store.upkeep().await.unwrap();
    assert_eq!(state_of(&redis.store, id).await, Some(State::Pending));
}

#[tokio::test]
async fn a_job_of_a_later_version_is_left_for_it() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let facts = redis.hash(id).await["x_facts"].clone();
    let mut newer = vec![3];
    newer.extend(&facts[1..]);
    let set = async |facts: &[u8]| {
        let mut connection = redis.server.connection();
        let mut command = redis::cmd("HSET");
        let _: i64 = command.arg(task(id)).arg("x_facts").arg(facts).query_async(&mut connection).await.unwrap();
    };
    set(&newer).await;
    assert!(redis.store.lease(&queue(), 10).await.unwrap().is_empty());
    assert!(redis.store.cancel(id).await.is_err());
    set(&facts).await; // as if this were the later version
    redis.store.upkeep().await.unwrap();
    assert_eq!(leased(&redis.store).await.lease.id, id);
}

#[tokio::test]
async fn a_paused_queue_hands_out_nothing() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let () = redis.server.run(&["SET", &key("paused"), "1767225600"]).await;
    assert!(redis.store.lease(&queue(), 1).await.unwrap().is_empty());
    let _removed: i64 = redis.server.run(&["DEL", &key("paused")]).await;
    redis.store.due(&queue()).await;
    assert_eq!(leased(&redis.store).await.lease.id, id);
}

#[tokio::test]
async fn asynqs_tools_see_a_server_that_lives() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let job = leased(&redis.store).await;
    redis.store.upkeep().await.unwrap();
    let servers: Vec<String> = redis.server.run(&["ZRANGE", "asynq:servers", "0", "-1"]).await;
    let [server] = &servers[..] else { panic!("{servers:?}") };
    let info: Vec<u8> = redis.server.run(&["GET", server]).await;
    let info = ServerInfo::decode(&*info).unwrap();
    assert_eq!((info.host.as_str(), info.concurrency, info.active_worker_count), ("host", 10, 1));
    assert_eq!((info.status.as_str(), info.queues.get("default")), ("active", Some(&1)));
    let workers: Vec<String> = redis.server.run(&["HKEYS", &server.replace("servers", "workers")]).await;
    assert_eq!(workers, [job.lease.id.to_string()]);
    redis.store.drain();
    redis.store.upkeep().await.unwrap();
    let info: Vec<u8> = redis.server.run(&["GET", server]).await;
    assert_eq!(ServerInfo::decode(&*info).unwrap().status, "closed", "as in asynq while attempts end");
    assert_eq!(redis.server.run::<i64>(&["ZCARD", "asynq:servers"]).await, 1);
    redis.store.close().await;
    assert_eq!(redis.server.run::<i64>(&["ZCARD", "asynq:servers"]).await, 0);
    assert_eq!(redis.server.run::<i64>(&["EXISTS", server]).await, 0);
}

#[tokio::test]
async fn a_push_by_any_client_of_asynq_wakes_a_worker() {
    let redis = in_redis().await;
    assert!(redis.store.lease(&queue(), 1).await.unwrap().is_empty());
    let queue = queue();
    let mut due = redis.store.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending());
    let id = JobId::new();
    redis.go_task(&go_message(id), "pending", &[]).await;
    redis.go_place("pending", id, 0).await;
    tokio::time::timeout(UPKEEP_EVERY * 20, due).await.expect("is told");
    assert_eq!(leased(&redis.store).await.lease.id, id);
}

#[tokio::test]
async fn an_operators_cancel_ends_the_attempt_and_the_job() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let job = leased(&redis.store).await;
    let _heard: i64 = redis.server.run(&["PUBLISH", "asynq:cancel", &job.lease.id.to_string()]).await;
    tokio::time::timeout(Duration::from_secs(20), job.revoked.cancelled()).await.expect("is told");
    let found = found(&redis.store, job.lease.id).await;
    assert_eq!((found.state, found.progress.outcome), (State::Archived, Some(Outcome::Indeterminate)));
}
