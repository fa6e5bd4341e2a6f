//! `settle`.

use super::*;
use crate::store::contract::leasing::LEASE_LOST;
use crate::store::{Content, StoreError};

pub(in super::super) async fn a_completed_job_has_its_response(backend: &mut impl Backend) {
    let id = submitted(backend.store()).await;
    let job = leased(backend.store()).await;
    backend.advance(Duration::from_secs(2)).await;
    let response = response(500, &b"boom\xff"[..]);
    backend.store().settle(&job.lease, Verdict::Complete(response.clone())).await.unwrap();
    backend.reopen().await;
    let found = found(backend.store(), id).await;
    assert_eq!((found.state, found.progress.outcome), (State::Completed, Some(Outcome::Responded)));
    assert_eq!(found.progress.ended_at, Some(START.after(Duration::from_secs(2))));
    assert_eq!(found.progress.history.back().unwrap().status, Some(500));
    let Content::Ready(stored) = backend.store().response(id).await.unwrap() else { panic!("no response") };
    assert_eq!(stored, response);
}

pub(in super::super) async fn a_job_that_rests_is_due_after_its_pause(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let pause = backend.grain() * 100;
    store.settle(&leased(store).await.lease, retry_after(pause)).await.unwrap();
    let resting = found(store, id).await;
    assert_eq!((resting.state, resting.progress.retried), (State::Retry, 1));
    assert_eq!(resting.progress.last_error.as_deref(), Some("connect: refused"));
    assert!(resting.progress.due_at.is_some());
    backend.advance(pause.saturating_sub(Duration::from_millis(1))).await;
    assert!(lease_ids(store, 1).await.is_empty());
    backend.advance(Duration::from_millis(1)).await;
    let again = leased(store).await;
    assert_eq!((again.lease.id, again.progress.attempts, again.progress.due_at), (id, 2, None));
    store.settle(&again.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(found(store, id).await.progress.last_error, None, "cleared by the success");
}

pub(in super::super) async fn an_uncharged_retry_spends_no_budget(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let verdict = Verdict::RetryAfter {
        pause: Duration::ZERO,
        error: "aborted".to_owned(),
        reach: Reach::NotSent,
        charged: false,
    };
    store.settle(&leased(store).await.lease, verdict).await.unwrap();
    assert_eq!(found(store, id).await.progress.retried, 0);
    assert_eq!(leased(store).await.lease.id, id, "due at once");
}

pub(in super::super) async fn a_failed_job_says_why(backend: &mut impl Backend) {
    let store = backend.store();
    let id = job_in(store, State::Archived).await;
    let found = found(store, id).await;
    assert_eq!(found.progress.last_error.as_deref(), Some("connect: refused"));
    assert_eq!((found.progress.outcome, found.progress.reach), (Some(Outcome::Indeterminate), Some(Reach::Unknown)));
    assert_eq!(found.progress.ended_at, Some(START));
    let Content::Failed { error } = store.response(id).await.unwrap() else { panic!("not failed") };
    assert_eq!(error, "connect: refused");
}

pub(in super::super) async fn a_released_job_is_the_next_one_again(backend: &mut impl Backend) {
    let store = backend.store();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(submitted(store).await);
    }
    let batch = store.lease(&queue(), 2).await.unwrap();
    for job in &batch {
        store.settle(&job.lease, Verdict::Release).await.unwrap();
    }
    let released = found(store, ids[0]).await;
    assert_eq!((released.state, released.progress.attempts), (State::Pending, 0));
    assert_eq!(lease_ids(store, 4).await, ids);
}

