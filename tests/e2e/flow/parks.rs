//! Tests of what an upstream says of its limits: one credential waits, the others go on.

use harness::{Answer, Proxq, Record, Store, Upstream, on_every_store, post};
use jiff::Timestamp;
use proxq_protocol::{JobInfo, JobStatus, Waiting};

use super::{job_of, waits};

/// What an upstream says to the credential `a`; to all others it answers `200`.
async fn says_to_a(store: Store, answer: Answer) -> (Proxq, Upstream) {
    let upstream = Upstream::start().await;
    upstream.plan(move |head| match head.value("authorization").as_deref() {
        Some("a") => answer.clone(),
        _ => Answer::status(200),
    });
    let config = store.config_for(&upstream).upstream("retryOn", vec![429, 503]).upstream("maxRetries", 3);
    (Proxq::start(config.upstream("retryDelay", "30s")).await, upstream)
}

/// In how many seconds the next attempt comes.
fn seconds_to_next(status: &JobInfo) -> i64 {
    let next: Timestamp = status.next_attempt_at.as_ref().expect("it waits").parse().expect("a time");
    next.duration_since(Timestamp::now()).as_secs()
}

on_every_store! {
    async fn a_park_holds_up_only_its_credential(store: Store) {
        for answer in [
            Answer::status(429).header("Retry-After", "3600"),
            Answer::status(503).header("retry-after-ms", "3600000"),
            Answer::status(429).header("x-ratelimit-remaining-requests", "0").header("x-ratelimit-reset-requests", "1h0m0s"),
            Answer::status(429).header("RateLimit", "\"hour\";r=0;t=3600"),
        ] {
            let (proxq, upstream) = says_to_a(store, answer).await;
            let refused = proxq.submit(job_of("a")).await;
            let status = waits(&proxq, &refused, Waiting::Parked).await;
            assert!((3590..=3601).contains(&seconds_to_next(&status)), "{status:?}");
            let next = proxq.submit(job_of("a")).await;
            proxq.through_queue(job_of("b")).await;
            proxq.through_queue(post("/x")).await;
            waits(&proxq, &next, Waiting::Parked).await;
            assert_eq!(upstream.deliveries(next.id), 0);
        }
    }

    async fn a_park_may_end_at_a_date(store: Store) {
        let hour = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let date = hour.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let (proxq, _upstream) = says_to_a(store, Answer::status(429).header("Retry-After", date)).await;
        let refused = proxq.submit(job_of("a")).await;
        let status = waits(&proxq, &refused, Waiting::Parked).await;
        assert!((3590..=3601).contains(&seconds_to_next(&status)), "{status:?}");
    }

    async fn a_success_with_nothing_left_parks_what_comes_next(store: Store) {
        let nothing_left = Answer::status(200).header("x-ratelimit-remaining-requests", "0");
        let (proxq, upstream) = says_to_a(store, nothing_left.header("x-ratelimit-reset-requests", "1h")).await;
        proxq.through_queue(job_of("a")).await;
        let next = proxq.submit(job_of("a")).await;
        waits(&proxq, &next, Waiting::Parked).await;
        proxq.through_queue(job_of("b")).await;
        assert_eq!(upstream.deliveries(next.id), 0);
    }

    async fn a_direct_response_with_nothing_left_parks_jobs(store: Store) {
        let (proxq, upstream) = says_to_a(store, Answer::status(429).header("Retry-After", "3600")).await;
        proxq.send(job_of("a").header("X-Proxq-Mode", "direct")).await.from_upstream(429);
        // The client has the answer no later for the park, which is stored meanwhile.
        let next = proxq.submit(job_of("a").header("X-Proxq-Delay", "1s")).await;
        waits(&proxq, &next, Waiting::Parked).await;
        assert_eq!(upstream.deliveries(next.id), 0);
        proxq.send(job_of("a").header("X-Proxq-Mode", "direct")).await.from_upstream(429);
    }

    async fn jobs_go_on_when_a_park_is_over(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::status(429).header("Retry-After", "1"));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("retryOn", vec![429])).await;
        let mut jobs = vec![proxq.submit(job_of("a")).await];
        waits(&proxq, &jobs[0], Waiting::Parked).await;
        jobs.push(proxq.submit(job_of("a")).await);
        for job in &jobs {
            assert_eq!(proxq.response(job).await.status, 200);
        }
        assert_eq!(upstream.received().len(), 3);
    }

    async fn a_park_outlives_a_restart_of_proxq(store: Store) {
        let (mut proxq, upstream) = says_to_a(store, Answer::status(429).header("Retry-After", "3600")).await;
        let refused = proxq.submit(job_of("a")).await;
        waits(&proxq, &refused, Waiting::Parked).await;
        proxq.stop().await;
        proxq.start_again().await;
        assert!(seconds_to_next(&proxq.status(&refused).await) > 3500, "the job itself waits in any case");
        proxq.through_queue(job_of("b")).await;
        assert_eq!(upstream.deliveries(refused.id), 1);
    }

    async fn a_time_that_makes_no_sense_parks_nobody_and_is_logged_once(store: Store) {
        for (value, is_logged) in
            [("Thu, 01 Jan 2026 00:00:00 GMT", false), ("-5", true), ("soon", true), ("NaN", true), ("", true)]
        {
            let (proxq, upstream) = says_to_a(store, Answer::status(429).header("Retry-After", value)).await;
            for _ in 0..3 {
                proxq.send(job_of("a").header("X-Proxq-Mode", "direct")).await.from_upstream(429);
            }
            let job = proxq.submit(job_of("a")).await;
            upstream.arrivals(4).await;
            proxq.resting(&job).await;
            let about_it = |record: &Record| record.level() == "WARN" && record.field("name").as_deref() == Some("retry-after");
            let warnings: Vec<_> = proxq.log().records().into_iter().filter(about_it).collect();
            assert_eq!(warnings.len(), usize::from(is_logged), "{value:?}: {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.field("value").as_deref() == Some(value)), "{warnings:?}");
        }
    }

    async fn a_time_that_makes_no_sense_costs_a_retry_and_its_usual_pause(store: Store) {
        for value in ["-5", "Thu, 01 Jan 2026 00:00:00 GMT"] {
            let (proxq, _upstream) = says_to_a(store, Answer::status(429).header("Retry-After", value)).await;
            let job = proxq.submit(job_of("a")).await;
            let status = proxq.resting(&job).await;
            assert!((28..=31).contains(&seconds_to_next(&status)), "{value}: {status:?}");
        }
    }

    async fn a_refusal_that_does_not_say_when_holds_up_its_credential_as_long_as_its_job(store: Store) {
        let (proxq, upstream) = says_to_a(store, Answer::status(503)).await;
        let refused = proxq.submit(job_of("a")).await;
        let status = proxq.resting(&refused).await;
        assert!((28..=31).contains(&seconds_to_next(&status)), "{status:?}");
        let next = proxq.submit(job_of("a")).await;
        proxq.through_queue(job_of("b")).await;
        waits(&proxq, &next, Waiting::Parked).await;
        assert_eq!(upstream.deliveries(next.id), 0);
    }

    async fn nobody_waits_for_longer_than_a_day(store: Store) {
        for value in ["1000000000000", "Fri, 31 Dec 9999 23:59:59 GMT", "1e300"] {
            let (proxq, _upstream) = says_to_a(store, Answer::status(429).header("Retry-After", value)).await;
            let job = proxq.submit(job_of("a")).await;
            let seconds = seconds_to_next(&waits(&proxq, &job, Waiting::Parked).await);
            assert!((86_300..=86_402).contains(&seconds), "{value}: {seconds}");
        }
    }

    async fn a_used_up_quota_parks_nobody_else(store: Store) {
        let body = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let (proxq, upstream) = says_to_a(store, Answer::status(429).header("Content-Type", "application/json").body(body)).await;
        let job = proxq.submit(job_of("a")).await;
        upstream.arrivals(1).await;
        for _ in 0..3 {
            proxq.through_queue(job_of("b")).await;
        }
        let status = proxq.status(&job).await;
        assert_ne!(status.status, JobStatus::Failed, "{status:?}");
    }

    async fn what_says_that_something_is_left_parks_nobody(store: Store) {
        let left = Answer::status(200).header("x-ratelimit-remaining-requests", "1").header("x-ratelimit-reset-requests", "1h");
        let (proxq, _upstream) = says_to_a(store, left.header("Retry-After", "3600")).await;
        for _ in 0..3 {
            proxq.through_queue(job_of("a")).await;
        }
    }
}
