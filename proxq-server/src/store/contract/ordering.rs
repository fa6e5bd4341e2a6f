//! `cancel` and `retry_failed`.

use super::*;
use crate::store::{Content, Requeued};

pub(in super::super) async fn a_job_is_cancelled_in_every_state(backend: &mut impl Backend) {
    let store = backend.store();
    for state in State::ALL {
        let id = job_in(store, state).await;
        assert!(store.cancel(id).await.unwrap(), "{state:?}");
        assert!(store.get(id).await.unwrap().is_none(), "{state:?}");
        assert!(matches!(store.response(id).await.unwrap(), Content::Unknown), "{state:?}");
        assert!(!store.cancel(id).await.unwrap(), "{state:?}");
        backend.advance(Duration::from_mins(11)).await;
        store.upkeep().await.unwrap();
        assert!(lease_ids(store, 10).await.is_empty(), "{state:?}: no attempt starts");
    }
    assert_eq!(store.stats(&queue()).await.unwrap(), crate::store::QueueStats::default());
}

pub(in super::super) async fn cancelling_a_running_job_tells_its_worker(backend: &mut impl Backend) {
    let store = backend.store();
    submitted(store).await;
    let job = leased(store).await;
    store.cancel(job.lease.id).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), job.revoked.cancelled()).await.expect("within a second");
}

pub(in super::super) async fn cancelling_what_does_not_exist_changes_nothing(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    assert!(!store.cancel(JobId::new()).await.unwrap());
    assert_eq!(state_of(store, id).await, Some(State::Pending));
}

pub(in super::super) async fn a_failed_job_can_be_retried(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    store.settle(&leased(store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
    store.settle(&leased(store).await.lease, failure()).await.unwrap();
    assert_eq!(store.retry_failed(id, true).await.unwrap(), Requeued::Queued);
    let job = found(store, id).await;
    assert_eq!(job.state, State::Pending);
    assert_eq!((job.progress.retried, job.progress.lease_losses), (0, 0), "its budgets are restored");
    assert_eq!((job.progress.outcome, job.progress.ended_at), (None, None));
    backend.advance(RETENTION * 2).await;
    assert_eq!(store.upkeep().await.unwrap().expired, 0, "it has not ended any more");
    assert_eq!(leased(store).await.progress.attempts, 3, "attempts go on");
}

pub(in super::super) async fn only_a_failed_job_can_be_retried(backend: &mut impl Backend) {
    let store = backend.store();
    for state in State::ALL.into_iter().filter(|state| *state != State::Archived) {
        let id = job_in(store, state).await;
        assert_eq!(store.retry_failed(id, true).await.unwrap(), Requeued::NotFailed, "{state:?}");
        assert_eq!(state_of(store, id).await, Some(state));
        store.cancel(id).await.unwrap();
    }
    assert_eq!(store.retry_failed(JobId::new(), true).await.unwrap(), Requeued::Unknown);
}

pub(in super::super) async fn what_may_have_arrived_is_retried_only_if_confirmed(backend: &mut impl Backend) {
    let store = backend.store();
    let id = job_in(store, State::Archived).await;
    assert_eq!(store.retry_failed(id, false).await.unwrap(), Requeued::MayDuplicate);
    assert_eq!(state_of(store, id).await, Some(State::Archived));
    assert_eq!(store.retry_failed(id, true).await.unwrap(), Requeued::Queued);
}
