//! The time that jobs have: who ends because it is over, and who does not.

use super::time::all_upkeep;
use super::*;
use crate::job::{NOT_TRIED_AGAIN, TimeBounds};
use crate::store::contract::leasing::LEASE_LOST;
use crate::store::{BATCH_LIMIT, Claim, Content, Requeued, Upkept};

const MINUTE: Duration = Duration::from_mins(1);
const START_WITHIN: TimeBounds = TimeBounds { start_within: Some(MINUTE), deadline: None };
const DEADLINE: TimeBounds = TimeBounds { start_within: None, deadline: Some(MINUTE) };

fn bounded_job(bounds: TimeBounds) -> NewJob {
    let job = job();
    NewJob { request: JobRequest { bounds, ..job.request }, ..job }
}

/// Submits a job that has so much time. Gives its id.
async fn bounded(store: &dyn JobStore, bounds: TimeBounds) -> JobId {
    let job = bounded_job(bounds);
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    id
}

async fn has_expired(store: &dyn JobStore, id: JobId, error: &str) {
    let Job { state, progress, request } = found(store, id).await;
    assert_eq!((state, progress.outcome, progress.expired), (State::Archived, Some(Outcome::NotSent), true));
    assert_eq!(progress.last_error.as_deref(), Some(error));
    assert_eq!((progress.attempts, progress.started_at, progress.due_at), (0, None, None));
    assert!(progress.ended_at.is_some_and(|ended| ended > request.created_at), "{progress:?}");
    assert!(matches!(store.response(id).await.unwrap(), Content::Failed { error: told } if told == error));
}

pub(in super::super) async fn a_job_that_is_not_begun_in_time_expires(backend: &mut impl Backend) {
    for (bounds, error) in [
        (START_WITHIN, "expired: not begun within 1m0s (X-Proxq-Start-Within)"),
        (DEADLINE, "expired: not begun within 1m0s (X-Proxq-Deadline)"),
    ] {
        let store = backend.store();
        let pending = bounded(store, bounds).await;
        let delayed = NewJob { delay: Some(MINUTE), ..bounded_job(bounds) };
        let scheduled = delayed.request.id;
        store.submit(delayed).await.unwrap();
        let free = submitted(store).await;
        let [told, told_too] = [store.watch(pending).await.unwrap(), store.watch(scheduled).await.unwrap()];
        backend.advance(MINUTE.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
        backend.advance(Duration::from_millis(1)).await;
        assert_eq!(store.upkeep().await.unwrap().overdue, 2);
        told.await;
        told_too.await;
        has_expired(store, pending, error).await;
        has_expired(store, scheduled, error).await;
        assert_eq!(lease_ids(store, 10).await, [free]);
        store.cancel(free).await.unwrap();
        backend.advance(RETENTION + backend.grain()).await;
        assert_eq!(store.upkeep().await.unwrap().expired, 2, "they are kept like all failed jobs");
        assert_eq!(store.stats(&queue()).await.unwrap(), crate::store::QueueStats::default());
    }
}

pub(in super::super) async fn what_has_expired_is_not_handed_out(backend: &mut impl Backend) {
    let store = backend.store();
    let mut expired = Vec::new();
    for _ in 0..3 {
        expired.push(bounded(store, START_WITHIN).await);
    }
    let free = submitted(store).await;
    backend.advance(MINUTE).await;
    let told = store.watch(expired[0]).await.unwrap();
    assert_eq!(lease_ids(store, 1).await, [free], "also where no upkeep was");
    told.await;
    for id in expired {
        has_expired(store, id, "expired: not begun within 1m0s (X-Proxq-Start-Within)").await;
    }
    assert_eq!(store.upkeep().await.unwrap().overdue, 0, "all have ended");
}

pub(in super::super) async fn many_expire_in_batches(backend: &mut impl Backend) {
    let store = backend.store();
    let count = BATCH_LIMIT * 2 + BATCH_LIMIT / 2;
    let jobs = (0..count).map(|_| store.submit(bounded_job(DEADLINE)));
    futures_util::future::try_join_all(jobs).await.unwrap();
    let free = submitted(store).await;
    backend.advance(MINUTE).await;
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.extend(lease_ids(store, 1).await);
    }
    assert_eq!(leased, [free], "workers get by them");
    let jobs = (0..count).map(|_| store.submit(bounded_job(DEADLINE)));
    futures_util::future::try_join_all(jobs).await.unwrap();
    backend.advance(MINUTE).await;
    assert_eq!(all_upkeep(store).await.overdue, count);
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Archived), 2 * count as u64);
}

