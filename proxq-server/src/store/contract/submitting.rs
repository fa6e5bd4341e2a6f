//! `submit`.

use super::*;
use crate::store::Claim;

pub(in super::super) async fn a_submitted_job_is_pending(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let job = found(store, id).await;
    assert_eq!((job.state, job.progress.attempts, job.progress.due_at), (State::Pending, 0, None));
}

pub(in super::super) async fn a_delayed_job_is_scheduled(backend: &mut impl Backend) {
    let store = backend.store();
    let id = job_in(store, State::Scheduled).await;
    let job = found(store, id).await;
    assert_eq!(job.state, State::Scheduled);
    assert!(job.progress.due_at.unwrap() >= START.after(Duration::from_mins(10)));
    assert!(lease_ids(store, 10).await.is_empty());
}

pub(in super::super) async fn the_same_submission_again_is_the_same_job(backend: &mut impl Backend) {
    let store = backend.store();
    let first = job();
    let id = first.request.id;
    store.submit(first.clone()).await.unwrap();
    assert_eq!(store.submit(first.clone()).await.unwrap(), Submitted::Existing(id));
    store.settle(&leased(store).await.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(store.submit(first).await.unwrap(), Submitted::Existing(id), "whatever its state");
    assert!(lease_ids(store, 10).await.is_empty());
}

pub(in super::super) async fn a_job_id_of_another_credential_is_taken(backend: &mut impl Backend) {
    let store = backend.store();
    let mut job = job();
    store.submit(job.clone()).await.unwrap();
    job.request.credential = CredentialHash([8; 32]);
    job.request.path = "/api/other".to_owned();
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::Taken);
    assert_eq!(found(store, id).await.request.path, "/api/reports");
}

pub(in super::super) async fn a_job_id_of_another_request_is_taken(backend: &mut impl Backend) {
    let store = backend.store();
    let first = job();
    let id = first.request.id;
    store.submit(first.clone()).await.unwrap();
    let other = |change: &dyn Fn(&mut NewJob)| {
        let mut other = first.clone();
        change(&mut other);
        other
    };
    let claim = Claim { scope: [1; 32], fingerprint: [2; 32], ttl: Duration::from_mins(1) };
    for other in [
        other(&|job| job.request.method = Method::PUT),
        other(&|job| job.request.path = "/api/other".to_owned()),
        other(&|job| job.request.target = "http://api:3000/reports?year=2027".parse().unwrap()),
        other(&|job| job.body = Body::Inline(Bytes::from_static(b"of another length than that"))),
        other(&|job| (job.request.method, job.claim) = (Method::PUT, Some(claim))),
    ] {
        assert_eq!(store.submit(other).await.unwrap(), Submitted::Taken);
    }
    let moved = other(&|job| {
        job.request.target = job.request.target.to_string().replacen("api", "elsewhere", 1).parse().unwrap();
        job.request.headers.insert("x-sent-at", HeaderValue::from_static("later"));
    });
    assert_eq!(store.submit(moved).await.unwrap(), Submitted::Existing(id), "the upstream's URL is not the client's");
    store.cancel(id).await.unwrap();
    assert_eq!(store.submit(other(&|job| job.request.method = Method::PUT)).await.unwrap(), Submitted::New);
}

pub(in super::super) async fn of_many_submissions_of_one_id_one_is_new(backend: &mut impl Backend) {
    let store = backend.store();
    let job = job();
    let submissions = (0..64).map(|_| store.submit(job.clone()));
    let outcomes = futures_util::future::try_join_all(submissions).await.unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Submitted::New).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Submitted::Existing(job.request.id)).count(), 63);
    assert_eq!(lease_ids(store, 64).await, [job.request.id]);
}

pub(in super::super) async fn a_cancelled_jobs_id_is_free_again(backend: &mut impl Backend) {
    let store = backend.store();
    let mut job = job();
    store.submit(job.clone()).await.unwrap();
    store.cancel(job.request.id).await.unwrap();
    job.request.credential = CredentialHash([8; 32]);
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
}

pub(in super::super) async fn a_submission_survives_a_restart(backend: &mut impl Backend) {
    let pending = submitted(backend.store()).await;
    let scheduled = job_in(backend.store(), State::Scheduled).await;
    backend.reopen().await;
    assert_eq!(state_of(backend.store(), pending).await, Some(State::Pending));
    assert_eq!(state_of(backend.store(), scheduled).await, Some(State::Scheduled));
    assert_eq!(lease_ids(backend.store(), 10).await, [pending]);
}

pub(in super::super) async fn a_request_comes_back_as_it_was_submitted(backend: &mut impl Backend) {
    let store = backend.store();
    let mut job = job();
    let request = &mut job.request;
    for value in [&b"first"[..], b"\xff\x80 not UTF-8", b"last"] {
        request.headers.append("x-dup", HeaderValue::from_bytes(value).unwrap());
    }
    for secret in ["Bearer one", "Bearer two"] {
        request.headers.append("authorization", HeaderValue::from_static(secret));
    }
    request.added_headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
    request.client = "2001:db8::1".parse().unwrap();
    request.owner = Some("somebody".to_owned());
    request.idempotency_key = Some(b"\xffkey".to_vec());
    request.delivery = Delivery::AtMostOnce;
    job.body = Body::Inline(Bytes::from_static(b"\0\xff raw"));
    store.submit(job.clone()).await.unwrap();

    let leased = leased(store).await;
    assert_eq!(leased.body, job.body);
    job.request.secret_names = vec![http::header::AUTHORIZATION];
    assert_eq!(format!("{:?}", leased.request), format!("{:?}", job.request), "every field, every header in its order");
    let mut shown = found(store, job.request.id).await.request;
    assert!(!shown.headers.contains_key("authorization"), "a status needs no secrets");
    job.request.headers.remove("authorization");
    shown.headers.remove("authorization");
    assert_eq!(format!("{shown:?}"), format!("{:?}", job.request));
}
