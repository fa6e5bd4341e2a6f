//! Queues with limits.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;

use futures_util::future::BoxFuture;
use futures_util::poll;
use uuid::Uuid;

use super::*;
use crate::job::TimeBounds;
use crate::pacing::{Fairness, Hold, Pace, PerCredential, QueueLimits, Rate, Terms};
use crate::store::{HeldBack, Leased, Requeued};

/// A queue with limits.
pub(in super::super) fn limited() -> QueueName {
    QueueName::new("default:api").unwrap()
}

fn of(credential: u8) -> CredentialHash {
    CredentialHash([credential; 32])
}

/// A job of a credential.
fn job_of(credential: u8) -> NewJob {
    let request = JobRequest { credential: of(credential), ..request(JobId::new()) };
    NewJob { queue: limited(), request, ..job() }
}

/// Submits jobs of these credentials, a millisecond apart.
async fn submitted_of(backend: &impl Backend, credentials: &[u8]) -> Vec<JobId> {
    let mut ids = Vec::new();
    for credential in credentials {
        let job = job_of(*credential);
        ids.push(job.request.id);
        assert_eq!(backend.store().submit(job).await.unwrap(), Submitted::New);
        backend.advance(Duration::from_millis(1)).await;
    }
    ids
}

fn terms(max: usize, limits: QueueLimits) -> Terms {
    Terms { max, limits, running: HashMap::new() }
}

pub(super) async fn asked(store: &dyn JobStore, max: usize, limits: QueueLimits) -> Leased {
    store.lease_within(&limited(), &terms(max, limits)).await.unwrap()
}

async fn begun(store: &dyn JobStore, max: usize, limits: QueueLimits) -> Vec<JobId> {
    asked(store, max, limits).await.jobs.iter().map(|job| job.lease.id).collect()
}

fn pick(ids: &[JobId], places: &[usize]) -> Vec<JobId> {
    places.iter().map(|place| ids[*place]).collect()
}

pub(super) const NONE: QueueLimits = QueueLimits {
    rate: None,
    shared_concurrency: None,
    fairness: Fairness::None,
    per_credential: PerCredential { concurrency: None, rate: None },
};

pub(super) fn at_rate(text: &str) -> QueueLimits {
    QueueLimits { rate: Some(Pace::steady(text.parse().unwrap())), ..NONE }
}

pub(in super::super) async fn without_limits_jobs_begin_by_priority_and_age(backend: &mut impl Backend) {
    let mut expected = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Normal, Priority::High] {
        let mut job = job_of(1);
        job.request.priority = priority;
        expected.push((priority, job.request.id));
        backend.store().submit(job).await.unwrap();
        backend.advance(Duration::from_millis(1)).await;
    }
    expected.sort_by_key(|(priority, _)| *priority);
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let store = backend.store();
    assert_eq!(begun(store, 2, NONE).await, expected[..2]);
    let rest = asked(store, 10, NONE).await;
    assert_eq!(rest.jobs.iter().map(|job| job.lease.id).collect::<Vec<_>>(), expected[2..]);
    assert_eq!(rest.held, None);
    assert!(begun(store, 10, NONE).await.is_empty());
}

pub(in super::super) async fn a_parked_credential_holds_up_nobody_else(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 1, 2, 1, 2]).await;
    let store = backend.store();
    store.park(&limited(), of(1), Duration::from_mins(1)).await.unwrap();
    assert_eq!(store.held_back(&limited(), of(1)), Some(HeldBack::Parked));
    assert_eq!(store.held_back(&limited(), of(2)), None);
    assert_eq!(begun(store, 10, NONE).await, pick(&ids, &[2, 4]));
    for id in pick(&ids, &[0, 1, 3]) {
        assert_eq!(state_of(store, id).await, Some(State::Pending), "it waits as before");
    }
    let later = submitted_of(backend, &[1, 2]).await;
    assert_eq!(begun(store, 10, NONE).await, later[1..]);
}

