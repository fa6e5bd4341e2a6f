//! The order of jobs of different priority.

use super::*;
use crate::store::contract::leasing::LEASE_LOST;
use crate::store::{BATCH_LIMIT, LOW_WAITS_AT_MOST, Requeued};

fn of(priority: Priority) -> NewJob {
    NewJob { request: JobRequest { priority, ..request(JobId::new()) }, ..job() }
}

pub(in super::super) async fn submitted_as(store: &dyn JobStore, priority: Priority) -> JobId {
    let job = of(priority);
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    id
}

/// Submits two jobs of each priority, in another order than they are leased in. Gives them in that order.
async fn two_of_each(store: &dyn JobStore) -> Vec<JobId> {
    let mut ids = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Normal, Priority::Low, Priority::High] {
        ids.push((priority, submitted_as(store, priority).await));
    }
    ids.sort_by_key(|(priority, _)| *priority);
    ids.into_iter().map(|(_, id)| id).collect()
}

pub(in super::super) async fn jobs_are_leased_by_priority_then_by_age(backend: &mut impl Backend) {
    let ids = two_of_each(backend.store()).await;
    let store = backend.store();
    assert_eq!(lease_ids(store, 1).await, ids[..1]);
    assert_eq!(lease_ids(store, 2).await, ids[1..3], "a batch of several priorities");
    assert_eq!(lease_ids(store, 10).await, ids[3..]);
    assert_eq!(lease_ids(store, 10).await, []);
}

pub(in super::super) async fn a_restart_keeps_the_order_of_priorities(backend: &mut impl Backend) {
    let ids = two_of_each(backend.store()).await;
    backend.reopen().await;
    assert_eq!(lease_ids(backend.store(), 10).await, ids);
}

pub(in super::super) async fn a_repeated_submission_does_not_change_the_priority(backend: &mut impl Backend) {
    let store = backend.store();
    let low = of(Priority::Low);
    let mut urgent = low.clone();
    urgent.request.priority = Priority::High;
    assert_eq!(store.submit(low.clone()).await.unwrap(), Submitted::New);
    let normal = submitted(store).await;
    assert_eq!(store.submit(urgent).await.unwrap(), Submitted::Existing(low.request.id));
    assert_eq!(found(store, low.request.id).await.request.priority, Priority::Low);
    assert_eq!(lease_ids(store, 10).await, [normal, low.request.id]);
}

/// How a job comes to be pending again.
#[derive(Clone, Copy, Debug)]
enum Way {
    Delay,
    Retry,
    Release,
    LostLease,
    RetryFailed,
}

/// Brings a job to the point from which it is pending when time has passed and upkeep has run.
async fn on_its_way(store: &dyn JobStore, priority: Priority, way: Way) -> JobId {
    let job = of(priority);
    let id = job.request.id;
    if let Way::Delay = way {
        store.submit(NewJob { delay: Some(Duration::from_secs(1)), ..job }).await.unwrap();
        return id;
    }
    store.submit(job).await.unwrap();
    let lease = leased(store).await.lease;
    match way {
        Way::Delay | Way::LostLease => {}
        Way::Retry => store.settle(&lease, retry_after(Duration::from_secs(1))).await.unwrap(),
        Way::Release => store.settle(&lease, Verdict::Release).await.unwrap(),
        Way::RetryFailed => {
            store.settle(&lease, failure()).await.unwrap();
            assert_eq!(store.retry_failed(id, true).await.unwrap(), Requeued::Queued);
        }
    }
    id
}

pub(in super::super) async fn a_job_that_is_pending_again_has_its_priority(backend: &mut impl Backend) {
    for way in [Way::Delay, Way::Retry, Way::Release, Way::LostLease, Way::RetryFailed] {
        for priority in [Priority::High, Priority::Low] {
            let id = on_its_way(backend.store(), priority, way).await;
            backend.advance(LEASE_LOST + backend.grain()).await;
            backend.store().upkeep().await.unwrap();
            let normal = submitted(backend.store()).await;
            let expected = if priority == Priority::High { [id, normal] } else { [normal, id] };
            let leased = backend.store().lease(&queue(), 10).await.unwrap();
            let order: Vec<_> = leased.iter().map(|job| job.lease.id).collect();
            assert_eq!(order, expected, "{way:?}, {priority:?}");
            for job in leased {
                backend.store().settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
            }
        }
    }
}

pub(in super::super) async fn a_job_that_is_due_has_its_priority_before_upkeep(backend: &mut impl Backend) {
    for way in [Way::Delay, Way::Retry] {
        let low = on_its_way(backend.store(), Priority::Low, way).await;
        let high = on_its_way(backend.store(), Priority::High, way).await;
        let other = on_its_way(backend.store(), Priority::Normal, way).await;
        backend.advance(Duration::from_secs(1)).await;
        let normal = submitted(backend.store()).await;
        assert_eq!(lease_ids(backend.store(), 10).await, [high, other, normal, low], "{way:?}");
    }
}

