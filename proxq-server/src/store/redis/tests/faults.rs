//! What Redis does to us: it is away, full, read-only, slow, flushed; and what we make of it.

use tokio::time::Instant;

use super::super::oddities::oddities;
use super::super::scripts::{Rerun, Scripts};
use super::*;
use crate::job::{JobId, State, Verdict};
use crate::store::contract::{found, job, lease_ids, leased, response, state_of, submitted};
use crate::store::{Content, RECLAIM_AFTER_OUTAGE, RENEW_EVERY, Requeued, StoreError, Submitted};

/// Longer than Redis needs to come back.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Tries until it succeeds.
pub(super) async fn in_the_end<T>(step: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match step().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// As if the answer to the last order of jobs had been lost.
async fn forget_the_answer(redis: &InRedis) {
    let key = format!("proxq:{{default}}:order:{}", redis.store.shared.instance.id);
    let order: String = redis.server.run(&["GET", &key]).await;
    let order = order.lines().next().unwrap().to_owned();
    redis.store.shared.leases.answer_lost("default", order);
}

fn not_done(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { may_be_done: false, .. })
}

#[tokio::test]
async fn a_store_opens_while_redis_is_away() {
    let mut server = RedisServer::start().await;
    server.kill();
    let time = ChosenTime::at(START);
    let store = RedisStore::open_by(options(server.config()), time.clock(), ScriptClock::Chosen).unwrap();
    assert!(not_done(&store.ready().await.unwrap_err()));
    assert!(not_done(&store.submit(job()).await.unwrap_err()));
    server.start_again().await;
    server.set_time(START).await;
    in_the_end(|| store.ready()).await;
    submitted(&store).await;
}

#[tokio::test]
async fn jobs_and_leases_outlive_a_crash_of_redis() {
    let mut redis = in_redis().await;
    let running = submitted(&redis.store).await;
    let lease = leased(&redis.store).await.lease;
    let waiting = submitted(&redis.store).await;
    redis.server.kill();
    assert!(matches!(redis.store.get(running).await, Err(StoreError::Unavailable { .. })));
    redis.server.start_again().await;
    in_the_end(|| redis.store.ready()).await;
    assert_eq!(state_of(&redis.store, waiting).await, Some(State::Pending));
    redis.store.settle(&lease, Verdict::Complete(response(200, "kept"))).await.unwrap();
    assert!(matches!(redis.store.response(running).await.unwrap(), Content::Ready(_)));
    assert_eq!(lease_ids(&redis.store, 10).await, [waiting]);
}

#[tokio::test]
async fn a_waiting_worker_is_woken_also_after_a_crash_of_redis() {
    let mut redis = in_redis().await;
    let queue = queue();
    let mut due = redis.store.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending());
    redis.server.kill();
    redis.server.start_again().await;
    let other = open(&redis.server, redis.time).await;
    submitted(&other).await;
    tokio::time::timeout(PATIENCE, due).await.expect("is told");
}

#[tokio::test]
async fn nothing_is_reclaimed_until_redis_has_answered_for_a_while() {
    let mut redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let lease = leased(&redis.store).await.lease;
    redis.server.kill();
    assert!(redis.store.ready().await.is_err());
    redis.server.start_again().await;
    redis.advance(Duration::from_hours(1)).await;
    in_the_end(|| redis.store.ready()).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 0, "its owner had no chance to renew");
    redis.advance(RENEW_EVERY).await;
    assert!(redis.store.renew(&[lease]).await.unwrap().is_empty());
    redis.advance(RECLAIM_AFTER_OUTAGE).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 0);
    redis.advance(Duration::from_mins(1)).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 1);
    assert_eq!(state_of(&redis.store, id).await, Some(State::Pending));
}

#[tokio::test]
async fn scripts_are_loaded_before_they_are_needed() {
    let redis = in_redis().await;
    for script in Scripts::new(ScriptClock::Chosen).all() {
        assert_eq!(redis.server.run::<Vec<i64>>(&["SCRIPT", "EXISTS", &script.sha]).await, [1], "{}", script.name);
    }
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let redis = in_redis().await;
    for _ in 0..2 {
        let () = redis.server.run(&["SCRIPT", "FLUSH"]).await;
        submitted(&redis.store).await;
        let () = redis.server.run(&["SCRIPT", "FLUSH"]).await;
        leased(&redis.store).await;
        let () = redis.server.run(&["SCRIPT", "FLUSH"]).await;
        redis.store.upkeep().await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_connection_is_made_anew() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let watch = redis.store.watch(id).await.unwrap();
    for kind in ["normal", "pubsub"] {
        let mut connection = redis.server.connection();
        let mut command = redis::cmd("CLIENT");
        command.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
        let _killed: i64 = command.query_async(&mut connection).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, watch)
        .await
        .expect("whoever watches looks again, for something may have been missed");
    in_the_end(|| redis.store.ready()).await;
    let watch = redis.store.watch(id).await.unwrap();
    assert_eq!(leased(&redis.store).await.lease.id, id);
    tokio::time::timeout(PATIENCE, watch).await.expect("is told");
}

/// Ends every connection but those of the test.
async fn lose_the_connection(redis: &InRedis) {
    let _killed: i64 = redis.server.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
}

#[tokio::test]
async fn a_silent_connection_that_ended_is_replaced_before_it_is_needed() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let mut connected = redis.store.shared.commands.connected();
    lose_the_connection(&redis).await;
    let again = tokio::time::timeout(PATIENCE, connected.changed()).await;
    again.expect("it is made anew, though nobody asks for anything").unwrap();
    submitted(&redis.store).await; // which is not sent twice
}