pub(in super::super) async fn parked_jobs_begin_in_their_old_order(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 2, 1, 1]).await;
    let store = backend.store();
    store.park(&limited(), of(1), Duration::from_secs(10)).await.unwrap();
    assert_eq!(begun(store, 10, NONE).await, ids[1..2]);
    let later = submitted_of(backend, &[2, 1]).await;
    backend.advance(Duration::from_secs(10)).await;
    assert_eq!(begun(store, 2, NONE).await, pick(&ids, &[0, 2]));
    let mut rest = ids[3..].to_vec();
    rest.extend(later);
    assert_eq!(begun(store, 10, NONE).await, rest);
    assert_eq!(store.held_back(&limited(), of(1)), None);
}

/// Asks for jobs where none may begin, until the worker waits. A wake-up that was on its way is no harm.
async fn worker_without_work<'a>(store: &'a dyn JobStore, queue: &'a QueueName) -> BoxFuture<'a, ()> {
    for _ in 0..5 {
        assert!(begun(store, 10, NONE).await.is_empty());
        let mut due = store.due(queue);
        if poll!(&mut due).is_pending() {
            return due;
        }
    }
    panic!("the worker is woken again and again");
}

pub(in super::super) async fn a_worker_is_woken_when_a_park_is_over(backend: &mut impl Backend) {
    let store = backend.store();
    let ids = submitted_of(backend, &[1]).await;
    store.park(&limited(), of(1), Duration::from_secs(5)).await.unwrap();
    let queue = limited();
    let due = worker_without_work(store, &queue).await;
    backend.advance(Duration::from_secs(5)).await;
    tokio::time::timeout(Duration::from_secs(20), due).await.expect("it is told");
    assert_eq!(begun(store, 10, NONE).await, ids);
}

pub(in super::super) async fn a_park_is_never_made_shorter(backend: &mut impl Backend) {
    let store = backend.store();
    submitted_of(backend, &[1]).await;
    for seconds in [60, 5] {
        store.park(&limited(), of(1), Duration::from_secs(seconds)).await.unwrap();
        assert!(begun(store, 10, NONE).await.is_empty());
    }
    backend.advance(Duration::from_secs(59)).await;
    assert!(begun(store, 10, NONE).await.is_empty());
    backend.advance(Duration::from_secs(1)).await;
    assert_eq!(begun(store, 10, NONE).await.len(), 1);
}

pub(in super::super) async fn credentials_take_turns(backend: &mut impl Backend) {
    let limits = QueueLimits { fairness: Fairness::Credential, ..NONE };
    let ids = submitted_of(backend, &[1, 1, 1, 1, 2, 2, 3]).await;
    let store = backend.store();
    let jobs = asked(store, 4, limits).await.jobs;
    let first: Vec<_> = jobs.iter().map(|job| job.request.credential.0[0]).collect();
    assert_eq!(first[..3].iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "each has one: {first:?}");
    let rest = begun(store, 10, limits).await;
    let all: Vec<_> = jobs.iter().map(|job| job.lease.id).chain(rest).collect();
    for own in [&ids[..4], &ids[4..6], &ids[6..]] {
        let order: Vec<_> = all.iter().filter(|id| own.contains(id)).copied().collect();
        assert_eq!(order, own, "those of one credential by age");
    }
    assert_eq!(all[5..], ids[2..4], "whoever has most is last");
}

