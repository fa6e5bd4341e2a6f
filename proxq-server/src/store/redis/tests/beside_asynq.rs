//! Beside servers of asynq, which know nothing of what is ours.

use std::collections::BTreeMap;

use futures_util::poll;
use prost::Message;

use super::super::message::ServerInfo;
use super::from_go::go_message;
use super::layout::{START_SECONDS, key, task};
use super::*;
use crate::job::{JobId, State};
use crate::store::contract::{failure, job, leased, state_of, submitted};
use crate::store::{Instance, InstanceKind, Submitted};

/// The score of a server that does not die during a test, in seconds.
const NEVER: &str = "99999999999";

/// How many failed jobs asynq keeps.
const KEPT: i64 = 9_999;

const NINETY_DAYS: i64 = 90 * 86_400;

impl InRedis {
    /// Registers a server of asynq that works on this queue, as one does.
    pub(super) async fn go_server(&self, queue: &str) {
        let name = "asynq:servers:{go:7:4f4e1a1c-6c0a-4d3e-9d5e-1f7f0a8c2b11}";
        let info = ServerInfo {
            host: "go".to_owned(),
            pid: 7,
            server_id: "4f4e1a1c-6c0a-4d3e-9d5e-1f7f0a8c2b11".to_owned(),
            concurrency: 10,
            queues: BTreeMap::from([(queue.to_owned(), 1)]),
            status: "active".to_owned(),
            ..ServerInfo::default()
        };
        let mut command = redis::cmd("SET");
        command.arg(name).arg(info.encode_to_vec());
        let () = command.query_async(&mut self.server.connection()).await.unwrap();
        let _added: i64 = self.server.run(&["ZADD", "asynq:servers", NEVER, name]).await;
    }

    /// Archives as many tasks as asynq would, each a second after the other, up to now.
    async fn archive(&self, many: i64) {
        let script = "for i = 1, ARGV[2] do \
             redis.call('HSET', KEYS[1] .. 't:' .. i, 'msg', '', 'state', 'archived') \
             redis.call('ZADD', KEYS[1] .. 'archived', ARGV[1] - ARGV[2] + i, i) end";
        let now = START_SECONDS.to_string();
        let () = self.server.run(&["EVAL", script, "1", &key(""), &now, &many.to_string()]).await;
    }

    async fn archived(&self) -> i64 {
        self.server.run(&["ZCARD", &key("archived")]).await
    }

    async fn exists(&self, key: &str) -> bool {
        self.server.run::<i64>(&["EXISTS", key]).await == 1
    }
}

#[tokio::test]
async fn instances_are_those_that_share_a_queue() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    submitted(&there).await;
    leased(&there).await;
    there.upkeep().await.unwrap();
    redis.go_server("default").await;
    let own = redis.store.instances().await.unwrap();
    let seen = |instances: &[Instance]| {
        let mut seen: Vec<_> = instances.iter().map(|one| (one.is_this, one.kind == InstanceKind::Asynq)).collect();
        seen.sort_unstable();
        seen
    };
    assert_eq!(seen(&own), [(false, false), (false, true), (true, false)]);
    let other = own.iter().find(|one| !one.is_this && one.kind == InstanceKind::Proxq).unwrap();
    assert_eq!((other.running, other.begins_jobs, &other.queues[..]), (1, true, &["default".to_owned()][..]));
    assert_eq!(other.name, format!("host:{}", std::process::id()));
    assert_ne!(other.id, own[0].id);
    let go = own.iter().find(|one| one.kind == InstanceKind::Asynq).unwrap();
    assert_eq!((go.name.as_str(), go.concurrency), ("go:7", 10));

    redis.go_server("theirs").await;
    there.close().await;
    assert_eq!(seen(&redis.store.instances().await.unwrap()), [(true, false)], "one ended, one works on other queues");
}

/// A job of ours that failed.
async fn failed(redis: &InRedis) -> JobId {
    let id = submitted(&redis.store).await;
    redis.store.settle(&leased(&redis.store).await.lease, failure()).await.unwrap();
    id
}

#[tokio::test]
async fn failed_jobs_are_as_many_as_asynq_keeps_where_asynq_works() {
    let redis = in_redis().await;
    redis.go_server("default").await;
    redis.archive(KEPT + 205).await; // more than two batches
    let ours = failed(&redis).await;
    assert_eq!(redis.store.upkeep().await.unwrap().expired, 206);
    assert_eq!(redis.archived().await, KEPT);
    assert!(
        !redis.exists(&key("t:206")).await && redis.exists(&key("t:207")).await,
        "the oldest go, with their hashes"
    );
    assert_eq!(state_of(&redis.store, ours).await, Some(State::Archived));
    assert_eq!(redis.store.upkeep().await.unwrap().expired, 0);
}

