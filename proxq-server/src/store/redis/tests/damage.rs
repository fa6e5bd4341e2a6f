//! Fields and keys that are not what proxq or asynq wrote.

use super::super::fields::outcome_number;
use super::super::message::TaskMessage;
use super::faults::PATIENCE;
use super::from_go::go_message;
use super::layout::{key, task};
use super::*;
use crate::job::{JobId, Outcome, State, Verdict};
use crate::store::contract::{failure, job, job_in, lease_ids, leased, response, state_of, submitted};
use crate::store::{Claim, JobOrder, NewJob, Requeued, StoreError, Submitted};

fn is_corrupt<T>(read: &Result<T, StoreError>, of: JobId, part: &str) -> bool {
    matches!(read, Err(StoreError::CorruptJob { id, what }) if *id == of && *what == part)
}

impl InRedis {
    async fn set(&self, id: JobId, field: &str, value: &str) {
        let _added: i64 = self.server.run(&["HSET", &task(id), field, value]).await;
    }

    /// All members of a list or a set of asynq's.
    async fn ids(&self, name: &str) -> Vec<String> {
        let range = if matches!(name, "pending" | "active") { "LRANGE" } else { "ZRANGE" };
        self.server.run(&[range, &key(name), "0", "-1"]).await
    }
}