pub(in super::super) async fn a_rate_is_kept_and_says_when_it_lets_more_begin(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1; 5]).await;
    let store = backend.store();
    let limits = at_rate("60/m");
    let leased = asked(store, 10, limits).await;
    assert_eq!(leased.jobs[0].lease.id, ids[0]);
    assert_eq!(leased.jobs.len(), 1);
    assert!(matches!(leased.held, Some(Hold::Rate(_))), "{:?}", leased.held);
    backend.advance(Duration::from_millis(900)).await;
    assert!(begun(store, 10, limits).await.is_empty(), "it is too early");
    for id in &ids[1..4] {
        backend.advance(Duration::from_millis(1_021)).await;
        assert_eq!(begun(store, 10, limits).await, [*id]);
    }
    backend.advance(Duration::from_mins(10)).await;
    submitted_of(backend, &[1; 5]).await;
    assert_eq!(begun(store, 10, limits).await, ids[4..], "what was not used is not saved up");
}

pub(in super::super) async fn another_rate_holds_at_once(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1; 3]).await;
    let store = backend.store();
    assert_eq!(begun(store, 10, at_rate("1/h")).await, ids[..1]);
    backend.advance(Duration::from_mins(1)).await;
    assert!(begun(store, 10, at_rate("1/h")).await.is_empty());
    assert!(begun(store, 10, at_rate("2/m")).await.is_empty());
    backend.advance(Duration::from_secs(31)).await;
    assert_eq!(begun(store, 10, at_rate("2/m")).await, ids[1..2]);
    assert!(begun(store, 10, at_rate("2/m")).await.is_empty());
    assert_eq!(begun(store, 10, NONE).await, ids[2..]);
}

pub(in super::super) async fn a_burst_begins_at_once(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1; 6]).await;
    let store = backend.store();
    let rate: Rate = "60/m".parse().unwrap();
    let limits = QueueLimits { rate: Some(Pace { rate, burst: NonZeroU32::new(3).unwrap() }), ..NONE };
    assert_eq!(begun(store, 10, limits).await, ids[..3]);
    assert!(begun(store, 10, limits).await.is_empty());
    backend.advance(Duration::from_mins(1)).await;
    assert_eq!(begun(store, 10, limits).await, ids[3..]);
}

pub(in super::super) async fn each_credential_has_its_rate(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 1, 1, 2, 2]).await;
    let store = backend.store();
    let own = PerCredential { rate: Some("60/m".parse().unwrap()), concurrency: None };
    let limits = QueueLimits { per_credential: own, ..NONE };
    let leased = asked(store, 10, limits).await;
    let first: Vec<_> = leased.jobs.iter().map(|job| job.lease.id).collect();
    assert_eq!((first, leased.held), (pick(&ids, &[0, 3]), None));
    backend.advance(Duration::from_millis(1_021)).await;
    assert_eq!(begun(store, 10, limits).await, pick(&ids, &[1, 4]));
    backend.advance(Duration::from_millis(1_021)).await;
    assert_eq!(begun(store, 10, limits).await, pick(&ids, &[2]));
}

pub(in super::super) async fn another_rate_of_each_credential_holds_at_once(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 1, 1, 2]).await;
    let store = backend.store();
    let at_rate = |text: &str| {
        let own = PerCredential { rate: Some(text.parse().unwrap()), concurrency: None };
        QueueLimits { per_credential: own, ..NONE }
    };
    store.park(&limited(), of(2), Duration::from_mins(1)).await.unwrap();
    assert_eq!(begun(store, 10, at_rate("1/h")).await, ids[..1]);
    backend.advance(Duration::from_secs(1)).await;
    assert!(begun(store, 10, at_rate("1/h")).await.is_empty());
    assert!(begun(store, 10, at_rate("60/m")).await.is_empty());
    backend.advance(Duration::from_millis(1_021)).await;
    assert_eq!(begun(store, 10, at_rate("60/m")).await, ids[1..2]);
    assert_eq!(begun(store, 10, NONE).await, ids[2..3], "what is parked stays parked");
    backend.advance(Duration::from_mins(1)).await;
    assert_eq!(begun(store, 10, NONE).await, ids[3..]);
}