pub(in super::super) async fn a_job_that_was_begun_in_time_is_free_of_the_bound(backend: &mut impl Backend) {
    let store = backend.store();
    let id = bounded(store, START_WITHIN).await;
    let job = leased(store).await;
    assert_eq!(job.left, None, "it has no deadline");
    backend.advance(MINUTE).await;
    assert!(store.renew(&[job.lease]).await.unwrap().is_empty());
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default(), "it runs");
    store.settle(&job.lease, retry_after(MINUTE)).await.unwrap();
    backend.advance(MINUTE + backend.grain()).await;
    assert_eq!(store.upkeep().await.unwrap().overdue, 0);
    let again = leased(store).await;
    assert_eq!((again.lease.id, again.progress.attempts), (id, 2));
    store.settle(&again.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(state_of(store, id).await, Some(State::Completed));
}

pub(in super::super) async fn a_released_job_has_not_begun(backend: &mut impl Backend) {
    let store = backend.store();
    let id = bounded(store, START_WITHIN).await;
    let job = leased(store).await;
    backend.advance(MINUTE).await;
    store.settle(&job.lease, Verdict::Release).await.unwrap();
    assert_eq!(store.upkeep().await.unwrap().overdue, 1);
    has_expired(store, id, "expired: not begun within 1m0s (X-Proxq-Start-Within)").await;
}

pub(in super::super) async fn a_lease_tells_what_is_left_of_the_deadline(backend: &mut impl Backend) {
    let store = backend.store();
    bounded(store, TimeBounds { start_within: Some(MINUTE), deadline: Some(2 * MINUTE) }).await;
    backend.advance(MINUTE / 2).await;
    let first = leased(store).await;
    assert_eq!(first.left, Some(MINUTE + MINUTE / 2));
    store.settle(&first.lease, retry_after(Duration::ZERO)).await.unwrap();
    backend.advance(MINUTE).await;
    let second = leased(store).await;
    assert_eq!(second.left, Some(MINUTE / 2));
    store.settle(&second.lease, Verdict::Release).await.unwrap();
    assert_eq!(leased(store).await.left, Some(MINUTE / 2));
    submitted(store).await;
    assert_eq!(leased(store).await.left, None);
}

pub(in super::super) async fn after_its_deadline_a_job_that_has_begun_is_judged_by_its_attempts(
    backend: &mut impl Backend,
) {
    let verdict = |reach| Verdict::RetryAfter { pause: MINUTE, error: "broke".to_owned(), reach, charged: true };
    for (reach, outcome) in [(Reach::NotSent, Outcome::NotSent), (Reach::Unknown, Outcome::Indeterminate)] {
        // One rests until after its deadline, the other one is lost by its worker.
        let store = backend.store();
        let resting = bounded(store, DEADLINE).await;
        store.settle(&leased(store).await.lease, verdict(reach)).await.unwrap();
        backend.advance(MINUTE).await;
        assert_eq!(store.upkeep().await.unwrap().overdue, 1);
        let Job { state, progress, .. } = found(store, resting).await;
        assert_eq!((state, progress.outcome, progress.expired), (State::Archived, Some(outcome), false));
        assert_eq!(progress.last_error, Some(format!("broke{NOT_TRIED_AGAIN}")));
        assert_eq!((progress.attempts, progress.due_at), (1, None));
        backend.advance(backend.grain()).await;
        assert!(lease_ids(store, 1).await.is_empty(), "no retry begins");
    }
    let store = backend.store();
    let lost = bounded(store, DEADLINE).await;
    leased(store).await;
    backend.advance(MINUTE + LEASE_LOST).await;
    all_upkeep(store).await;
    let progress = found(store, lost).await.progress;
    assert_eq!((progress.outcome, progress.lease_losses), (Some(Outcome::Indeterminate), 1));
    assert!(lease_ids(store, 1).await.is_empty());
}

