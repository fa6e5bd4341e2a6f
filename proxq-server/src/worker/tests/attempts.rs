//! lease → attempt → judge → settle.

use futures_util::TryStreamExt;
use proxq_protocol::header::CACHE_STATUS;

use super::*;
use crate::config::CacheMode;
use crate::job::{Backoff, Outcome, Reach, RetryPolicy, StoredResponse};
use crate::store::{BlobStore, Content, JobAccess};

/// The response of a completed job.
async fn response(bench: &Bench, id: JobId) -> StoredResponse {
    bench.job_in(State::Completed, id).await;
    let Content::Ready(response) = bench.store.response(id).await.unwrap() else { panic!("no response") };
    response
}

#[tokio::test]
async fn a_job_is_sent_and_its_response_stored() {
    let bench = Bench::start().await;
    let id = bench.submitted().await;
    let exchange = bench.request().await;
    assert!(exchange.head.starts_with("POST /x HTTP/1.1\r\n"), "{}", exchange.head);
    assert!(exchange.head.contains(&format!("X-Proxq-Job-Id: {id}\r\n")), "{}", exchange.head);
    exchange.answer("500 Internal Server Error", "boom").await;
    let response = response(&bench, id).await;
    assert_eq!((response.head.status.as_u16(), response.body), (500, Body::Inline("boom".into())));
    let progress = bench.job_in(State::Completed, id).await.progress;
    assert_eq!((progress.attempts, progress.retried, progress.outcome), (1, 0, Some(Outcome::Responded)));
    bench.stop().await;
}

#[tokio::test]
async fn a_large_response_is_stored_as_a_blob() {
    let bench = Bench::start_with(|config| config.inline_body_limit = 3).await;
    let id = bench.submitted().await;
    bench.request().await.answer("200 OK", "long").await;
    let Body::Blob(blob) = response(&bench, id).await.body else { panic!("it is beside its job") };
    let chunks: Vec<Bytes> = bench.store.open_blob(&blob).await.unwrap().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"long");
    bench.stop().await;
}

#[tokio::test]
async fn a_job_is_retried_as_often_as_its_upstream_says() {
    let bench = Bench::start_with(|config| {
        upstream(config).retries = RetryPolicy { max_retries: 2, backoff: Backoff::Fixed(Duration::ZERO) };
    })
    .await;
    let mut job = bench.job();
    job.request.idempotent = true;
    let id = bench.submit(job).await;
    for _attempt in 1..=3 {
        drop(bench.request().await); // hangs up without an answer
    }
    let progress = bench.job_in(State::Archived, id).await.progress;
    assert_eq!((progress.attempts, progress.retried, progress.outcome), (3, 2, Some(Outcome::Indeterminate)));
    bench.stop().await;
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_again() {
    let bench = Bench::start_with(|config| {
        upstream(config).retries = RetryPolicy { max_retries: 2, backoff: Backoff::Fixed(Duration::ZERO) };
    })
    .await;
    let id = bench.submitted().await;
    drop(bench.request().await);
    let progress = bench.job_in(State::Archived, id).await.progress;
    assert_eq!((progress.attempts, progress.reach), (1, Some(Reach::Unknown)));
    bench.stop().await;
}

#[tokio::test]
async fn a_response_is_kept_until_the_store_takes_it() {
    let bench = Bench::start().await;
    let id = bench.submitted().await;
    let exchange = bench.request().await;
    bench.store.fail_to_settle(2);
    exchange.answer("200 OK", "kept").await;
    assert_eq!(response(&bench, id).await.body, Body::Inline("kept".into()));
    bench.stop().await;
}

#[tokio::test]
async fn a_cached_response_costs_the_upstream_nothing() {
    let bench = Bench::start_with(|config| config.cache.mode = CacheMode::Memory).await;
    let first = bench.submitted().await;
    bench.request().await.answer("200 OK", "once").await;
    let missed = response(&bench, first).await;
    let second = bench.submitted().await;
    let hit = response(&bench, second).await;
    assert_eq!(missed.head.headers[CACHE_STATUS], "MISS");
    assert_eq!(hit.head.headers[CACHE_STATUS], "HIT");
    assert_eq!(hit.body, missed.body);
    bench.stop().await;
}

#[tokio::test]
async fn an_aborted_attempt_is_judged_by_what_may_be_sent_again() {
    for (idempotent, state) in [(true, State::Retry), (false, State::Archived)] {
        let bench = Bench::start().await;
        let mut job = bench.job();
        job.request.idempotent = idempotent;
        let id = bench.submit(job).await;
        let exchange = bench.request().await;
        bench.worker.stop.draining.cancel();
        bench.worker.stop.abort.cancel();
        let progress = bench.job_in(state, id).await.progress;
        assert_eq!((progress.attempts, progress.retried), (1, 0), "it spends no retry");
        exchange.broken_off().await;
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_crash_settles_nothing() {
    let bench = Bench::start().await;
    let id = bench.submitted().await;
    let exchange = bench.request().await;
    let StopSignals { draining, abort, crashed, .. } = bench.worker.stop.clone();
    for signal in [crashed, draining, abort] {
        signal.cancel();
    }
    exchange.broken_off().await;
    soon(bench.worker.tasks.all_ended()).await;
    bench.job_in(State::Active, id).await;
    bench.stop().await;
}

#[tokio::test]
async fn no_job_is_leased_while_the_server_drains() {
    let bench = Bench::start().await;
    let running = bench.submitted().await;
    let exchange = bench.request().await;
    bench.worker.stop.draining.cancel();
    let waiting = bench.submitted().await;
    exchange.answer("200 OK", "in time").await;
    bench.job_in(State::Completed, running).await;
    soon(bench.worker.tasks.all_ended()).await;
    bench.job_in(State::Pending, waiting).await;
    bench.stop().await;
}
