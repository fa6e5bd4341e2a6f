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
    NewSubmission { request, body, delay: None, id_origin: IdOrigin::Server, claimant, held: None }
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
    assert_eq!(job, SubmittedJob { id, made_by: MadeBy::ThisOne, turn: None });
    let leased = bench.store.lease(&bench.intake.submitter.config.queue, 1).await.unwrap().remove(0);
    assert_eq!(leased.lease.id, id);
    assert!(matches!(leased.body, Body::Inline(body) if body == "body"));
}

#[tokio::test]
async fn an_idempotency_key_is_one_job_for_each_claimant() {
    let bench = Bench::new().await;
    let submit = async |body, claimant| bench.intake.submitter.submit(submission(body, claimant)).await;
    let first = submit(b"body", Some(ONE)).await.unwrap();
    assert_eq!(first.made_by, MadeBy::ThisOne);
    assert_eq!(
        submit(b"body", Some(ONE)).await.unwrap(),
        SubmittedJob { id: first.id, made_by: MadeBy::SameKey, turn: None }
    );
    assert!(matches!(submit(b"another", Some(ONE)).await, Err(SubmitError::IdempotencyMismatch)));
    for claimant in [Some(OTHER), None, None] {
        let job = submit(b"body", claimant).await.unwrap();
        assert!(job.made_by == MadeBy::ThisOne && job.id != first.id, "{claimant:?}");
    }
}

#[tokio::test]
async fn a_proposed_id_is_one_job_of_one_credential() {
    let bench = Bench::new().await;
    let submitter = &bench.intake.submitter;
    let id = JobId::new();
    for _ in 0..2 {
        let job = submitter.submit(proposed(id, ONE, None)).await.unwrap();
        assert_eq!(job, SubmittedJob { id, made_by: MadeBy::ThisOne, turn: None });
    }
    let refused = submitter.submit(proposed(id, OTHER, None)).await;
    assert!(matches!(refused, Err(SubmitError::IdTaken(taken)) if taken == id), "{refused:?}");
}

/// A try of a call, whose client said what and counts its tries.
fn nth_try(headers: &[(&'static str, &'static str)], repeats: bool, claimant: CredentialHash) -> NewSubmission {
    let mut new = submission(b"body", Some(claimant));
    new.request.idempotency_key = None;
    new.request.headers.extend(
        headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))),
    );
    let terms = CallTerms { joins: true, repeats, cancel_when_abandoned: false };
    NewSubmission { held: Some(HeldClient { terms, gone: CancellationToken::new() }), ..new }
}

#[tokio::test]
async fn a_later_try_is_the_same_call_whichever_way_it_came() {
    let bench = Bench::new().await;
    let submitter = &bench.intake.submitter;
    let first = submitter.submit(nth_try(&[("x-request-id", "a"), ("accept", "a/b")], false, ONE)).await.unwrap();
    assert_eq!(first.turn, Some(Turn::first(first.id)));
    bench.store.abandoned(Turn::first(first.id), crate::store::LeftBy::Client).await.unwrap();
    for (headers, claimant) in [(&[("accept", "a/c")][..], ONE), (&[("accept", "a/b")], OTHER)] {
        let other = submitter.submit(nth_try(headers, true, claimant)).await.unwrap();
        assert_eq!(other.made_by, MadeBy::ThisOne, "{headers:?}");
    }
    let other_way = [("x-request-id", "b"), ("accept", "a/b"), ("b3", "c"), ("x-b3-traceid", "d"), ("via", "1.1 e")];
    let again = submitter.submit(nth_try(&other_way, true, ONE)).await.unwrap();
    let turn = Turn { number: 2, ..Turn::first(first.id) };
    assert_eq!(again, SubmittedJob { id: first.id, made_by: MadeBy::EarlierTry, turn: Some(turn) });
}

#[tokio::test]
async fn a_later_try_waits_for_the_first_client_to_go() {
    let bench = Bench::new().await;
    let submitter = &bench.intake.submitter;
    let first = submitter.submit(nth_try(&[], false, ONE)).await.unwrap();
    let (again, ()) = tokio::join!(submitter.submit(nth_try(&[], true, ONE)), async {
        bench.store.abandoned(Turn::first(first.id), crate::store::LeftBy::Client).await.unwrap();
    });
    assert_eq!(again.unwrap().id, first.id);
}

#[tokio::test]
async fn a_later_try_whose_client_goes_away_while_it_waits_is_no_job() {
    let bench = Bench::new().await;
    let submitter = &bench.intake.submitter;
    submitter.submit(nth_try(&[], false, ONE)).await.unwrap();
    let waiting = nth_try(&[], true, ONE);
    let client_gone = waiting.held.as_ref().expect("it has a client").gone.clone();
    let (given_up, ()) = tokio::join!(submitter.submit(waiting), async { client_gone.cancel() });
    assert!(matches!(given_up, Err(SubmitError::ClientGone)), "{given_up:?}");
    let leased = bench.store.lease(&submitter.config.queue, 2).await.unwrap();
    assert_eq!(leased.len(), 1, "the first try's job alone");
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