#[tokio::test]
async fn a_failed_job_of_ours_that_asynq_would_not_keep_leaves_nothing() {
    let redis = in_redis().await;
    redis.go_server("default").await;
    let ours = failed(&redis).await;
    let _ours_is_older: i64 = redis
        .server
        .run(&["ZADD", &key("archived"), &(START_SECONDS - NINETY_DAYS).to_string(), &ours.to_string()])
        .await;
    let kept = failed(&redis).await;
    let second_less = (START_SECONDS - NINETY_DAYS + 1).to_string();
    let _younger: i64 = redis.server.run(&["ZADD", &key("archived"), &second_less, &kept.to_string()]).await;
    assert_eq!(redis.store.upkeep().await.unwrap().expired, 1);
    assert_eq!(state_of(&redis.store, ours).await, None);
    assert_eq!(state_of(&redis.store, kept).await, Some(State::Archived));
    assert_eq!(
        redis.server.run::<Vec<String>>(&["ZRANGE", "proxq:{default}:failed", "0", "-1"]).await,
        [kept.to_string()]
    );
}

#[tokio::test]
async fn failed_jobs_are_kept_for_their_retention_where_asynq_does_not_work() {
    for server in [None, Some("another")] {
        let redis = in_redis().await;
        if let Some(queue) = server {
            redis.go_server(queue).await;
        }
        redis.archive(KEPT + 1).await;
        let _old: i64 = redis.server.run(&["ZADD", &key("archived"), "5", "1"]).await;
        assert_eq!(redis.store.upkeep().await.unwrap().expired, 0);
        assert_eq!(redis.archived().await, KEPT + 1);
    }
}

#[tokio::test]
async fn a_watcher_is_woken_by_a_change_that_nobody_told() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    redis.go_server("default").await;
    let mut watch = redis.store.watch(id).await.unwrap();
    let set = async |state: &str| redis.server.run::<i64>(&["HSET", &task(id), "state", state]).await;
    set("active").await; // before it is looked for the first time
    redis.store.upkeep().await.unwrap();
    assert!(poll!(&mut watch).is_ready());
    let mut watch = redis.store.watch(id).await.unwrap();
    redis.store.upkeep().await.unwrap();
    assert!(poll!(&mut watch).is_pending(), "nothing changed");
    set("completed").await;
    redis.store.upkeep().await.unwrap();
    assert!(poll!(&mut watch).is_ready());
}

/// A job that a worker of Go's runs, under a limit of five minutes.
async fn runs_in_go(redis: &InRedis) -> JobId {
    let id = JobId::new();
    redis.go_task(&go_message(id), "active", &[]).await;
    redis.go_place("active", id, 0).await;
    redis.go_place("lease", id, START_SECONDS + 30).await;
    id
}

#[tokio::test]
async fn what_a_go_worker_leaves_of_a_removed_job_is_removed() {
    let redis = in_redis().await;
    let id = runs_in_go(&redis).await;
    assert!(redis.store.cancel(id).await.unwrap());
    let _late: i64 = redis.server.run(&["HSET", &task(id), "result", "late"]).await;
    redis.advance(Duration::from_mins(5)).await;
    redis.store.upkeep().await.unwrap();
    assert!(redis.exists(&task(id)).await, "its attempt may not have ended yet");
    redis.advance(Duration::from_mins(1)).await;
    redis.store.upkeep().await.unwrap();
    assert!(!redis.exists(&task(id)).await);
    assert!(!redis.exists("proxq:{default}:remnants").await, "and nothing is remembered");
}

#[tokio::test]
async fn a_removed_job_that_was_submitted_again_stays() {
    let redis = in_redis().await;
    let id = runs_in_go(&redis).await;
    assert!(redis.store.cancel(id).await.unwrap());
    let mut again = job();
    again.request.id = id;
    assert!(matches!(redis.store.submit(again).await.unwrap(), Submitted::New));
    redis.advance(Duration::from_hours(1)).await;
    redis.store.upkeep().await.unwrap();
    assert_eq!(state_of(&redis.store, id).await, Some(State::Pending));
}

#[tokio::test]
async fn a_removed_job_that_ran_here_is_not_remembered() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    leased(&redis.store).await;
    assert!(redis.store.cancel(id).await.unwrap());
    assert!(!redis.exists("proxq:{default}:remnants").await);
}

#[tokio::test]
async fn a_full_redis_lets_a_job_be_removed_that_runs_in_go() {
    let redis = in_redis().await;
    let id = runs_in_go(&redis).await;
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(redis.store.cancel(id).await.unwrap());
    assert!(!redis.exists(&task(id)).await);
}
