//! `lease` and `renew`.

use std::collections::HashSet;
use std::task::Poll;

use super::*;
use crate::store::{BATCH_LIMIT, LEASE_TERM, RECLAIM_GRACE, RENEW_EVERY};

pub(in super::super) async fn jobs_are_leased_oldest_first(backend: &mut impl Backend) {
    let store = backend.store();
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(submitted(store).await);
        if n % 2 == 0 {
            backend.advance(Duration::from_millis(1)).await; // some in the same millisecond
        }
    }
    assert_eq!(lease_ids(store, 4).await, ids[..4]);
    assert_eq!(lease_ids(store, 4).await, ids[4..]);
}

pub(in super::super) async fn no_more_are_leased_than_asked_for(backend: &mut impl Backend) {
    let store = backend.store();
    for _ in 0..5 {
        submitted(store).await;
    }
    assert_eq!(lease_ids(store, 0).await, []);
    assert_eq!(lease_ids(store, 3).await.len(), 3);
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Pending), 2);
}

pub(in super::super) async fn a_worker_that_asks_for_very_many_gets_a_batch(backend: &mut impl Backend) {
    let store = backend.store();
    let ids = submitted_many(store, BATCH_LIMIT + 20).await;
    let first = lease_ids(store, usize::MAX).await;
    assert_eq!(first.len(), BATCH_LIMIT);
    store.due(&queue()).await; // it is told that there is more
    let second = lease_ids(store, usize::MAX).await;
    assert_eq!([first, second].concat(), ids);
}

/// Submits jobs, one after another.
async fn submitted_many(store: &dyn JobStore, count: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(submitted(store).await);
    }
    ids
}

pub(in super::super) async fn a_leased_job_is_not_leased_again(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    assert_eq!(leased(store).await.lease.id, id);
    backend.advance(LEASE_TERM).await;
    assert!(lease_ids(store, 10).await.is_empty(), "not even when the lease has expired, before it is taken away");
    assert_eq!(state_of(store, id).await, Some(State::Active));
}

pub(in super::super) async fn concurrent_workers_never_get_the_same_job(backend: &mut impl Backend) {
    let store = backend.store();
    let submissions = (0..100).map(|_| submitted(store));
    let ids: HashSet<JobId> = futures_util::future::join_all(submissions).await.into_iter().collect();
    let batches = futures_util::future::join_all((0..30).map(|_| lease_ids(store, 7))).await;
    let leased: Vec<JobId> = batches.into_iter().flatten().collect();
    assert_eq!(leased.len(), 100, "none twice");
    assert_eq!(leased.into_iter().collect::<HashSet<_>>(), ids);
}

pub(in super::super) async fn a_lease_begins_an_attempt(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    backend.advance(Duration::from_secs(1)).await;
    let job = leased(store).await;
    assert_eq!(job.progress.attempts, 1);
    assert_eq!(job.progress.started_at, Some(START.after(Duration::from_secs(1))));
    assert!(!job.progress.instance.is_empty() && !job.revoked.is_cancelled());
    let stored = found(store, id).await;
    assert_eq!((stored.state, &stored.progress), (State::Active, &job.progress), "durable when it is handed out");
}

pub(in super::super) async fn a_renewed_lease_lasts_a_full_term_more(backend: &mut impl Backend) {
    let store = backend.store();
    submitted(store).await;
    let job = leased(store).await;
    for _ in 0..20 {
        backend.advance(RENEW_EVERY).await;
        assert!(store.renew(&[job.lease]).await.unwrap().is_empty());
        assert_eq!(store.upkeep().await.unwrap().reclaimed, 0);
    }
    backend.advance(LEASE_TERM + RECLAIM_GRACE).await;
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 0, "to the last moment");
    store.settle(&job.lease, Verdict::Complete(response(200, "late"))).await.unwrap();
}

pub(in super::super) async fn an_expired_lease_that_nobody_took_away_can_be_renewed(backend: &mut impl Backend) {
    let store = backend.store();
    submitted(store).await;
    let job = leased(store).await;
    backend.advance(LEASE_TERM * 10).await;
    assert!(store.renew(&[job.lease]).await.unwrap().is_empty());
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 0);
    assert!(!job.revoked.is_cancelled());
}