pub(in super::super) async fn each_credential_has_its_attempts_at_once(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 1, 1, 2, 2, 2]).await;
    let store = backend.store();
    let own = PerCredential { concurrency: NonZeroU32::new(2), rate: None };
    let limits = QueueLimits { per_credential: own, ..NONE };
    let running = HashMap::from([(of(1), 1)]);
    let leased = store.lease_within(&limited(), &Terms { max: 10, limits, running }).await.unwrap();
    let first: Vec<_> = leased.jobs.iter().map(|job| job.lease.id).collect();
    assert_eq!((first, leased.held), (pick(&ids, &[0, 3, 4]), None));
    let running = HashMap::from([(of(1), 2), (of(2), 1)]);
    let leased = store.lease_within(&limited(), &Terms { max: 10, limits, running }).await.unwrap();
    assert_eq!(leased.jobs.iter().map(|job| job.lease.id).collect::<Vec<_>>(), pick(&ids, &[5]));
    assert_eq!(begun(store, 10, limits).await, pick(&ids, &[1, 2]));
}

pub(in super::super) async fn an_attempt_outside_of_the_queue_counts(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 2]).await;
    let store = backend.store();
    let own = PerCredential { concurrency: None, rate: Some("1/m".parse().unwrap()) };
    let limits = QueueLimits { per_credential: own, ..at_rate("60/m") };
    let admit =
        async |credential| store.admit(&limited(), of(credential), &terms(1, limits), Uuid::new_v4()).await.unwrap();
    assert_eq!(admit(1).await, Ok(()));
    assert!(matches!(admit(2).await, Err(Hold::Rate(_))), "the rate of all");
    assert!(begun(store, 10, limits).await.is_empty());
    backend.advance(Duration::from_millis(1_021)).await;
    assert!(matches!(admit(1).await, Err(Hold::Rate(_))), "its own rate");
    assert_eq!(begun(store, 10, limits).await, ids[1..]);
    backend.advance(Duration::from_secs(62)).await;
    store.park(&limited(), of(1), Duration::from_mins(1)).await.unwrap();
    assert_eq!(admit(1).await, Ok(()), "its client wants the upstream's own word");
}

pub(in super::super) async fn a_filed_job_is_counted_listed_and_cancelled(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 1, 1, 2]).await;
    let store = backend.store();
    store.park(&limited(), of(1), Duration::from_secs(10)).await.unwrap();
    assert_eq!(begun(store, 10, NONE).await, ids[3..]);
    let unfiled = submitted_of(backend, &[2]).await;
    assert_eq!(store.stats(&limited()).await.unwrap().count(State::Pending), 4);
    let mut ends = Vec::new();
    for order in JobOrder::ALL {
        let list = List { queue: limited(), page: 1, ..List::of(store, State::Pending, order) };
        let listed = in_order(order, list.from(None).await);
        ends.push(listed.clone());
        assert_eq!(BTreeSet::from_iter(listed), ids[..3].iter().chain(&unfiled).copied().collect(), "{order:?}");
    }
    assert_eq!(ends[0], ends[1], "the same from both ends");
    assert!(store.cancel(ids[1]).await.unwrap());
    assert_eq!(store.stats(&limited()).await.unwrap().count(State::Pending), 3);
    backend.advance(Duration::from_secs(10)).await;
    assert_eq!(begun(store, 10, NONE).await, [ids[0], ids[2], unfiled[0]]);
}

pub(in super::super) async fn a_filed_job_expires(backend: &mut impl Backend) {
    let mut job = job_of(1);
    job.request.bounds = TimeBounds { start_within: Some(Duration::from_secs(5)), deadline: None };
    let id = job.request.id;
    let store = backend.store();
    store.submit(job).await.unwrap();
    store.park(&limited(), of(1), Duration::from_mins(1)).await.unwrap();
    assert!(begun(store, 10, NONE).await.is_empty());
    backend.advance(Duration::from_secs(6)).await;
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, id).await, Some(State::Archived));
    backend.advance(Duration::from_mins(1)).await;
    assert!(begun(store, 10, NONE).await.is_empty());
    assert_eq!(store.stats(&limited()).await.unwrap().count(State::Pending), 0);
}

