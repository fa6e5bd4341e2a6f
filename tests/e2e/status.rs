//! Tests of a job's status, and of the probes.

use std::time::Duration;

use harness::{
    Answer, Gate, Proxq, Reply, Store, Upstream, eventually, get, head, on_every_store, once, post, request,
};
use jiff::Timestamp;
use proxq_protocol::{JobId, JobStatus, Outcome};
use serde_json::Value;

fn keys(reply: &Reply) -> Vec<String> {
    reply.json().as_object().expect("an object").keys().cloned().collect()
}

/// A time of the jobs API: RFC 3339, UTC, milliseconds.
#[track_caller]
fn time(value: &Value) -> Timestamp {
    let text = value.as_str().expect("a time");
    assert!(text.len() == "2026-01-01T00:00:00.123Z".len() && text.ends_with('Z'), "{text}");
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

on_every_store! {
    async fn a_completed_job_shows_its_life(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "done");
        let job = proxq.submit(post("/api/reports?secret=7").body("x")).await;
        proxq.settled(&job).await;
        let reply = proxq.send(get(&job.location)).await;
        assert_eq!(reply.header("content-type").as_deref(), Some("application/json"));
        let status = reply.json();
        assert_eq!(status["id"], job.id.to_string());
        assert_eq!(status["status"], "completed");
        assert_eq!(status["method"], "POST");
        assert_eq!(status["path"], "/api/reports", "without the query");
        assert_eq!((&status["attempts"], &status["maxRetries"]), (&Value::from(1), &Value::from(0)));
        assert_eq!(status["outcome"], "responded");
        let times = ["createdAt", "startedAt", "completedAt"].map(|key| time(&status[key]));
        assert!(times.is_sorted(), "{times:?}");
        let expected = [
            "attempts",
            "completedAt",
            "createdAt",
            "id",
            "maxRetries",
            "method",
            "outcome",
            "path",
            "startedAt",
            "status",
        ];
        let mut keys = keys(&reply);
        keys.sort();
        assert_eq!(keys, expected);
    }

    async fn a_waiting_job_is_queued(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 0)).await;
        let job = proxq.submit(post("/x")).await;
        let status = proxq.status(&job).await;
        assert_eq!(status.status, JobStatus::Queued);
        assert_eq!((status.started_at, status.completed_at, status.failed_at), (None, None, None));
        assert_eq!((status.outcome, status.error, status.next_attempt_at), (None, None, None));
    }

    async fn a_job_that_a_worker_is_on_is_running(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let status = proxq.status(&job).await;
        assert_eq!((status.status, status.attempts), (JobStatus::Running, Some(1)));
        assert!(status.started_at.is_some() && status.outcome.is_none() && status.completed_at.is_none());
        gate.open();
        proxq.response(&job).await;
    }

    async fn a_job_that_waits_for_a_retry_is_running_and_says_when(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 3).upstream("retryDelay", "1h");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(get("/x")).await;
        let status = proxq.resting(&job).await;
        assert_eq!((status.status, status.attempts, status.max_retries), (JobStatus::Running, Some(1), Some(3)));
        assert!(status.error.is_some() && status.outcome.is_none() && status.failed_at.is_none());
        let pause = time(&status.next_attempt_at.into()).duration_since(time(&status.created_at.into()));
        assert!((3599..3610).contains(&pause.as_secs()), "{pause:?}");
    }

    async fn a_failed_job_says_when_why_and_how_far_it_got(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().reset());
        let job = proxq.submit(post("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert!(status.failed_at.is_some() && status.completed_at.is_none() && status.next_attempt_at.is_none());
        let error = status.error.expect("a failed job says why");
        assert!(error.starts_with("forward request: ") && !error.contains('\n'), "{error}");
    }

    async fn an_unknown_job_is_not_found(proxq: Proxq, _upstream: Upstream) {
        for path in [
            "/__jobs",
            "/__jobs/",
            "/__jobs/00000000-0000-4000-8000-000000000000",
            "/__jobs/550e8400-e29b-11d4-a716-446655440000",
            "/__jobs/x",
            "/__jobs/%01",
            "/__jobs//",
            "/__jobs/00000000-0000-4000-8000-000000000000/nothing",
            "/__jobs/00000000-0000-4000-8000-000000000000/content/x",
        ] {
            proxq.send(get(path)).await.refused(404, "NOT_FOUND");
        }
    }

    async fn an_id_is_read_in_either_case(proxq: Proxq, _upstream: Upstream) {
        let job = proxq.submit(post("/x")).await;
        let shouted = proxq.send(get(&format!("/__jobs/{}", job.id.to_string().to_uppercase()))).await;
        assert_eq!(shouted.json()["id"], job.id.to_string());
    }

    async fn head_of_a_status_is_its_head_alone(proxq: Proxq, _upstream: Upstream) {
        let job = proxq.submit(post("/x")).await;
        proxq.settled(&job).await;
        let (alone, whole) = (proxq.send(head(&job.location)).await, proxq.send(get(&job.location)).await);
        assert_eq!((alone.status, alone.body.len()), (200, 0));
        assert_eq!(alone.header("content-length"), whole.header("content-length"));
    }

    async fn jobs_are_asked_for_under_the_configured_path(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("jobsPath", "/queue/jobs")).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(job.location, format!("/queue/jobs/{}", job.id));
        proxq.response(&job).await;
        assert_eq!(proxq.send(get("/queue/jobs/healthz")).await.status, 200);
        upstream.request().await;
        proxq.submit(get("/__jobs/x")).await;
        assert_eq!(upstream.request().await.target(), "/__jobs/x");
    }

    async fn an_ended_job_is_gone_after_its_retention(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, &"x".repeat(10_000));
        let config = store.config_for(&upstream).set("taskRetention", "500ms").set("inlineBodyLimit", 1000);
        let proxq = Proxq::start(config).await;
        let before = proxq.large_bodies();
        let job = proxq.submit(post("/x").body("x".repeat(10_000))).await;
        proxq.response(&job).await;
        let gone = async || proxq.send(get(&job.location)).await.status == 404;
        eventually("the job is gone", gone).await;
        proxq.content(&job).await.refused(404, "NOT_FOUND");
        proxq.keeps_large_bodies(before).await;
    }

    async fn a_failed_job_is_gone_after_its_retention(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).set("taskRetention", "500ms").set("inlineBodyLimit", 1000);
        let proxq = Proxq::start(config).await;
        let before = proxq.large_bodies();
        let job = proxq.submit(post("/x").body("x".repeat(10_000))).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Failed);
        eventually("the job is gone", async || proxq.send(get(&job.location)).await.status == 404).await;
        proxq.keeps_large_bodies(before).await;
    }

    async fn probes_tell_life_and_readiness(proxq: Proxq, _upstream: Upstream) {
        for probe in ["/__jobs/healthz", "/__jobs/readyz"] {
            let reply = proxq.send(get(probe)).await;
            assert_eq!(reply.status, 200, "{reply}");
            assert!(reply.head.has("x-proxq-source"));
        }
        assert!(proxq.send(get("/__jobs/readyz")).await.json().is_object());
    }

    async fn a_status_costs_the_same_whatever_the_size_of_the_bodies(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::status(200));
        upstream.always(Answer::echo());
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let mut jobs = Vec::new();
        for size in [0, 10 << 20] {
            let job = proxq.submit(post("/x").body(vec![7; size])).await;
            proxq.response(&job).await;
            jobs.push(job);
        }
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..51 {
            for (job, times) in jobs.iter().zip(&mut times) {
                let begin = tokio::time::Instant::now();
                proxq.status(job).await;
                times.push(begin.elapsed());
            }
        }
        let [small, large] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        // Reading 10 MiB takes far more.
        assert!(large < small * 3 + Duration::from_millis(1), "{small:?} {large:?}");
    }
}