#[tokio::test]
async fn what_can_be_repeated_is_repeated_on_a_new_connection() {
    let redis = in_redis().await;
    let store = &redis.store;
    let [read, removed] = [submitted(store).await, submitted(store).await];
    let lease = leased_first(store).await;
    lose_the_connection(&redis).await;
    store.ready().await.unwrap();
    lose_the_connection(&redis).await;
    assert_eq!(state_of(store, read).await, Some(State::Active));
    lose_the_connection(&redis).await;
    assert!(matches!(store.response(read).await.unwrap(), Content::NotReady));
    lose_the_connection(&redis).await;
    let _watch = store.watch(read).await.unwrap();
    lose_the_connection(&redis).await;
    assert!(store.renew(&[lease]).await.unwrap().is_empty());
    lose_the_connection(&redis).await;
    assert!(store.cancel(removed).await.unwrap());
    lose_the_connection(&redis).await;
    assert_eq!(lease_ids(store, 10).await, Vec::<JobId>::new());
    lose_the_connection(&redis).await;
    store.upkeep().await.unwrap();
    lose_the_connection(&redis).await;
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Active), 1);
}

async fn leased_first(store: &RedisStore) -> crate::store::Lease {
    store.lease(&queue(), 1).await.unwrap().pop().expect("a job is due").lease
}

#[tokio::test]
async fn a_repeated_order_to_run_a_failed_job_again_is_carried_out_once() {
    let redis = in_redis().await;
    let shared = &redis.store.shared;
    let fail = async || {
        redis.store.settle(&leased(&redis.store).await.lease, crate::store::contract::failure()).await.unwrap();
    };
    let rerun = async |id: JobId, order: &str| {
        let call = Rerun { id, confirmed: true, order };
        shared.commands.call(&shared.queues.home().keys, call).await.unwrap()
    };
    let id = submitted(&redis.store).await;
    fail().await;
    assert_eq!(rerun(id, "first").await, Requeued::Queued);
    assert_eq!(rerun(id, "first").await, Requeued::Queued, "it is pending");
    fail().await;
    assert_eq!(rerun(id, "first").await, Requeued::Queued, "it was carried out");
    assert_eq!(state_of(&redis.store, id).await, Some(State::Archived), "and is not carried out again");
    assert_eq!(rerun(id, "second").await, Requeued::Queued);
    assert_eq!(rerun(id, "third").await, Requeued::NotFailed);
    assert_eq!(lease_ids(&redis.store, 10).await, [id]);
}

#[tokio::test]
async fn a_flushed_redis_hides_no_new_jobs() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    redis.store.upkeep().await.unwrap();
    let watch = redis.store.watch(id).await.unwrap();
    let key = redis.store.deployment().await.unwrap().credential_key;
    let () = redis.server.run(&["FLUSHALL"]).await;
    redis.server.set_time(START).await;
    redis.store.upkeep().await.unwrap();
    let later = open(&redis.server, redis.time).await;
    assert_eq!(later.deployment().await.unwrap().credential_key, key, "all instances go by the same secrets");
    tokio::time::timeout(PATIENCE, watch).await.expect("is told");
    assert_eq!(state_of(&redis.store, id).await, None);
    let again = submitted(&redis.store).await;
    let shown: Vec<String> = redis.server.run(&["SMEMBERS", "asynq:queues"]).await;
    assert_eq!(shown, ["default"]);
    let token = leased(&redis.store).await.lease.token;
    assert!(token > 1_000_000, "tokens do not begin anew: {token}");
    assert_eq!(state_of(&redis.store, again).await, Some(State::Active));
}

#[tokio::test]
async fn a_submission_whose_answer_was_lost_is_not_doubled() {
    let redis = in_redis().await;
    submitted(&redis.store).await; // knows the script
    let () = redis.server.run(&["CLIENT", "PAUSE", "4000", "WRITE"]).await;
    let job = job();
    let unknown = redis.store.submit(job.clone()).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Unavailable { may_be_done: true, .. }), "{unknown:?}");
    let () = redis.server.run(&["CLIENT", "UNPAUSE"]).await;
    let again = in_the_end(|| redis.store.submit(job.clone())).await;
    assert!(matches!(again, Submitted::New | Submitted::Existing(_)));
    let jobs = lease_ids(&redis.store, 10).await;
    assert_eq!(jobs.iter().filter(|id| **id == job.request.id).count(), 1);
    assert_eq!(jobs.len(), 2);
}