pub(in super::super) async fn a_filed_job_that_has_expired_can_be_run(backend: &mut impl Backend) {
    let mut job = job_of(1);
    job.request.bounds = TimeBounds { start_within: Some(Duration::from_secs(5)), deadline: None };
    let id = job.request.id;
    let store = backend.store();
    store.submit(job).await.unwrap();
    store.park(&limited(), of(1), Duration::from_secs(6)).await.unwrap();
    assert!(begun(store, 10, NONE).await.is_empty());
    backend.advance(Duration::from_secs(7)).await;
    assert!(begun(store, 10, NONE).await.is_empty());
    assert_eq!(state_of(store, id).await, Some(State::Archived));
    assert_eq!(store.retry_failed(id, false).await.unwrap(), Requeued::Queued);
    assert_eq!(begun(store, 10, NONE).await, [id]);
}

pub(in super::super) async fn nobody_is_woken_for_a_park_whose_jobs_are_gone(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1]).await;
    let store = backend.store();
    let queue = limited();
    store.park(&limited(), of(1), Duration::from_secs(5)).await.unwrap();
    assert!(begun(store, 10, NONE).await.is_empty());
    assert!(store.cancel(ids[0]).await.unwrap());
    backend.advance(Duration::from_secs(6)).await;
    drop(worker_without_work(store, &queue).await);
}

pub(in super::super) async fn credentials_take_turns_after_a_restart_and_a_change(backend: &mut impl Backend) {
    let limits = QueueLimits { fairness: Fairness::Credential, ..NONE };
    submitted_of(backend, &[1, 1, 1, 1, 1, 1, 1, 1, 2, 2]).await;
    let ended = async |store: &dyn JobStore, limits| {
        let job = asked(store, 1, limits).await.jobs.pop().unwrap();
        store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
        job.request.credential.0[0]
    };
    ended(backend.store(), limits).await;
    backend.reopen().await;
    let first = [ended(backend.store(), limits).await, ended(backend.store(), limits).await];
    assert!(first.contains(&1) && first.contains(&2), "{first:?}");
    assert_eq!(ended(backend.store(), NONE).await, 1, "the oldest");
    let again = [ended(backend.store(), limits).await, ended(backend.store(), limits).await];
    assert!(again.contains(&1) && again.contains(&2), "{again:?}");
}

pub(in super::super) async fn filed_jobs_outlive_a_restart(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 2, 1]).await;
    let store = backend.store();
    store.park(&limited(), of(1), Duration::from_secs(1)).await.unwrap();
    let other = asked(store, 10, NONE).await.jobs.pop().unwrap();
    assert_eq!(other.lease.id, ids[1]);
    store.settle(&other.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    backend.reopen().await;
    backend.advance(Duration::from_secs(1)).await;
    assert_eq!(begun(backend.store(), 10, NONE).await, pick(&ids, &[0, 2]));
}

pub(in super::super) async fn filed_jobs_are_handed_out_where_there_are_no_limits_any_more(backend: &mut impl Backend) {
    // The queue of this instance, which was that of an upstream before.
    let store = backend.store();
    let mut ids = Vec::new();
    for credential in [1, 1, 2] {
        let job = NewJob { queue: queue(), ..job_of(credential) };
        ids.push(job.request.id);
        store.submit(job).await.unwrap();
        backend.advance(Duration::from_millis(1)).await;
    }
    store.park(&queue(), of(1), Duration::from_mins(10)).await.unwrap();
    let leased = store.lease_within(&queue(), &terms(10, NONE)).await.unwrap();
    assert_eq!(leased.jobs.iter().map(|job| job.lease.id).collect::<Vec<_>>(), ids[2..]);
    store.upkeep().await.unwrap();
    assert_eq!(lease_ids(store, 10).await, ids[..2]);
}

