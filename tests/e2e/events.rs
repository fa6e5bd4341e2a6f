//! Tests of `…/events`, a job's changes as they happen, and of `…/retry`, another run of a failed job.

use harness::{
    Answer, Events, Gate, Proxq, Refusing, Request, Route, Store, Upstream, get, head, on_every_store, post,
};
use proxq_protocol::{JobId, JobStatus, Outcome};
use tokio::time::Instant;

fn retry(id: JobId, query: &str) -> Request {
    post(&format!("/__jobs/{id}/retry{query}"))
}

on_every_store! {
    async fn every_change_is_told_until_the_end(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::nothing().wait(&gate).reset());
        let second = Gate::new();
        upstream.once(Answer::status(200).body("done").wait(&second));
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "1s");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "1s")).await;
        let mut events = Events::of(&proxq, &job.location).await;
        let told = events.status().await.unwrap();
        assert_eq!((told.id, told.status), (job.id, JobStatus::Queued), "one event now");
        let mut seen = vec![];
        let mut last = told;
        while let Some(told) = events.status().await {
            match (told.status, told.attempts) {
                (JobStatus::Running, Some(1)) if told.error.is_none() => gate.open(),
                (JobStatus::Running, Some(2)) => second.open(),
                _ => {}
            }
            assert_ne!(told, last, "one event for each change");
            seen.push((told.status, told.attempts, told.error.is_some()));
            last = told;
        }
        assert!(seen.contains(&(JobStatus::Running, Some(1), false)), "{seen:?}");
        assert!(seen.contains(&(JobStatus::Running, Some(1), true)), "between attempts: {seen:?}");
        assert_eq!(seen.last(), Some(&(JobStatus::Completed, Some(2), false)), "{seen:?}");
        assert_eq!(last, proxq.status(&job).await, "the data is the status");
    }

    async fn a_job_that_has_ended_has_one_event(proxq: Proxq, _upstream: Upstream) {
        let job = proxq.submit(post("/x")).await;
        proxq.settled(&job).await;
        let mut events = Events::of(&proxq, &job.location).await;
        assert_eq!(events.status().await.unwrap().status, JobStatus::Completed);
        assert_eq!(events.next().await, None);
        let alone = proxq.send(head(&format!("{}/events", job.location))).await;
        assert_eq!((alone.status, alone.header("content-type").as_deref()), (200, Some("text/event-stream")));
    }

    async fn a_silent_stream_has_comments(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let mut events = Events::of(&proxq, &job.location).await;
        assert_eq!(events.status().await.unwrap().status, JobStatus::Running);
        let begun = Instant::now();
        let comment = events.next().await.unwrap();
        assert!(comment.starts_with(':'), "{comment}");
        assert!((14..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }

    async fn events_end_when_the_job_is_gone(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let mut events = Events::of(&proxq, &job.location).await;
        events.status().await.unwrap();
        proxq.cancel(&job).await;
        assert_eq!(events.next().await, None);
        proxq.send(get(&format!("{}/events", job.location))).await.refused(404, "NOT_FOUND");
        proxq.send(get("/__jobs/nonsense/events")).await.refused(404, "NOT_FOUND");
        proxq.send(post(&format!("{}/events", job.location))).await.refused(405, "METHOD_NOT_ALLOWED");
    }

    async fn events_end_when_the_server_stops(store: Store) {
        let (mut proxq, upstream) = store.pair().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let mut events = Events::of(&proxq, &job.location).await;
        events.status().await.unwrap();
        proxq.terminate();
        assert_eq!(events.next().await, None);
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn a_failed_job_runs_again(store: Store) {
        let refusing = Refusing::new();
        let config = store.config().route(Route::new("/", &refusing.url()));
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x").header("Authorization", "Bearer secret").body("kept")).await;
        let failed = proxq.settled(&job).await;
        assert_eq!((failed.status, failed.outcome, failed.attempts), (JobStatus::Failed, Some(Outcome::NotSent), Some(1)));
        let upstream = refusing.listen();
        let reply = proxq.send(retry(job.id, "")).await;
        assert_eq!((reply.status, reply.header("location")), (202, Some(job.location.clone())), "{reply}");
        assert_eq!(reply.json()["jobId"], job.id.to_string());
        proxq.response(&job).await;
        let received = upstream.request().await;
        assert_eq!(received.text(), "kept");
        assert_eq!(received.header("Authorization").as_deref(), Some("Bearer secret"), "what it needs was kept");
        assert_eq!(received.header("X-Proxq-Attempt").as_deref(), Some("2"), "attempts go on");
        let status = proxq.status(&job).await;
        assert_eq!((status.status, status.error, status.attempts), (JobStatus::Completed, None, Some(2)));
    }

    async fn a_doubtful_job_runs_again_only_if_that_is_confirmed(proxq: Proxq, upstream: Upstream) {
        upstream.once(Answer::nothing().reset());
        upstream.answers(200, "the second time");
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&job).await.outcome, Some(Outcome::Indeterminate));
        let reply = proxq.send(retry(job.id, "")).await;
        reply.refused(409, "MAY_DUPLICATE");
        assert!(reply.detail().contains("confirm=may-duplicate"), "{}", reply.detail());
        for bad in ["?confirm", "?confirm=yes", "?confirm=may-duplicate&confirm=may-duplicate"] {
            proxq.send(retry(job.id, bad)).await.refused(400, "BAD_QUERY");
        }
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(proxq.send(retry(job.id, "?confirm=may-duplicate")).await.status, 202);
        assert_eq!(proxq.response(&job).await.text(), "the second time");
    }

    async fn only_a_failed_job_is_retried(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.send(retry(job.id, "")).await.refused(409, "NOT_FAILED");
        gate.open();
        proxq.response(&job).await;
        proxq.send(retry(job.id, "?confirm=may-duplicate")).await.refused(409, "NOT_FAILED");
        proxq.send(retry(JobId::new(), "")).await.refused(404, "NOT_FOUND");
        let reply = proxq.send(get(&format!("{}/retry", job.location))).await;
        reply.refused(405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow").as_deref(), Some("POST"));
        assert_eq!(upstream.received().len(), 1);
    }
}
