//! Limits that several instances share.

use std::collections::HashMap;
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use super::from_go::go_message;
use super::*;
use crate::job::{CredentialHash, JobId, JobRequest, QueueName, State, Verdict};
use crate::pacing::{Fairness, Hold, Pace, PerCredential, QueueLimits, Terms};
use crate::store::contract::{job, lease_ids, limited, request, response};
use crate::store::memory::MemoryStore;
use crate::store::redis::scripts::{LeaseJobs, LeaseWithin};
use crate::store::{HeldBack, LEASE_TERM, LimitedQueues, NewJob, Submitted};

fn of(credential: u8) -> CredentialHash {
    CredentialHash([credential; 32])
}

async fn submitted_of(store: &RedisStore, credentials: &[u8]) -> Vec<JobId> {
    let mut ids = Vec::new();
    for credential in credentials {
        let request = JobRequest { credential: of(*credential), ..request(JobId::new()) };
        ids.push(request.id);
        let job = NewJob { queue: limited(), request, ..job() };
        assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    }
    ids
}

fn terms(limits: QueueLimits) -> Terms {
    Terms { max: 10, limits, running: HashMap::new() }
}

fn at_once(limit: u32) -> QueueLimits {
    QueueLimits { shared_concurrency: NonZeroU32::new(limit), ..QueueLimits::default() }
}

#[tokio::test]
async fn a_rate_holds_over_all_instances() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    submitted_of(&redis.store, &[1; 5]).await;
    let limits = QueueLimits { rate: Some(Pace::steady("60/m".parse().unwrap())), ..QueueLimits::default() };
    let mut begun = 0;
    for store in [&redis.store, &there, &redis.store, &there] {
        let leased = store.lease_within(&limited(), &terms(limits)).await.unwrap();
        begun += leased.jobs.len();
        assert!(matches!(leased.held, Some(Hold::Rate(_))));
    }
    assert_eq!(begun, 1);
    redis.advance(Duration::from_millis(1_021)).await;
    assert_eq!(there.lease_within(&limited(), &terms(limits)).await.unwrap().jobs.len(), 1);
    assert!(redis.store.lease_within(&limited(), &terms(limits)).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_park_holds_at_all_instances_and_each_knows_why_after_a_while() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let ids = submitted_of(&redis.store, &[1, 2]).await;
    redis.store.park(&limited(), of(1), Duration::from_mins(1)).await.unwrap();
    let leased = there.lease_within(&limited(), &terms(QueueLimits::default())).await.unwrap();
    assert_eq!(leased.jobs.iter().map(|job| job.lease.id).collect::<Vec<_>>(), ids[1..]);
    there.upkeep().await.unwrap();
    assert_eq!(there.held_back(&limited(), of(1)), Some(HeldBack::Parked));
    assert_eq!(there.held_back(&limited(), of(2)), None);
    redis.advance(Duration::from_mins(1)).await;
    there.upkeep().await.unwrap();
    assert_eq!(there.held_back(&limited(), of(1)), None);
}

#[tokio::test]
async fn so_many_attempts_run_at_once_over_all_instances() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    submitted_of(&redis.store, &[1; 6]).await;
    let here = redis.store.lease_within(&limited(), &Terms { max: 2, ..terms(at_once(3)) }).await.unwrap();
    assert_eq!((here.jobs.len(), here.held), (2, None));
    let others = there.lease_within(&limited(), &terms(at_once(3))).await.unwrap();
    assert_eq!((others.jobs.len(), others.held), (1, Some(Hold::Limit)));
    assert!(there.lease_within(&limited(), &terms(at_once(3))).await.unwrap().jobs.is_empty());
    redis.store.settle(&here.jobs[0].lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(there.lease_within(&limited(), &terms(at_once(3))).await.unwrap().jobs.len(), 1);
    let more = redis.store.lease_within(&limited(), &terms(at_once(4))).await.unwrap();
    assert_eq!(more.jobs.len(), 1, "a higher limit holds at once");
}