pub(in super::super) async fn a_released_job_comes_first_again(backend: &mut impl Backend) {
    let ids = submitted_of(backend, &[1, 1, 1]).await;
    let store = backend.store();
    store.park(&limited(), of(1), Duration::from_secs(1)).await.unwrap();
    assert!(begun(store, 10, NONE).await.is_empty());
    backend.advance(Duration::from_secs(1)).await;
    let first = asked(store, 1, NONE).await.jobs.pop().unwrap();
    assert_eq!(first.lease.id, ids[0]);
    store.settle(&first.lease, Verdict::Release).await.unwrap();
    assert_eq!(begun(store, 10, NONE).await, ids);
}

pub(in super::super) async fn a_full_queue_takes_nothing_more(backend: &mut impl Backend) {
    let store = backend.store();
    let with_limit = |delay| NewJob { max_queued: NonZeroU32::new(3), delay, ..job_of(1) };
    submitted_of(backend, &[1]).await;
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::New);
    let third = with_limit(Some(Duration::from_mins(10)));
    assert_eq!(store.submit(third.clone()).await.unwrap(), Submitted::New);
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::Full);
    assert_eq!(store.submit(third.clone()).await.unwrap(), Submitted::Existing(third.request.id), "it is there");
    submitted_of(backend, &[1]).await;
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::Full);
    let leased = asked(store, 2, NONE).await.jobs;
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::New, "what runs does not wait");
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::Full);
    assert!(store.cancel(third.request.id).await.unwrap());
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::New);
    store.settle(&leased[0].lease, retry_after(Duration::from_mins(10))).await.unwrap();
    let completed = Verdict::Complete(response(200, "ok"));
    store.settle(&leased[1].lease, completed).await.unwrap();
    assert_eq!(store.submit(with_limit(None)).await.unwrap(), Submitted::Full, "what rests waits, too");
}

pub(in super::super) async fn queues_of_former_configurations_are_found(backend: &mut impl Backend) {
    let store = backend.store();
    let former = QueueName::new("default:former").unwrap();
    let ended = NewJob { queue: QueueName::new("default:ended").unwrap(), ..job() };
    store.submit(ended.clone()).await.unwrap();
    assert!(store.cancel(ended.request.id).await.unwrap());
    store.submit(NewJob { queue: former.clone(), ..job() }).await.unwrap();
    submitted_of(backend, &[1]).await;
    let known = [queue(), limited()];
    assert_eq!(store.leftover_queues(&known).await.unwrap(), [former]);
}

pub(in super::super) async fn an_id_is_one_jobs_in_all_queues(backend: &mut impl Backend) {
    let store = backend.store();
    submitted_of(backend, &[1]).await;
    for (first, second) in [(queue(), limited()), (limited(), queue())] {
        let there = NewJob { queue: first, id_is_proposed: true, ..job() };
        let id = there.request.id;
        assert_eq!(store.submit(there.clone()).await.unwrap(), Submitted::New);
        let elsewhere = NewJob { queue: second.clone(), ..there.clone() };
        assert_eq!(store.submit(elsewhere.clone()).await.unwrap(), Submitted::Existing(id), "its upstream has moved");
        let request = JobRequest { credential: of(9), ..elsewhere.request.clone() };
        assert_eq!(store.submit(NewJob { request, ..elsewhere.clone() }).await.unwrap(), Submitted::Taken);
        let mut other = elsewhere.clone();
        other.request.path = "/other".to_owned();
        assert_eq!(store.submit(other).await.unwrap(), Submitted::Taken);
        assert_eq!(store.submit(there).await.unwrap(), Submitted::Existing(id));
        assert!(store.cancel(id).await.unwrap());
        assert!(store.get(id).await.unwrap().is_none());
        assert_eq!(store.submit(elsewhere).await.unwrap(), Submitted::New, "it is nobody's again");
    }
}
