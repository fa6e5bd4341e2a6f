//! `upkeep`, and what the clocks may and may not bring about.

use super::*;
use crate::store::contract::leasing::LEASE_LOST;
use crate::store::{BATCH_LIMIT, Content, Upkept};

pub(in super::super) async fn a_delayed_job_is_never_early(backend: &mut impl Backend) {
    let store = backend.store();
    let delayed = NewJob { delay: Some(Duration::from_micros(10_000_001)), ..job() };
    let id = delayed.request.id;
    store.submit(delayed).await.unwrap();
    backend.advance(Duration::from_secs(10)).await;
    assert_eq!(store.upkeep().await.unwrap().woken, 0);
    assert!(lease_ids(store, 1).await.is_empty());
    backend.advance(backend.grain()).await;
    assert_eq!(lease_ids(store, 1).await, [id], "without waiting for the upkeep");
}

pub(in super::super) async fn upkeep_wakes_what_is_due(backend: &mut impl Backend) {
    let store = backend.store();
    let scheduled = job_in(store, State::Scheduled).await;
    let resting = job_in(store, State::Retry).await;
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
    backend.advance(Duration::from_mins(10)).await;
    assert_eq!(store.upkeep().await.unwrap().woken, 2);
    for id in [scheduled, resting] {
        let job = found(store, id).await;
        assert_eq!((job.state, job.progress.due_at), (State::Pending, None));
    }
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
}

pub(in super::super) async fn a_job_that_was_due_longer_goes_first(backend: &mut impl Backend) {
    let store = backend.store();
    let delayed = NewJob { delay: Some(Duration::from_secs(1)), ..job() };
    let first = delayed.request.id;
    store.submit(delayed).await.unwrap();
    backend.advance(Duration::from_secs(2)).await;
    let second = submitted(store).await;
    assert_eq!(lease_ids(store, 1).await, [first]);
    assert_eq!(lease_ids(store, 1).await, [second]);
}

pub(in super::super) async fn an_ended_job_is_gone_after_its_retention(backend: &mut impl Backend) {
    let completed = job_in(backend.store(), State::Completed).await;
    let failed = job_in(backend.store(), State::Archived).await;
    let pending = submitted(backend.store()).await;
    backend.reopen().await;
    let store = backend.store();
    backend.advance(RETENTION.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(store.upkeep().await.unwrap().expired, 0);
    assert!(matches!(store.response(completed).await.unwrap(), Content::Ready(_)));
    backend.advance(Duration::from_millis(1)).await;
    assert_eq!(store.upkeep().await.unwrap().expired, 2);
    for id in [completed, failed] {
        assert!(store.get(id).await.unwrap().is_none());
    }
    assert_eq!(state_of(store, pending).await, Some(State::Pending), "what has not ended stays");
}

pub(in super::super) async fn upkeep_copes_with_more_than_a_batch(backend: &mut impl Backend) {
    let store = backend.store();
    let count = BATCH_LIMIT * 2 + BATCH_LIMIT / 2;
    let delayed = (0..count).map(|_| store.submit(NewJob { delay: Some(Duration::from_secs(1)), ..job() }));
    futures_util::future::try_join_all(delayed).await.unwrap();
    backend.advance(Duration::from_secs(1)).await;
    assert_eq!(all_upkeep(store).await.woken, count);
    assert_eq!(all_leased(store).await.len(), count);
    backend.advance(LEASE_LOST).await;
    assert_eq!(all_upkeep(store).await.reclaimed, count);
    let jobs = all_leased(store).await;
    let settled = jobs.iter().map(|job| store.settle(&job.lease, Verdict::Complete(response(200, "ok"))));
    futures_util::future::try_join_all(settled).await.unwrap();
    backend.advance(RETENTION + backend.grain()).await;
    assert_eq!(all_upkeep(store).await.expired, count);
    assert_eq!(store.stats(&queue()).await.unwrap(), crate::store::QueueStats::default());
}

/// Leases until there is nothing left.
pub(in super::super) async fn all_leased(store: &dyn JobStore) -> Vec<LeasedJob> {
    let mut all = Vec::new();
    loop {
        let batch = store.lease(&queue(), BATCH_LIMIT).await.unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

/// Upkeep until there is nothing left to do.
pub(super) async fn all_upkeep(store: &dyn JobStore) -> Upkept {
    let mut sum = Upkept::default();
    loop {
        let done = store.upkeep().await.unwrap();
        if done == Upkept::default() {
            return sum;
        }
        sum.woken += done.woken;
        sum.reclaimed += done.reclaimed;
        sum.expired += done.expired;
        sum.overdue += done.overdue;
    }
}

pub(in super::super) async fn stepping_the_wall_clock_changes_nothing(backend: &mut impl Backend) {
    for hours in [-1, 1] {
        let store = backend.store();
        let completed = job_in(store, State::Completed).await;
        let scheduled = job_in(store, State::Scheduled).await;
        let resting = job_in(store, State::Retry).await;
        submitted(store).await;
        let running = leased(store).await;
        let jobs = [completed, scheduled, resting, running.lease.id];

        backend.set_wall(Timestamp::from_millis(START.as_millis() + hours * 3_600_000)).await;
        assert_eq!(store.upkeep().await.unwrap(), Upkept::default(), "nothing fires, is lost or expires");
        assert!(lease_ids(store, 10).await.is_empty());
        assert!(store.renew(&[running.lease]).await.unwrap().is_empty());
        let mut states = Vec::new();
        for id in jobs {
            states.push(state_of(store, id).await);
        }
        assert_eq!(states, [State::Completed, State::Scheduled, State::Retry, State::Active].map(Some));

        backend.advance(Duration::from_secs(20)).await;
        assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
        backend.advance(Duration::from_mins(10)).await;
        assert_eq!(
            store.upkeep().await.unwrap(),
            Upkept { woken: 2, reclaimed: 1, expired: 0, overdue: 0 },
            "at its own time"
        );
        for id in jobs {
            store.cancel(id).await.unwrap();
        }
        backend.set_wall(START).await;
    }
}

pub(in super::super) async fn leases_of_a_former_run_are_lost_leases(backend: &mut impl Backend) {
    let mut once = job();
    once.request.delivery = Delivery::AtMostOnce;
    let doubtful = once.request.id;
    backend.store().submit(once).await.unwrap();
    let repeatable = submitted(backend.store()).await;
    let jobs = backend.store().lease(&queue(), 2).await.unwrap();
    backend.reopen().await;
    backend.advance(LEASE_LOST).await;
    backend.store().upkeep().await.unwrap();
    assert_eq!(state_of(backend.store(), doubtful).await, Some(State::Archived));
    let again = leased(backend.store()).await;
    assert_eq!((again.lease.id, again.progress.lease_losses), (repeatable, 1));
    assert!(jobs.iter().all(|job| job.lease != again.lease), "with a token that no worker had");
}