pub(in super::super) async fn a_worker_that_lost_its_lease_cannot_settle(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    let lost = leased(store).await;
    backend.advance(LEASE_LOST).await;
    store.upkeep().await.unwrap();
    let refused = |outcome| matches!(outcome, Err(StoreError::LeaseLost { id: of }) if of == id);
    assert!(refused(store.settle(&lost.lease, Verdict::Release).await), "before it is handed on");
    let current = leased(store).await;
    let before = found(store, id).await.progress;
    for verdict in [Verdict::Complete(response(200, "stale")), failure(), Verdict::Release] {
        assert!(refused(store.settle(&lost.lease, verdict).await));
    }
    assert_eq!(found(store, id).await.progress, before, "nothing changed");
    store.settle(&current.lease, Verdict::Complete(response(200, "current"))).await.unwrap();
    let Content::Ready(stored) = store.response(id).await.unwrap() else { panic!("no response") };
    assert_eq!(stored.body, Body::Inline("current".into()));
}

pub(in super::super) async fn a_lease_is_settled_once(backend: &mut impl Backend) {
    let store = backend.store();
    submitted(store).await;
    let job = leased(store).await;
    let verdicts = (0..16).map(|n| store.settle(&job.lease, Verdict::Complete(response(200, n.to_string()))));
    let outcomes = futures_util::future::join_all(verdicts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

pub(in super::super) async fn the_token_of_a_cancelled_job_does_not_fit_its_successor(backend: &mut impl Backend) {
    let job = job();
    backend.store().submit(job.clone()).await.unwrap();
    let old = leased(backend.store()).await;
    backend.store().cancel(job.request.id).await.unwrap();
    backend.store().submit(job).await.unwrap();
    let new = leased(backend.store()).await;
    let stale = backend.store().settle(&old.lease, Verdict::Complete(response(200, "stale"))).await;
    assert!(matches!(stale, Err(StoreError::LeaseLost { .. })));
    assert_eq!(backend.store().renew(&[old.lease, new.lease]).await.unwrap(), [old.lease]);
}

fn job_with_secret() -> NewJob {
    let mut job = job();
    job.request.headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
    job
}

pub(in super::super) async fn a_completed_job_forgets_its_secrets(backend: &mut impl Backend) {
    let store = backend.store();
    store.submit(job_with_secret()).await.unwrap();
    let job = leased(store).await;
    assert_eq!(job.request.headers["authorization"], "Bearer secret");
    store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let page = store.list(&queue(), State::Completed, JobOrder::OldestFirst, None, 10).await.unwrap();
    assert!(!page.jobs[0].request.headers.contains_key("authorization"));
}

pub(in super::super) async fn other_secret_headers_count_for_new_jobs(backend: &mut impl Backend) {
    let store = backend.store();
    let with_session = || {
        let mut job = job_with_secret();
        job.request.headers.insert("x-listed", HeaderValue::from_static("s"));
        job
    };
    let (old, new) = (with_session(), with_session());
    let ids = [old.request.id, new.request.id];
    store.submit(old).await.unwrap();
    let secret_headers = SecretHeaders::with(vec![http::HeaderName::from_static("x-listed")]);
    store.reconfigure(StoreSettings { secret_headers, ..settings() });
    store.submit(new).await.unwrap();
    for job in store.lease(&queue(), 2).await.unwrap() {
        assert_eq!(job.request.headers["x-listed"], "s");
        store.reconfigure(settings());
        store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    }
    let shown = [found(store, ids[0]).await, found(store, ids[1]).await].map(|job| {
        let headers = job.request.headers;
        ["authorization", "x-listed"].map(|name| headers.contains_key(name))
    });
    assert_eq!(shown, [[false, true], [false, false]]);
}

pub(in super::super) async fn a_failed_job_keeps_its_secrets_for_a_retry(backend: &mut impl Backend) {
    let store = backend.store();
    let job = job_with_secret();
    let id = job.request.id;
    store.submit(job).await.unwrap();
    store.settle(&leased(store).await.lease, failure()).await.unwrap();
    store.retry_failed(id, true).await.unwrap();
    assert_eq!(leased(store).await.request.headers["authorization"], "Bearer secret");
}

pub(in super::super) async fn the_last_attempts_are_remembered(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    for _ in 0..25 {
        store.settle(&leased(store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
    }
    let progress = found(store, id).await.progress;
    assert_eq!((progress.attempts, progress.retried), (25, 25));
    let numbers: Vec<u32> = progress.history.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (6..=25).collect::<Vec<_>>());
}