#[tokio::test]
async fn an_attempt_outside_of_the_queue_holds_a_place_until_it_ends_or_its_instance_does() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    submitted_of(&redis.store, &[1; 2]).await;
    let [first, second] = [(); 2].map(|()| Uuid::new_v4());
    let admit = async |place| there.admit(&limited(), of(1), &terms(at_once(1)), place).await.unwrap();
    assert_eq!(admit(first).await, Ok(()));
    assert_eq!(admit(second).await, Err(Hold::Limit));
    let leased = redis.store.lease_within(&limited(), &terms(at_once(1))).await.unwrap();
    assert_eq!((leased.jobs.len(), leased.held), (0, Some(Hold::Limit)));
    for _ in 0..3 {
        redis.advance(LEASE_TERM.mul_f32(0.9)).await;
        there.hold_places(&limited(), &[(first, of(1))]).await.unwrap();
    }
    assert_eq!(admit(second).await, Err(Hold::Limit), "it goes on");
    there.give_place_back(&limited(), (first, of(1))).await.unwrap();
    assert_eq!(admit(second).await, Ok(()));
    redis.advance(LEASE_TERM + Duration::from_millis(1)).await;
    assert_eq!(redis.store.lease_within(&limited(), &terms(at_once(1))).await.unwrap().jobs.len(), 1, "it was lost");
}

