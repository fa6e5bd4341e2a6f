//! Claims: one job for each idempotency key.

use super::*;
use crate::store::{Claim, Requeued};

const TTL: Duration = Duration::from_mins(30);
const CLAIM: Claim = Claim { scope: [1; 32], fingerprint: [2; 32], ttl: TTL };

fn claiming(claim: Claim) -> NewJob {
    NewJob { claim: Some(claim), ..job() }
}

/// Submits a job with [`CLAIM`], which must be free.
async fn claimed(store: &dyn JobStore) -> JobId {
    let job = claiming(CLAIM);
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    id
}

async fn claim_again(store: &dyn JobStore) -> Submitted {
    store.submit(claiming(CLAIM)).await.unwrap()
}

async fn settled(store: &dyn JobStore, verdict: Verdict) {
    store.settle(&leased(store).await.lease, verdict).await.unwrap();
}

fn not_sent() -> Verdict {
    Verdict::Fail { error: "connect: refused".to_owned(), reach: Reach::NotSent, outcome: Outcome::NotSent }
}

pub(in super::super) async fn of_many_submissions_of_one_claim_one_is_new(backend: &mut impl Backend) {
    let store = backend.store();
    let submissions = (0..64).map(|_| store.submit(claiming(CLAIM)));
    let outcomes = futures_util::future::try_join_all(submissions).await.unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Submitted::New).count(), 1);
    let made = lease_ids(store, 64).await;
    assert_eq!(made.len(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Submitted::Replayed(made[0])).count(), 63);
}

pub(in super::super) async fn a_claim_is_for_one_request(backend: &mut impl Backend) {
    let store = backend.store();
    let first = claimed(store).await;
    let other_request = claiming(Claim { fingerprint: [3; 32], ..CLAIM });
    assert_eq!(store.submit(other_request).await.unwrap(), Submitted::Mismatch);
    let other_scope = claiming(Claim { scope: [4; 32], ..CLAIM });
    assert_eq!(store.submit(other_scope).await.unwrap(), Submitted::New);
    assert_eq!(claim_again(store).await, Submitted::Replayed(first));
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Pending), 2, "a mismatch leaves nothing");
}

pub(in super::super) async fn a_claim_outlives_a_restart(backend: &mut impl Backend) {
    let first = claimed(backend.store()).await;
    backend.reopen().await;
    assert_eq!(claim_again(backend.store()).await, Submitted::Replayed(first));
}

pub(in super::super) async fn a_claim_lapses(backend: &mut impl Backend) {
    let first = claimed(backend.store()).await;
    backend.advance(Duration::from_secs(29 * 60 + 59)).await;
    assert_eq!(claim_again(backend.store()).await, Submitted::Replayed(first));
    backend.advance(Duration::from_secs(1)).await;
    let second = claimed(backend.store()).await;
    assert_eq!(claim_again(backend.store()).await, Submitted::Replayed(second));
    assert!(backend.store().get(first).await.unwrap().is_some(), "the first job goes on");
}

pub(in super::super) async fn a_cancelled_jobs_claim_is_free(backend: &mut impl Backend) {
    let store = backend.store();
    let first = claimed(store).await;
    store.cancel(first).await.unwrap();
    let second = claimed(store).await;
    assert!(!store.cancel(first).await.unwrap());
    assert_eq!(claim_again(store).await, Submitted::Replayed(second));
}

/// An id may be proposed again for another request.
pub(in super::super) async fn a_claim_ends_with_its_job_whatever_comes_under_the_jobs_id(backend: &mut impl Backend) {
    let store = backend.store();
    let long = Claim { ttl: Duration::from_hours(3), ..CLAIM };
    let first = claiming(long);
    let id = first.request.id;
    assert_eq!(store.submit(first).await.unwrap(), Submitted::New);
    settled(store, Verdict::Complete(response(200, ""))).await;
    backend.advance(Duration::from_hours(2)).await;
    store.upkeep().await.unwrap();
    let mut other = job();
    other.request.id = id;
    assert_eq!(store.submit(other).await.unwrap(), Submitted::New);
    assert_eq!(store.submit(claiming(long)).await.unwrap(), Submitted::New);
}

pub(in super::super) async fn a_claim_is_free_when_another_try_is_due(backend: &mut impl Backend) {
    let store = backend.store();
    let answers = [408, 425, 429, 500, 503, 599].map(|status| Verdict::Complete(response(status, "")));
    for verdict in answers.into_iter().chain([not_sent()]) {
        claimed(store).await;
        settled(store, verdict).await;
    }
    claimed(store).await;
}

pub(in super::super) async fn a_claim_is_kept_after_every_other_end(backend: &mut impl Backend) {
    let store = backend.store();
    let too_large =
        Verdict::Fail { error: "too large".to_owned(), reach: Reach::Responded, outcome: Outcome::Responded };
    let answers = [200, 302, 400, 409, 422].map(|status| Verdict::Complete(response(status, "")));
    for verdict in answers.into_iter().chain([failure(), too_large]) {
        let first = claimed(store).await;
        settled(store, verdict.clone()).await;
        assert_eq!(claim_again(store).await, Submitted::Replayed(first), "{verdict:?}");
        store.cancel(first).await.unwrap();
    }
}

pub(in super::super) async fn a_retried_job_takes_its_claim_back(backend: &mut impl Backend) {
    let store = backend.store();
    let first = claimed(store).await;
    settled(store, not_sent()).await;
    assert_eq!(store.retry_failed(first, false).await.unwrap(), Requeued::Queued);
    assert_eq!(claim_again(store).await, Submitted::Replayed(first));
    settled(store, not_sent()).await;
    let second = claimed(store).await;
    assert_eq!(store.retry_failed(first, false).await.unwrap(), Requeued::Queued);
    assert_eq!(claim_again(store).await, Submitted::Replayed(second), "who took it meanwhile keeps it");
}

pub(in super::super) async fn a_taken_id_is_said_before_a_claim(backend: &mut impl Backend) {
    let store = backend.store();
    let first = claimed(store).await;
    let mut other = claiming(Claim { scope: [9; 32], ..CLAIM });
    other.request.id = first;
    other.request.credential = CredentialHash([8; 32]);
    assert_eq!(store.submit(other).await.unwrap(), Submitted::Taken);
    let mut same = claiming(CLAIM);
    same.request.id = first;
    assert_eq!(store.submit(same).await.unwrap(), Submitted::Replayed(first));
    let mut without = job();
    without.request.id = first;
    assert_eq!(store.submit(without).await.unwrap(), Submitted::Existing(first));
}

/// The answer to its first submission may have been lost for as long as this takes.
pub(in super::super) async fn a_job_submitted_again_is_told_of_itself_though_another_has_its_claim(
    backend: &mut impl Backend,
) {
    let store = backend.store();
    for fingerprint in [CLAIM.fingerprint, [3; 32]] {
        let first = claiming(CLAIM);
        let id = first.request.id;
        assert_eq!(store.submit(first.clone()).await.unwrap(), Submitted::New);
        settled(store, not_sent()).await;
        let other = claiming(Claim { fingerprint, ..CLAIM });
        assert_eq!(store.submit(other.clone()).await.unwrap(), Submitted::New, "the claim was free again");
        assert_eq!(store.submit(first).await.unwrap(), Submitted::Existing(id));
        assert_eq!(store.submit(other.clone()).await.unwrap(), Submitted::Replayed(other.request.id));
        assert!(store.cancel(other.request.id).await.unwrap());
    }
}