once! {
    async fn a_method_without_meaning_is_not_allowed(proxq: Proxq, _upstream: Upstream) {
        let id = JobId::new();
        for (method, path) in [
            ("POST", format!("/__jobs/{id}")),
            ("PUT", format!("/__jobs/{id}")),
            ("OPTIONS", format!("/__jobs/{id}")),
            ("POST", format!("/__jobs/{id}/content")),
            ("DELETE", format!("/__jobs/{id}/content")),
            ("POST", "/__jobs/healthz".to_owned()),
            ("DELETE", "/__jobs/readyz".to_owned()),
        ] {
            let reply = proxq.send(request(method, &path)).await;
            reply.refused(405, "METHOD_NOT_ALLOWED");
            let allow = reply.header("allow").expect("checked by the harness");
            assert!(allow.contains("GET") && !allow.contains(method), "{method} {path}: {allow}");
        }
        let allow = proxq.send(request("PATCH", &format!("/__jobs/{id}"))).await.header("allow").unwrap();
        assert!(allow.contains("DELETE"), "{allow}");
    }

    async fn method_then_query_then_id_are_checked(proxq: Proxq, _upstream: Upstream) {
        proxq.send(post("/__jobs/nonsense?wait=nonsense")).await.refused(405, "METHOD_NOT_ALLOWED");
        proxq.send(get("/__jobs/nonsense?wait=nonsense")).await.refused(400, "BAD_QUERY");
        proxq.send(get("/__jobs/nonsense/content?wait=nonsense")).await.refused(400, "BAD_QUERY");
        proxq.send(get("/__jobs/nonsense?wait=1s")).await.refused(404, "NOT_FOUND");
    }
}
