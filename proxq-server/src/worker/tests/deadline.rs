//! Attempts at jobs with a deadline.

use super::*;
use crate::job::{Backoff, Outcome, Reach, RetryPolicy, TimeBounds};

fn with_deadline(bench: &Bench, deadline: Duration) -> NewJob {
    let mut job = bench.job();
    job.request.bounds = TimeBounds { start_within: None, deadline: Some(deadline) };
    job
}

#[tokio::test]
async fn a_deadline_cuts_an_attempt_and_says_so() {
    let bench = Bench::start().await;
    let id = bench.submit(with_deadline(&bench, Duration::from_millis(500))).await;
    bench.request().await.broken_off().await;
    let progress = bench.job_in(State::Archived, id).await.progress;
    assert_eq!((progress.reach, progress.outcome), (Some(Reach::Unknown), Some(Outcome::Indeterminate)));
    let error = progress.last_error.unwrap();
    assert!(error.contains("no complete response") && error.ends_with("(cut by X-Proxq-Deadline)"), "{error}");
    bench.stop().await;
}

#[tokio::test]
async fn a_timeout_that_is_shorter_than_the_deadline_counts() {
    let bench = Bench::start().await;
    let mut job = with_deadline(&bench, Duration::from_mins(10));
    job.request.timeout = Duration::from_millis(500);
    let id = bench.submit(job).await;
    bench.request().await.broken_off().await;
    let error = bench.job_in(State::Archived, id).await.progress.last_error.unwrap();
    assert!(error.ends_with("within 500ms"), "{error}");
    bench.stop().await;
}

#[tokio::test]
async fn a_retry_that_would_begin_after_the_deadline_is_not_waited_for() {
    let bench = Bench::start_with(|config| {
        upstream(config).retries = RetryPolicy { max_retries: 5, backoff: Backoff::Fixed(Duration::from_mins(10)) };
    })
    .await;
    for (deadline, state) in [(Duration::from_mins(10), State::Archived), (Duration::from_mins(20), State::Retry)] {
        let mut job = with_deadline(&bench, deadline);
        job.request.idempotent = true;
        let id = bench.submit(job).await;
        drop(bench.request().await); // hangs up without an answer
        let progress = bench.job_in(state, id).await.progress;
        assert_eq!(progress.attempts, 1);
        let error = progress.last_error.unwrap();
        assert_eq!(error.ends_with("(not tried again: X-Proxq-Deadline)"), state == State::Archived, "{error}");
    }
    bench.stop().await;
}