#[tokio::test]
async fn a_state_that_is_none_is_damage_in_every_state() {
    let redis = in_redis().await;
    let store = &redis.store;
    for state in State::ALL {
        for damage in [&["HSET", "state", "nonsense"][..], &["HSET", "state", ""], &["HDEL", "state"]] {
            let id = job_in(store, state).await;
            let task = task(id);
            let words = [&[damage[0], &task], &damage[1..]].concat();
            let _changed: i64 = redis.server.run(&words).await;
            assert!(is_corrupt(&store.get(id).await, id, "state"), "{state:?} {damage:?}");
            assert!(is_corrupt(&store.response(id).await, id, "state"), "{state:?} {damage:?}");
            assert!(is_corrupt(&store.retry_failed(id, true).await, id, "state"), "{state:?} {damage:?}");
            assert!(
                store.list(&queue(), state, JobOrder::OldestFirst, None, 10).await.unwrap().jobs.is_empty(),
                "it is left out"
            );
            assert!(store.cancel(id).await.unwrap(), "{state:?} {damage:?}");
            assert_eq!(state_of(store, id).await, None);
            for place in ["pending", "active", "lease", "scheduled", "retry", "completed", "archived"] {
                assert_eq!(redis.ids(place).await, Vec::<String>::new(), "{place} after {state:?} {damage:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_has_no_message_is_no_job() {
    let redis = in_redis().await;
    let id = JobId::new();
    redis.set(id, "state", "active").await; // as asynq leaves it where it finds no task
    redis.set(id, "result", "{}").await;
    assert_eq!(state_of(&redis.store, id).await, None);
    assert!(!redis.store.cancel(id).await.unwrap());
}

#[tokio::test]
async fn a_task_of_go_that_cannot_be_read_is_damaged() {
    let redis = in_redis().await;
    let store = &redis.store;
    let [message, request, foreign] = [(); 3].map(|()| JobId::new());
    redis.go_task(&go_message(message), "pending", &[]).await;
    redis.set(message, "msg", "\u{1}nonsense").await;
    redis.go_task(&TaskMessage { payload: "{".into(), ..go_message(request) }, "pending", &[]).await;
    redis.go_task(&TaskMessage { kind: "email:send".to_owned(), ..go_message(foreign) }, "pending", &[]).await;
    assert!(is_corrupt(&store.get(message).await, message, "message"));
    assert!(is_corrupt(&store.get(request).await, request, "request"));
    assert_eq!(state_of(store, foreign).await, None, "it is no job of proxq's");
}

#[tokio::test]
async fn damaged_jobs_do_not_stand_in_the_way_of_others() {
    let redis = in_redis().await;
    let store = &redis.store;
    let fields = ["x_attempts", "x_retried", "x_losses", "x_started", "x_attempt", "x_reach", "x_outcome", "x_facts"];
    let mut damaged = Vec::new();
    for field in fields {
        // A record whose first byte is a later version's would be left to that version.
        for value in ["\u{1}nonsense", ""] {
            let id = submitted(store).await;
            redis.set(id, field, value).await;
            assert!(matches!(store.get(id).await, Err(StoreError::CorruptJob { .. })), "{field} {value:?}");
            damaged.push((id, field));
        }
    }
    let no_hash = submitted(store).await;
    let _removed: i64 = redis.server.run(&["DEL", &task(no_hash)]).await;
    let () = redis.server.run(&["SET", &task(no_hash), "nonsense"]).await;
    assert!(is_corrupt(&store.get(no_hash).await, no_hash, "hash"));
    let whole = submitted(store).await;
    assert_eq!(lease_ids(store, 100).await.last(), Some(&whole));
    store.upkeep().await.unwrap();
    let overwritten = ["x_attempt"]; // by the attempt that begins
    for (id, field) in damaged.iter().filter(|(_, field)| !overwritten.contains(field)) {
        assert!(redis.ids("archived").await.contains(&id.to_string()), "{field}: it is given up");
        if *field != "x_outcome" && *field != "x_reach" {
            assert!(matches!(store.get(*id).await, Err(StoreError::CorruptJob { .. })), "{field}: it stays as it is");
        }
        if *field != "x_facts" {
            assert_eq!(store.retry_failed(*id, false).await.unwrap(), Requeued::MayDuplicate, "{field}");
        }
        assert!(store.cancel(*id).await.unwrap());
    }
    assert_eq!(redis.server.run::<String>(&["GET", &task(no_hash)]).await, "nonsense", "it is left alone");
}

#[tokio::test]
async fn a_damaged_job_that_cannot_be_set_aside_yet_strands_no_other() {
    let redis = in_redis().await;
    let store = &redis.store;
    let [damaged, whole] = [submitted(store).await, submitted(store).await];
    redis.set(damaged, "x_facts", "\u{1}nonsense").await;
    let () = redis.server.run(&["SET", &key("archived"), "nonsense"]).await;
    assert_eq!(lease_ids(store, 10).await, [whole]);
    assert_eq!(redis.ids("active").await.len(), 2, "it is not set aside yet");
    let set_aside = store.watch(damaged).await.unwrap();
    let _removed: i64 = redis.server.run(&["DEL", &key("archived")]).await;
    tokio::time::timeout(PATIENCE, set_aside).await.expect("it is tried again");
    assert_eq!(redis.ids("archived").await, [damaged.to_string()]);
    let outcome: u8 = redis.server.run(&["HGET", &task(damaged), "x_outcome"]).await;
    assert_eq!(outcome, outcome_number(Outcome::NotSent));
}

#[tokio::test]
async fn a_damaged_job_that_was_never_sent_frees_its_claim() {
    let redis = in_redis().await;
    let store = &redis.store;
    let claim = Claim { scope: [1; 32], fingerprint: [2; 32], ttl: Duration::from_mins(1) };
    let claiming = || NewJob { claim: Some(claim), ..job() };
    let first = claiming();
    assert_eq!(store.submit(first.clone()).await.unwrap(), Submitted::New);
    redis.set(first.request.id, "x_secrets", "nonsense").await;
    assert!(lease_ids(store, 10).await.is_empty());
    assert_eq!(state_of(store, first.request.id).await, Some(State::Archived));
    assert_eq!(store.submit(claiming()).await.unwrap(), Submitted::New);
}

#[tokio::test]
async fn what_became_another_kind_of_key_while_it_ran_loses_its_lease_alone() {
    let redis = in_redis().await;
    let store = &redis.store;
    let [lost, kept] = [submitted(store).await, submitted(store).await];
    let leases: Vec<_> = store.lease(&queue(), 2).await.unwrap().into_iter().map(|job| job.lease).collect();
    let _removed: i64 = redis.server.run(&["DEL", &task(lost)]).await;
    let () = redis.server.run(&["SET", &task(lost), "nonsense"]).await;
    assert_eq!(store.renew(&leases).await.unwrap(), leases[..1]);
    let settled = store.settle(&leases[0], Verdict::Release).await;
    assert!(matches!(settled, Err(StoreError::LeaseLost { .. })), "{settled:?}");
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, kept).await, Some(State::Active));
}

#[tokio::test]
async fn a_store_of_which_no_job_can_be_had_is_not_ready() {
    for name in ["pending", "active", "lease", "scheduled", "retry"] {
        let redis = in_redis().await;
        let store = &redis.store;
        let held = submitted(store).await;
        let lease = leased(store).await.lease;
        let id = if name == "pending" { held } else { submitted(store).await };
        let (key, aside) = (key(name), "aside");
        let _moved: Option<String> = match redis.server.run::<i64>(&["EXISTS", &key]).await {
            0 => None,
            _ => redis.server.run(&["RENAME", &key, aside]).await,
        };
        let () = redis.server.run(&["SET", &key, "nonsense"]).await;
        let before = redis.hash(id).await;

        let refused = store.ready().await.unwrap_err();
        let StoreError::Unavailable { may_be_done: false, source } = refused else { panic!("{refused:?}") };
        let said = source.to_string();
        assert!(said.contains(&format!("{key} is of the type string")), "{said}");
        assert!(store.lease(&queue(), 10).await.is_err(), "{name}");
        let unsettled = match name {
            "pending" => Some(Verdict::Release),
            "retry" => Some(crate::store::contract::retry_after(Duration::from_secs(1))),
            _ => None,
        };
        if let Some(verdict) = unsettled {
            assert!(store.settle(&lease, verdict).await.is_err(), "{name}");
        }
        if name == "pending" {
            let new = job();
            let new_id = new.request.id;
            assert!(store.submit(new).await.is_err());
            assert_eq!(redis.server.run::<i64>(&["EXISTS", &task(new_id)]).await, 0, "nothing of it is stored");
        }
        assert_eq!(redis.hash(id).await, before, "{name}: what fails changes nothing");

        let _removed: i64 = redis.server.run(&["DEL", &key]).await;
        if redis.server.run::<i64>(&["EXISTS", aside]).await == 1 {
            let _back: String = redis.server.run(&["RENAME", aside, &key]).await;
        }
        store.ready().await.unwrap();
        store.settle(&lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
        if name != "pending" {
            assert_eq!(lease_ids(store, 10).await, [id], "{name}");
        }
    }
}

#[tokio::test]
async fn a_probe_takes_no_order_back() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let job = leased(&redis.store).await;
    redis.store.ready().await.unwrap();
    let order: String =
        redis.server.run(&["GET", &format!("proxq:{{default}}:order:{}", redis.store.shared.instance.id)]).await;
    assert!(order.contains(&job.lease.id.to_string()), "it is still known: {order:?}");
    redis.store.settle(&job.lease, failure()).await.unwrap();
}
