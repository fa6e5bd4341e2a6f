//! What becomes of submissions that no HTTP client sends.

use bytes::Bytes;

use super::*;
use crate::intake::tests::Bench;
use crate::job::Body;

const ONE: CredentialHash = CredentialHash([1; 32]);
const OTHER: CredentialHash = CredentialHash([2; 32]);

/// A submission of this body, with an idempotency key.
fn submission(body: &'static [u8], claimant: Option<CredentialHash>) -> NewSubmission {
    let request = JobRequest { id: JobId::new(), idempotency_key: Some(b"key".to_vec()), ..JobRequest::sample() };
    let body = Bytes::from_static(body).into();
    NewSubmission { request, body, delay: None, id_origin: IdOrigin::Server, claimant }
}

/// The same again, under the id that the client proposed.
fn proposed(id: JobId, credential: CredentialHash, known_redirects: Option<KnownRedirects>) -> NewSubmission {
    let mut again = submission(b"body", None);
    (again.request.id, again.request.credential) = (id, credential);
    NewSubmission { id_origin: IdOrigin::Client { known_redirects }, ..again }
}

#[tokio::test]
async fn a_submission_without_a_client_is_a_job() {
    let bench = Bench::new().await;
    let new = submission(b"body", None);
    let id = new.request.id;
    let job = bench.intake.submitter.submit(new).await.unwrap();
    assert_eq!(job, SubmittedJob { id, replayed: false });
    let leased = bench.store.lease(&bench.intake.submitter.config.queue, 1).await.unwrap().remove(0);
    assert_eq!(leased.lease.id, id);
    assert!(matches!(leased.body, Body::Inline(body) if body == "body"));
}

#[tokio::test]
async fn an_idempotency_key_is_one_job_for_each_claimant() {
    let bench = Bench::new().await;
    let submit = async |body, claimant| bench.intake.submitter.submit(submission(body, claimant)).await;
    let first = submit(b"body", Some(ONE)).await.unwrap();
    assert!(!first.replayed);
    assert_eq!(submit(b"body", Some(ONE)).await.unwrap(), SubmittedJob { id: first.id, replayed: true });
    assert!(matches!(submit(b"another", Some(ONE)).await, Err(SubmitError::IdempotencyMismatch)));
    for claimant in [Some(OTHER), None, None] {
        let job = submit(b"body", claimant).await.unwrap();
        assert!(!job.replayed && job.id != first.id, "{claimant:?}");
    }
}

#[tokio::test]
async fn a_proposed_id_is_one_job_of_one_credential() {
    let bench = Bench::new().await;
    let submitter = &bench.intake.submitter;
    let id = JobId::new();
    for _ in 0..2 {
        let job = submitter.submit(proposed(id, ONE, None)).await.unwrap();
        assert_eq!(job, SubmittedJob { id, replayed: false });
    }
    let refused = submitter.submit(proposed(id, OTHER, None)).await;
    assert!(matches!(refused, Err(SubmitError::IdTaken(taken)) if taken == id), "{refused:?}");
}

#[tokio::test]
async fn a_request_that_follows_a_redirect_which_is_gone_is_no_job() {
    let bench = Bench::new().await;
    let submitter = &bench.intake.submitter;
    let id = JobId::new();
    let mut headers = http::HeaderMap::new();
    let behind = submitter.id_behind(id).to_string();
    headers.insert(proxq_protocol::header::REDIRECTS, behind.parse().unwrap());
    let known = KnownRedirects::read(&headers).unwrap();
    let refused = submitter.submit(proposed(id, ONE, known)).await;
    assert!(matches!(refused, Err(SubmitError::RedirectGone(gone)) if gone == id), "{refused:?}");
}