#[tokio::test]
async fn jobs_whose_answer_was_lost_are_handed_out_again() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let first = leased(&redis.store).await;
    forget_the_answer(&redis).await;
    let again = leased(&redis.store).await;
    assert_eq!((again.lease, again.progress.attempts), (first.lease, 1), "one lease, one attempt");
    assert!(lease_ids(&redis.store, 1).await.is_empty(), "and then no more");
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_repeated_also_after_one_that_failed_for_certain() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let first = leased(&redis.store).await;
    forget_the_answer(&redis).await;
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(matches!(redis.store.lease(&queue(), 1).await, Err(StoreError::Full { .. })));
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let again = leased(&redis.store).await;
    assert_eq!((again.lease, again.progress.attempts), (first.lease, 1), "one lease, one attempt");
}

#[tokio::test]
async fn a_full_redis_refuses_and_loses_nothing() {
    let redis = in_redis().await;
    let running = submitted(&redis.store).await;
    let lease = leased(&redis.store).await.lease;
    let waiting = submitted(&redis.store).await;
    let before: Vec<String> = redis.server.run(&["KEYS", "asynq:*"]).await;
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;

    assert!(matches!(redis.store.submit(job()).await, Err(StoreError::Full { .. })));
    assert!(matches!(redis.store.lease(&queue(), 1).await, Err(StoreError::Full { .. })));
    assert!(matches!(redis.store.renew(&[lease]).await, Err(StoreError::Full { .. })));
    for verdict in [
        Verdict::Complete(response(200, "ok")),
        Verdict::Release,
        crate::store::contract::failure(),
        crate::store::contract::retry_after(Duration::from_secs(1)),
    ] {
        assert!(matches!(redis.store.settle(&lease, verdict).await, Err(StoreError::Full { .. })));
    }
    assert!(matches!(redis.store.ready().await, Err(StoreError::Full { .. })));
    assert_eq!(found(&redis.store, running).await.state, State::Active, "it can be read");
    let mut after: Vec<String> = redis.server.run(&["KEYS", "asynq:*"]).await;
    let mut before = before;
    before.sort();
    after.sort();
    assert_eq!(after, before, "what is refused changes nothing");
    let order: Vec<String> = redis.server.run(&["LRANGE", "asynq:{default}:pending", "0", "-1"]).await;
    assert_eq!(order, [waiting.to_string()]);

    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    redis.store.settle(&lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(lease_ids(&redis.store, 1).await, [waiting]);
}

#[tokio::test]
async fn a_full_redis_lets_jobs_be_cancelled() {
    let redis = in_redis().await;
    let waiting = submitted(&redis.store).await;
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(redis.store.cancel(waiting).await.unwrap());
    assert_eq!(state_of(&redis.store, waiting).await, None);
}

#[tokio::test]
async fn a_replica_takes_nothing() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let () = redis.server.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(not_done(&redis.store.submit(job()).await.unwrap_err()));
    assert!(not_done(&redis.store.ready().await.unwrap_err()));
    let () = redis.server.run(&["REPLICAOF", "NO", "ONE"]).await;
    in_the_end(|| redis.store.ready()).await;
    assert_eq!(lease_ids(&redis.store, 10).await, [id]);
}

#[tokio::test]
async fn damage_is_found_out_and_not_served() {
    let redis = in_redis().await;
    let id = submitted(&redis.store).await;
    let lease = leased(&redis.store).await.lease;
    redis.store.settle(&lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let task = format!("asynq:{{default}}:t:{id}");
    let _: i64 = redis.server.run(&["HSET", &task, "result", r#"{"statusCode":200,"body":"b2c="}"#]).await;
    assert!(matches!(redis.store.response(id).await, Err(StoreError::CorruptJob { id: of, .. }) if of == id));

    let request = submitted(&redis.store).await;
    let task = format!("asynq:{{default}}:t:{request}");
    let _: i64 = redis.server.run(&["HSET", &task, "x_facts", "\u{1}nonsense"]).await;
    assert_eq!(lease_ids(&redis.store, 10).await, Vec::<JobId>::new(), "it is not sent");
    assert!(matches!(redis.store.get(request).await, Err(StoreError::CorruptJob { .. })));
    assert_eq!(redis.store.stats(&queue()).await.unwrap().count(State::Archived), 1);
}

#[tokio::test]
async fn what_is_odd_about_a_server_is_said() {
    let redis = in_redis().await;
    assert_eq!(oddities(&redis.store.shared).await.unwrap(), Vec::<String>::new());
    let () = redis.server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let () = redis.server.run(&["CONFIG", "SET", "appendonly", "no"]).await;
    let odd = oddities(&redis.store.shared).await.unwrap();
    assert!(odd[0].contains("maxmemory-policy is allkeys-lru") && odd[1].contains("saves nothing to disk"), "{odd:?}");
}