/// Until a lease that is not renewed is taken away.
pub(super) const LEASE_LOST: Duration =
    LEASE_TERM.saturating_add(RECLAIM_GRACE).saturating_add(Duration::from_millis(1));

pub(in super::super) async fn a_lost_lease_is_taken_away_after_its_grace(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let job = leased(store).await;
    backend.advance(LEASE_LOST).await;
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
    assert!(job.revoked.is_cancelled(), "its attempt is told");
    let found = found(store, id).await;
    assert_eq!((found.state, found.progress.attempts), (State::Pending, 1));
    assert_eq!((found.progress.lease_losses, found.progress.retried), (1, 0), "it spends no retry");
    assert_eq!(found.progress.history.back().unwrap().reach, Reach::Unknown);
    let again = leased(store).await;
    assert!(again.lease.token > job.lease.token);
    assert_eq!(again.progress.attempts, 2);
}

pub(in super::super) async fn a_lease_that_is_gone_is_reported_when_it_is_renewed(backend: &mut impl Backend) {
    let store = backend.store();
    let mut leases = Vec::new();
    for _ in 0..3 {
        submitted(store).await;
        leases.push(leased(store).await.lease);
    }
    store.settle(&leases[0], Verdict::Complete(response(200, "ok"))).await.unwrap();
    store.cancel(leases[1].id).await.unwrap();
    assert_eq!(store.renew(&leases).await.unwrap(), leases[..2]);
    assert!(store.renew(&[]).await.unwrap().is_empty());
}

pub(in super::super) async fn a_lost_lease_that_may_not_be_sent_again_fails_the_job(backend: &mut impl Backend) {
    let store = backend.store();
    let mut job = job();
    job.request.idempotent = false;
    let id = job.request.id;
    store.submit(job).await.unwrap();
    leased(store).await;
    backend.advance(LEASE_LOST).await;
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
    let found = found(store, id).await;
    assert_eq!((found.state, found.progress.outcome), (State::Archived, Some(Outcome::Indeterminate)));
    assert!(found.progress.last_error.is_some() && found.progress.ended_at.is_some());
}

pub(in super::super) async fn a_job_that_loses_too_many_leases_fails(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    for losses in 1..=6 {
        assert_eq!(state_of(store, id).await, Some(State::Pending), "after {} losses", losses - 1);
        leased(store).await;
        backend.advance(LEASE_LOST + backend.grain()).await;
        store.upkeep().await.unwrap();
    }
    let found = found(store, id).await;
    assert_eq!((found.state, found.progress.lease_losses), (State::Archived, 6));
}

pub(in super::super) async fn how_many_leases_may_be_lost_can_change(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    leased(store).await;
    store.reconfigure(StoreSettings { max_lease_losses: 0, ..settings() });
    backend.advance(LEASE_LOST + backend.grain()).await;
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, id).await, Some(State::Archived));
}

pub(in super::super) async fn a_worker_that_goes_away_while_it_waits_for_jobs_loses_none(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let queue = queue();
    let mut abandoned = 0;
    for _ in 0..50 {
        let mut lease = store.lease(&queue, 1);
        // Polled once: the order is given, and nobody waits for what it brings.
        match futures_util::poll!(&mut lease) {
            Poll::Pending => abandoned += 1,
            // The store was faster than this thread.
            Poll::Ready(jobs) => {
                for job in jobs.unwrap() {
                    store.settle(&job.lease, Verdict::Release).await.unwrap();
                }
            }
        }
        drop(lease);
        let job = loop {
            if let Some(job) = store.lease(&queue, 1).await.unwrap().pop() {
                break job;
            }
            store.due(&queue).await; // it is given back, and said so
        };
        assert_eq!((job.lease.id, job.progress.attempts), (id, 1), "attempts that were never made do not count");
        store.settle(&job.lease, Verdict::Release).await.unwrap();
    }
    assert!(abandoned > 0, "no order was ever left alone");
}