pub(in super::super) async fn an_attempt_outlives_its_bounds(backend: &mut impl Backend) {
    let store = backend.store();
    let bounds = TimeBounds { start_within: Some(MINUTE / 2), deadline: Some(MINUTE) };
    let id = bounded(store, bounds).await;
    let job = leased(store).await;
    backend.advance(MINUTE).await;
    assert!(store.renew(&[job.lease]).await.unwrap().is_empty());
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default(), "whoever runs it ends it");
    store.settle(&job.lease, Verdict::Complete(response(200, "late"))).await.unwrap();
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
    assert_eq!(state_of(store, id).await, Some(State::Completed));
}

pub(in super::super) async fn an_expired_job_is_run_again_without_bounds(backend: &mut impl Backend) {
    let store = backend.store();
    let id = bounded(store, START_WITHIN).await;
    backend.advance(MINUTE).await;
    store.upkeep().await.unwrap();
    assert_eq!(store.retry_failed(id, false).await.unwrap(), Requeued::Queued, "nothing was sent");
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
    let job = leased(store).await;
    assert_eq!((job.lease.id, job.left, job.progress.expired), (id, None, false));
    store.settle(&job.lease, Verdict::Release).await.unwrap();
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
    store.settle(&leased(store).await.lease, failure()).await.unwrap();
    assert!(!found(store, id).await.progress.expired);
}

pub(in super::super) async fn a_cancelled_job_does_not_expire(backend: &mut impl Backend) {
    let store = backend.store();
    let job = bounded_job(START_WITHIN);
    let again = NewJob { request: JobRequest { bounds: TimeBounds::NONE, ..job.request.clone() }, ..job.clone() };
    let id = job.request.id;
    store.submit(job).await.unwrap();
    store.cancel(id).await.unwrap();
    assert_eq!(store.submit(again).await.unwrap(), Submitted::New);
    backend.advance(MINUTE).await;
    assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
    assert_eq!(lease_ids(store, 1).await, [id], "nor does another one under its id");
}

pub(in super::super) async fn bounds_outlive_a_restart(backend: &mut impl Backend) {
    let expiring = bounded(backend.store(), START_WITHIN).await;
    backend.advance(MINUTE / 2).await;
    backend.reopen().await;
    let begun = bounded(backend.store(), DEADLINE).await;
    assert_eq!(lease_ids(backend.store(), 1).await, [expiring]);
    backend.reopen().await;
    backend.advance(MINUTE).await;
    let store = backend.store();
    all_upkeep(store).await;
    has_expired(store, begun, "expired: not begun within 1m0s (X-Proxq-Deadline)").await;
    assert_eq!(leased(store).await.lease.id, expiring, "it had begun");
}

pub(in super::super) async fn an_expired_jobs_claim_is_free(backend: &mut impl Backend) {
    let store = backend.store();
    let claim = Claim { scope: [1; 32], fingerprint: [2; 32], ttl: RETENTION };
    for by_lease in [false, true] {
        let job = NewJob { claim: Some(claim), ..bounded_job(START_WITHIN) };
        assert_eq!(store.submit(job).await.unwrap(), Submitted::New, "by lease: {by_lease}");
        backend.advance(MINUTE).await;
        if by_lease {
            assert!(lease_ids(store, 1).await.is_empty());
        } else {
            store.upkeep().await.unwrap();
        }
    }
    let last = NewJob { claim: Some(claim), ..job() };
    assert_eq!(store.submit(last).await.unwrap(), Submitted::New);
}
