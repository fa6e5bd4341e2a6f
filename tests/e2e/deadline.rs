//! Tests of `X-Proxq-Start-Within` and `X-Proxq-Deadline`: a job that is not begun in time is never sent, and none is tried
//! after its deadline.

use std::time::Duration;

use harness::{Answer, Gate, Job, Proxq, Reply, Store, Upstream, get, on_every_store, once, outlast, post, put};
use proxq_protocol::{JobStatus, Outcome};
use tokio::time::Instant;

const BOUNDS: [&str; 2] = ["X-Proxq-Start-Within", "X-Proxq-Deadline"];

/// A second until the job's time is over, one for upkeep's tick, the rest for a busy machine. A follower is held for 50 s.
const PROMPT: Duration = Duration::from_secs(10);

/// A server whose one worker is busy until the gate is opened, and the job that it is busy with.
async fn busy(store: Store) -> (Proxq, Upstream, Gate, Job) {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.always(Answer::status(200).wait(&gate));
    let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
    let first = proxq.submit(post("/first")).await;
    upstream.arrivals(1).await;
    (proxq, upstream, gate, first)
}

fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{reply}");
    assert_eq!(reply.header("x-should-retry").as_deref(), Some("false"), "{reply}");
}

on_every_store! {
    async fn a_follower_whose_job_is_not_begun_in_time_is_told_promptly(store: Store) {
        let (proxq, upstream, gate, first) = busy(store).await;
        for name in BOUNDS {
            let begun = Instant::now();
            let reply = proxq.send(post("/late").header("X-Proxq-Mode", "follow").header(name, "1s")).await;
            let elapsed = begun.elapsed();
            refused(&reply, 424, "EXPIRED");
            assert_eq!(reply.json()["outcome"], "not_sent");
            let error = format!("expired: not begun within 1s ({name})");
            assert!(reply.detail().contains(&error), "{reply}");
            assert!(elapsed >= Duration::from_secs(1) && elapsed < PROMPT, "{elapsed:?}");
            let location = format!("/__jobs/{}", reply.header("x-proxq-job-id").unwrap());
            let status = proxq.send(get(&location)).await.json();
            assert_eq!((&status["status"], &status["outcome"]), (&"failed".into(), &"not_sent".into()), "{status}");
            assert_eq!((&status["error"], &status["attempts"]), (&error.into(), &0.into()), "{status}");
            assert!(status["failedAt"].is_string() && status["startedAt"].is_null(), "{status}");
            refused(&proxq.send(get(&format!("{location}/content"))).await, 404, "JOB_FAILED");
            for final_answer in ["hop=1", "pending=202"] {
                refused(&proxq.send(get(&format!("{location}/content?{final_answer}"))).await, 424, "EXPIRED");
            }
        }
        let record = proxq.log().record("the failure is logged", |record| record.message() == "job failed").await;
        assert_eq!((record.level(), record.field("outcome").as_deref()), ("WARN", Some("not_sent")));
        gate.open();
        proxq.response(&first).await;
        assert_eq!(upstream.received().len(), 1, "nothing else was sent");
    }

    async fn an_expired_job_runs_when_somebody_orders_it(store: Store) {
        let (proxq, upstream, gate, _first) = busy(store).await;
        let late = proxq.submit(post("/late").header("X-Proxq-Start-Within", "100ms")).await;
        assert_eq!(proxq.settled(&late).await.outcome, Some(Outcome::NotSent));
        let ordered = proxq.send(post(&format!("{}/retry", late.location))).await;
        assert_eq!(ordered.status, 202, "{ordered}");
        gate.open();
        assert_eq!(proxq.response(&late).await.status, 200);
        assert_eq!(upstream.deliveries(late.id), 1);
    }

    async fn a_job_that_begins_in_time_has_all_the_time_that_it_needs(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let begins = proxq.submit(post("/x").header("X-Proxq-Start-Within", "2s")).await;
        upstream.arrivals(1).await;
        // One that expires later shows that the time is over.
        let free = proxq.submit(post("/x").header("X-Proxq-Deadline", "2500ms").header("X-Proxq-Timeout", "1m")).await;
        let cut = proxq.settled(&free).await;
        assert_eq!((cut.status, cut.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert_eq!(proxq.status(&begins).await.status, JobStatus::Running);
        gate.open();
        assert_eq!(proxq.response(&begins).await.status, 200);
        let request = upstream.request().await;
        assert!(BOUNDS.iter().all(|name| request.header(name).is_none()), "they are for proxq alone");
    }

    async fn a_deadline_cuts_an_attempt(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("maxRetries", 5)).await;
        let begun = Instant::now();
        let reply = proxq.send(post("/slow").header("X-Proxq-Mode", "wait").header("X-Proxq-Deadline", "1s")).await;
        refused(&reply, 424, "JOB_FAILED");
        assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
        assert_eq!(reply.json()["outcome"], "indeterminate");
        assert!(reply.detail().contains("(cut by X-Proxq-Deadline);"), "{reply}");
        upstream.abandoned(reply.header("x-proxq-job-id").unwrap().parse().unwrap()).await;
        assert_eq!(upstream.received().len(), 1);
    }

    async fn no_retry_begins_after_the_deadline(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 5).upstream("retryDelay", "5m");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(put("/broken").header("X-Proxq-Deadline", "4m")).await;
        let failed = proxq.settled(&job).await;
        assert_eq!((failed.attempts, failed.outcome), (Some(1), Some(Outcome::Indeterminate)));
        let error = failed.error.unwrap();
        assert!(error.ends_with("(not tried again: X-Proxq-Deadline)"), "{error}");
        let longer = proxq.submit(put("/broken").header("X-Proxq-Deadline", "6m")).await;
        assert!(proxq.attempt_failed(&longer).await.next_attempt_at.is_some(), "this one has the time");
        drop(upstream);
        let reply = proxq.send(post("/x").header("X-Proxq-Mode", "wait").header("X-Proxq-Deadline", "4m")).await;
        assert_eq!((reply.status, reply.header("x-should-retry").as_deref()), (502, Some("true")), "never sent: {reply}");
    }

    async fn a_job_expires_though_its_server_was_killed(store: Store) {
        let upstream = Upstream::start().await;
        let front = store.config_for(&upstream).set("concurrency", 0);
        let mut proxq = Proxq::start(front.clone()).await;
        let mut jobs = Vec::new();
        for name in BOUNDS {
            jobs.push(proxq.submit(post("/x").header(name, "500ms")).await);
        }
        proxq.kill();
        outlast(Duration::from_millis(500)).await;
        proxq.start_again_with(front.set("concurrency", 10)).await;
        for job in &jobs {
            let expired = proxq.settled(job).await;
            assert_eq!((expired.status, expired.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
            assert!(expired.error.unwrap().starts_with("expired: not begun within 500ms"));
        }
        let next = proxq.submit(post("/next")).await;
        proxq.response(&next).await;
        assert_eq!(upstream.received().len(), 1, "workers came too late for the others");
    }
}

once! {
    async fn bounds_that_cannot_be_are_refused(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("maxDelay", "1h")).await;
        for name in BOUNDS {
            for bad in ["0", "0s", "-1s", "10", "soon", "", "61m", "1h1ns", "9999999999999999999h"] {
                let reply = proxq.send(post("/x").header(name, bad)).await;
                reply.refused(400, "BAD_HEADER");
                assert!(reply.detail().starts_with(&format!("{name}: \"{bad}\" is not valid: ")), "{}", reply.detail());
            }
            let twice = proxq.send(post("/x").header(name, "1m").header(name, "1m")).await;
            twice.refused(400, "BAD_HEADER");
            assert!(twice.detail().contains("more than once"), "{}", twice.detail());
            let late = proxq.send(post("/x").header(name, "59s").header("X-Proxq-Delay", "1m")).await;
            late.refused(400, "BAD_HEADER");
            let expected = format!("{name}: \"59s\" is not valid: it is shorter than X-Proxq-Delay (1m0s)");
            assert!(late.detail().starts_with(&expected), "{}", late.detail());
        }
        let [start_within, deadline] = BOUNDS;
        let crossed = proxq.send(post("/x").header(start_within, "2m").header(deadline, "1m")).await;
        crossed.refused(400, "BAD_HEADER");
        let expected = format!("{start_within}: \"2m\" is not valid: it is longer than {deadline} (1m0s)");
        assert!(crossed.detail().starts_with(&expected), "{}", crossed.detail());
        assert!(upstream.received().is_empty());
        let equal = post("/x").header(start_within, "1h").header(deadline, "1h").header("X-Proxq-Delay", "0");
        proxq.submit(equal).await;
    }

    async fn a_direct_request_has_no_bounds(proxq: Proxq, upstream: Upstream) {
        for name in BOUNDS {
            let reply = proxq.send(post("/x").header("X-Proxq-Mode", "direct").header(name, "nonsense")).await;
            assert_eq!(reply.status, 200, "{reply}");
        }
        assert!(upstream.received().iter().all(|request| BOUNDS.iter().all(|name| request.header(name).is_none())));
    }
}