#[tokio::test]
async fn the_attempts_of_a_credential_count_over_all_instances_where_those_of_all_do() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    submitted_of(&redis.store, &[1, 1, 1, 2]).await;
    let own = PerCredential { concurrency: NonZeroU32::new(2), rate: None };
    let limits = QueueLimits { per_credential: own, ..at_once(10) };
    let place = Uuid::new_v4();
    assert_eq!(there.admit(&limited(), of(1), &terms(limits), place).await.unwrap(), Ok(()));
    let leased = redis.store.lease_within(&limited(), &terms(limits)).await.unwrap();
    let credentials: Vec<_> = leased.jobs.iter().map(|job| job.request.credential).collect();
    assert_eq!(credentials, [of(1), of(2)]);
    let more = there.admit(&limited(), of(1), &terms(limits), Uuid::new_v4()).await.unwrap();
    assert_eq!(more, Err(Hold::Limit));
    there.give_place_back(&limited(), (place, of(1))).await.unwrap();
    assert_eq!(there.lease_within(&limited(), &terms(limits)).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_hands_out_the_same_jobs_and_uses_up_no_rate() {
    let redis = in_redis().await;
    let ids = submitted_of(&redis.store, &[1; 3]).await;
    let limits = QueueLimits { rate: Some(Pace::steady("60/m".parse().unwrap())), ..QueueLimits::default() };
    let (shared, terms) = (&redis.store.shared, terms(limits));
    let queue = shared.queues.named(limited().as_str());
    for _ in 0..3 {
        let lease = LeaseJobs { max: 10, instance: "one", name: "host:1", order: "7", keys: &Keyring::default() };
        let (leased, _) = shared.commands.call(&queue.keys, LeaseWithin { lease, terms: &terms }).await.unwrap();
        let handed_out: Vec<_> = leased.jobs.into_iter().map(|job| job.unwrap().lease.id).collect();
        assert_eq!(handed_out, [ids[0].to_string()]);
    }
    redis.advance(Duration::from_millis(1_021)).await;
    assert_eq!(redis.store.lease_within(&limited(), &terms).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn a_paused_queue_hands_out_nothing_and_says_why() {
    let redis = in_redis().await;
    submitted_of(&redis.store, &[1]).await;
    let paused = format!("asynq:{{{}}}:paused", limited());
    let _set: String = redis.server.run(&["SET", &paused, "1"]).await;
    let leased = redis.store.lease_within(&limited(), &terms(QueueLimits::default())).await.unwrap();
    assert_eq!((leased.jobs.len(), leased.held), (0, None));
    assert_eq!(redis.store.held_back(&limited(), of(1)), Some(HeldBack::Paused));
    let _gone: i64 = redis.server.run(&["DEL", &paused]).await;
    assert_eq!(redis.store.lease_within(&limited(), &terms(QueueLimits::default())).await.unwrap().jobs.len(), 1);
    assert_eq!(redis.store.held_back(&limited(), of(1)), None);
}

#[tokio::test]
async fn jobs_of_go_have_no_credential_and_begin_like_others() {
    let redis = in_redis().await;
    let id = JobId::new();
    redis.go_task(&go_message(id), "pending", &[("pending_since", "1767225599000000000")]).await;
    redis.go_place("pending", id, 0).await;
    let limits = QueueLimits { fairness: Fairness::Credential, ..QueueLimits::default() };
    let leased = redis.store.lease_within(&queue(), &terms(limits)).await.unwrap();
    assert_eq!(leased.jobs.iter().map(|job| job.lease.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn what_no_limits_hold_back_any_more_is_found_after_a_restart() {
    let redis = in_redis().await;
    let ids = submitted_of(&redis.store, &[1, 1]).await;
    redis.store.park(&limited(), of(1), Duration::from_mins(10)).await.unwrap();
    assert!(redis.store.lease_within(&limited(), &terms(QueueLimits::default())).await.unwrap().jobs.is_empty());
    // The queue of the upstream is the queue of an instance now.
    let options = RedisOptions { queue: limited(), ..options(redis.server.config()) };
    let there = RedisStore::open_by(options, redis.time.clock(), ScriptClock::Chosen).unwrap();
    there.ready().await.unwrap();
    there.upkeep().await.unwrap();
    let found = there.lease(&limited(), 10).await.unwrap();
    assert_eq!(found.iter().map(|job| job.lease.id).collect::<Vec<_>>(), ids);
    assert!(lease_ids(&redis.store, 10).await.is_empty());
    assert_eq!(there.stats(&limited()).await.unwrap().count(State::Active), 2);
}

/// What happens in one run of the comparison.
#[derive(Clone, Debug)]
enum Event {
    Submit(u8),
    Park(u8, u64),
    Ask(usize),
    Admit(u8),
    Cancel(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => (1_u8..5).prop_map(Event::Submit),
        1 => (1_u8..5, 1_u64..400).prop_map(|(credential, span)| Event::Park(credential, span)),
        3 => (1_usize..6).prop_map(Event::Ask),
        1 => (1_u8..5).prop_map(Event::Admit),
        1 => (0_usize..20).prop_map(Event::Cancel),
        3 => (1_u64..150).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..60)
}

fn limits() -> impl Strategy<Value = QueueLimits> {
    // Not a whole number of milliseconds apart, so that none of them is due at the very instant of a question.
    let rate = |per_7_seconds: u32| format!("{per_7_seconds}/7s").parse().unwrap();
    let each =
        (prop::option::of(20_u32..300), prop::option::of(10_u32..200), prop::option::of(1_u32..3), any::<bool>());
    each.prop_map(move |(all, own, at_once, fair)| QueueLimits {
        rate: all.map(rate).map(Pace::steady),
        shared_concurrency: None,
        fairness: if fair { Fairness::Credential } else { Fairness::None },
        per_credential: PerCredential { concurrency: at_once.and_then(NonZeroU32::new), rate: own.map(rate) },
    })
}

/// The script and the rules that stores in this process carry out make the same choices.
#[test]
fn the_script_chooses_as_the_rules_do() {
    const RUNS: u32 = 60;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime.block_on(in_redis());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: RUNS, failure_persistence: None, ..ProptestConfig::default() });
    let compared = runner.run(&(events(), limits()), |(events, limits)| {
        runtime.block_on(compare(&redis, events, limits));
        Ok(())
    });
    compared.unwrap();
}

async fn compare(redis: &InRedis, events: Vec<Event>, limits: QueueLimits) {
    let model = MemoryStore::new(settings(), redis.time.clock());
    // Each run has its own queue, so that it finds nothing of the others.
    let queue = QueueName::new(&format!("default:{}", Uuid::new_v4())).unwrap();
    let stores: [&dyn JobStore; 2] = [&redis.store, &model];
    let mut ids = Vec::new();
    for event in events {
        match event {
            Event::Submit(credential) => {
                // Of two that wait since the same moment, either may be first.
                redis.advance(Duration::from_millis(1)).await;
                let request = JobRequest { credential: of(credential), ..request(JobId::new()) };
                ids.push(request.id);
                for store in stores {
                    let job = NewJob { queue: queue.clone(), request: request.clone(), ..job() };
                    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
                }
            }
            Event::Park(credential, span) => {
                for store in stores {
                    store.park(&queue, of(credential), Duration::from_millis(span)).await.unwrap();
                }
            }
            Event::Ask(max) => {
                let mut answers = Vec::new();
                for store in stores {
                    let leased = store.lease_within(&queue, &Terms { max, ..terms(limits) }).await.unwrap();
                    let ids: Vec<_> = leased.jobs.iter().map(|job| job.lease.id).collect();
                    answers.push((ids, leased.held.map(|held| std::mem::discriminant(&held))));
                }
                assert_eq!(answers[0], answers[1]);
            }
            Event::Admit(credential) => {
                let mut answers = Vec::new();
                for store in stores {
                    let admitted = store.admit(&queue, of(credential), &terms(limits), Uuid::new_v4()).await.unwrap();
                    answers.push(admitted.map_err(|held| std::mem::discriminant(&held)));
                }
                assert_eq!(answers[0], answers[1]);
            }
            Event::Cancel(place) => {
                let Some(id) = ids.get(place) else { continue };
                for store in stores {
                    store.cancel(*id).await.unwrap();
                }
            }
            Event::Pass(span) => redis.advance(Duration::from_millis(span)).await,
        }
    }
}
