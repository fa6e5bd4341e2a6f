//! `watch` and `due`.

use super::*;
use crate::store::contract::leasing::LEASE_LOST;

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("is told")
}

pub(in super::super) async fn a_watch_ends_at_the_next_change(backend: &mut impl Backend) {
    let store = backend.store();
    let (id, other) = (submitted(store).await, submitted(store).await);
    let mut watch = store.watch(id).await.unwrap();
    store.cancel(other).await.unwrap();
    assert!(futures_util::poll!(&mut watch).is_pending(), "another job's change");
    let job = leased(store).await;
    soon(watch).await;
    let watch = store.watch(id).await.unwrap();
    store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    soon(watch).await;
}

pub(in super::super) async fn a_change_between_watch_and_wait_is_not_lost(backend: &mut impl Backend) {
    let store = backend.store();
    for _ in 0..100 {
        let id = submitted(store).await;
        let watch = store.watch(id).await.unwrap();
        let job = leased(store).await; // changes before the watch is first polled
        soon(watch).await;
        let watch = store.watch(id).await.unwrap();
        let (settled, ()) = tokio::join!(store.settle(&job.lease, failure()), soon(watch));
        settled.unwrap();
    }
}

pub(in super::super) async fn every_change_of_a_job_ends_a_watch(backend: &mut impl Backend) {
    let store = backend.store();
    let new = NewJob { delay: Some(Duration::from_secs(1)), ..job() };
    let id = new.request.id;
    let watch = store.watch(id).await.unwrap();
    store.submit(new).await.unwrap();
    soon(watch).await;

    let watch = store.watch(id).await.unwrap();
    backend.advance(Duration::from_secs(1)).await;
    store.upkeep().await.unwrap();
    soon(watch).await; // woken

    for verdict in [Verdict::Release, retry_after(Duration::ZERO), failure()] {
        let lease = leased(store).await.lease;
        let watch = store.watch(id).await.unwrap();
        store.settle(&lease, verdict).await.unwrap();
        soon(watch).await;
    }

    let watch = store.watch(id).await.unwrap();
    store.retry_failed(id, true).await.unwrap();
    soon(watch).await;

    leased(store).await;
    let watch = store.watch(id).await.unwrap();
    backend.advance(LEASE_LOST).await;
    store.upkeep().await.unwrap();
    soon(watch).await; // its lease was taken away

    let lease = leased(store).await.lease;
    store.settle(&lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let watch = store.watch(id).await.unwrap();
    backend.advance(RETENTION + backend.grain()).await;
    store.upkeep().await.unwrap();
    soon(watch).await; // dropped
    assert!(store.get(id).await.unwrap().is_none());
}

pub(in super::super) async fn every_watcher_of_a_job_is_told(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let mut watches = Vec::new();
    for _ in 0..100 {
        watches.push(store.watch(id).await.unwrap());
    }
    watches.truncate(90); // some lose their patience
    store.cancel(id).await.unwrap();
    soon(futures_util::future::join_all(watches)).await;
}

pub(in super::super) async fn a_worker_is_woken_by_a_submission(backend: &mut impl Backend) {
    let store = backend.store();
    assert!(lease_ids(store, 1).await.is_empty());
    let queue = queue();
    let mut due = store.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending(), "nothing is due");
    let id = submitted(store).await;
    soon(due).await;
    assert_eq!(lease_ids(store, 1).await, [id]);
}

pub(in super::super) async fn a_wake_up_that_nobody_waited_for_is_kept(backend: &mut impl Backend) {
    let store = backend.store();
    assert!(lease_ids(store, 1).await.is_empty());
    submitted(store).await;
    soon(store.due(&queue())).await;
}

pub(in super::super) async fn a_wake_up_that_was_dropped_is_passed_on(backend: &mut impl Backend) {
    let store = backend.store();
    let queue = queue();
    let mut due = store.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending());
    submitted(store).await;
    drop(due); // was told, and is gone before it could say so
    soon(store.due(&queue)).await;
}

pub(in super::super) async fn a_worker_is_woken_when_a_delay_is_over(backend: &mut impl Backend) {
    let store = backend.store();
    let queue = queue();
    let late = NewJob { delay: Some(Duration::from_secs(50)), ..job() };
    store.submit(late).await.unwrap();
    assert!(lease_ids(store, 1).await.is_empty());
    let mut due = store.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending());
    // A sooner one, while the worker waits for the later one already.
    let soon_after = backend.grain() * 10;
    let sooner = NewJob { delay: Some(soon_after), ..job() };
    let id = sooner.request.id;
    store.submit(sooner).await.unwrap();
    assert!(futures_util::poll!(&mut due).is_pending(), "not early");
    backend.advance(soon_after.saturating_sub(Duration::from_millis(1))).await;
    assert!(futures_util::poll!(&mut due).is_pending(), "not early");
    backend.advance(Duration::from_millis(1)).await;
    soon(due).await;
    let job = leased(store).await;
    assert_eq!(job.lease.id, id);

    store.settle(&job.lease, retry_after(soon_after)).await.unwrap();
    let due = store.due(&queue);
    backend.advance(soon_after).await;
    soon(due).await;
    assert_eq!(leased(store).await.lease.id, id);
}

pub(in super::super) async fn a_worker_is_woken_for_what_is_left(backend: &mut impl Backend) {
    let store = backend.store();
    for _ in 0..3 {
        submitted(store).await;
    }
    for _ in 0..3 {
        soon(store.due(&queue())).await;
        assert_eq!(lease_ids(store, 1).await.len(), 1);
    }
}