pub(in super::super) async fn a_released_job_is_the_first_of_its_priority_again(backend: &mut impl Backend) {
    let store = backend.store();
    let ids = two_of_each(store).await;
    let mut jobs = store.lease(&queue(), 5).await.unwrap();
    jobs.reverse();
    jobs.swap(0, 2);
    for job in jobs {
        store.settle(&job.lease, Verdict::Release).await.unwrap();
    }
    assert_eq!(lease_ids(store, 10).await, ids);
}

pub(in super::super) async fn a_low_job_that_has_waited_counts_as_normal(backend: &mut impl Backend) {
    let second = Duration::from_secs(1);
    let low = submitted_as(backend.store(), Priority::Low).await;
    backend.advance(LOW_WAITS_AT_MOST.saturating_sub(second)).await;
    backend.store().upkeep().await.unwrap();
    let before = submitted(backend.store()).await;
    assert_eq!(lease_ids(backend.store(), 1).await, [before], "not yet");
    let before = submitted(backend.store()).await;
    backend.advance(second * 2).await;
    backend.store().upkeep().await.unwrap();
    let after = submitted(backend.store()).await;
    let order = [before, low, after];
    let jobs = backend.store().lease(&queue(), 10).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.lease.id).collect::<Vec<_>>(), order, "behind those that wait by then");

    backend.store().settle(&jobs[1].lease, retry_after(second)).await.unwrap();
    backend.advance(second * 2).await;
    backend.store().upkeep().await.unwrap();
    let later = submitted(backend.store()).await;
    assert_eq!(lease_ids(backend.store(), 10).await, [low, later], "from then on");
}

pub(in super::super) async fn more_than_a_batch_of_low_jobs_come_to_count_as_normal(backend: &mut impl Backend) {
    let store = backend.store();
    let mut ids = Vec::new();
    for _ in 0..BATCH_LIMIT * 2 + BATCH_LIMIT / 2 {
        ids.push(submitted_as(store, Priority::Low).await);
    }
    backend.advance(LOW_WAITS_AT_MOST + Duration::from_secs(5)).await;
    for _ in 0..3 {
        store.upkeep().await.unwrap();
    }
    ids.push(submitted(store).await);
    let order: Vec<_> = all_leased(store).await.iter().map(|job| job.lease.id).collect();
    assert_eq!(order, ids);
}

pub(in super::super) async fn pending_jobs_of_every_priority_are_counted_and_listed(backend: &mut impl Backend) {
    let store = backend.store();
    let ids = two_of_each(store).await;
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Pending), 6);
    for (page, order) in (1..=7).flat_map(|page| JobOrder::ALL.map(|order| (page, order))) {
        let list = List { page, ..List::of(store, State::Pending, order) };
        assert_eq!(list.from(None).await, in_order(order, ids.clone()), "pages of {page}, {order:?}");
    }
}

pub(in super::super) async fn a_list_of_several_priorities_goes_on_when_jobs_leave(backend: &mut impl Backend) {
    let store = backend.store();
    for order in JobOrder::ALL {
        let ids = in_order(order, two_of_each(store).await);
        let list = List { page: 1, ..List::of(store, State::Pending, order) };
        let (mut listed, mut cursor) = (Vec::new(), None);
        loop {
            let (given, next) = list.page(cursor).await;
            for id in given {
                assert!(store.cancel(id).await.unwrap());
                listed.push(id);
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed, ids, "{order:?}");
    }
}

pub(in super::super) async fn a_pending_job_of_every_priority_is_cancelled(backend: &mut impl Backend) {
    let store = backend.store();
    for id in two_of_each(store).await {
        assert!(store.cancel(id).await.unwrap());
        assert!(store.get(id).await.unwrap().is_none());
    }
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Pending), 0);
    assert_eq!(lease_ids(store, 10).await, []);
}

pub(in super::super) async fn a_worker_is_woken_by_a_submission_of_every_priority(backend: &mut impl Backend) {
    let store = backend.store();
    for priority in Priority::ALL {
        let worker = async {
            loop {
                store.due(&queue()).await;
                let ids = lease_ids(store, 1).await;
                if !ids.is_empty() {
                    return ids;
                }
            }
        };
        // The worker waits before there is a job.
        let both = futures_util::future::join(worker, submitted_as(store, priority));
        let (leased, submitted) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it is told");
        assert_eq!(leased, [submitted]);
    }
}
