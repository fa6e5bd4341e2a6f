//! Tests of `DELETE`: once it is answered the job is gone, and no attempt starts.

use std::time::Duration;

use harness::{
    Answer, Gate, Job, Proxq, Refusing, Route, Store, Upstream, delete, get, never_within, on_every_store, post,
};
use proxq_protocol::JobId;
use tokio::time::Instant;

/// Nothing is left to ask for.
async fn gone(proxq: &Proxq, job: &Job) {
    proxq.send(get(&job.location)).await.refused(404, "NOT_FOUND");
    proxq.content(job).await.refused(404, "NOT_FOUND");
    proxq.cancel(job).await.refused(404, "NOT_FOUND");
}

on_every_store! {
    async fn a_queued_job_is_removed(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
        let running = proxq.submit(post("/first")).await;
        upstream.arrivals(1).await;
        let queued = proxq.submit(post("/second")).await;
        let last = proxq.submit(post("/third")).await;
        let reply = proxq.cancel(&queued).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"status":"cancelled"}"#), "{reply}");
        gone(&proxq, &queued).await;
        gate.open();
        proxq.response(&running).await;
        proxq.response(&last).await;
        assert_eq!(upstream.deliveries(queued.id), 0);
    }

    async fn a_running_job_has_its_exchange_aborted_within_a_second(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let begin = Instant::now();
        assert_eq!(proxq.cancel(&job).await.status, 200);
        gone(&proxq, &job).await;
        upstream.abandoned(job.id).await;
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn a_job_that_is_receiving_its_response_is_aborted_too(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome of it").hang());
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        assert_eq!(proxq.cancel(&job).await.status, 200);
        upstream.abandoned(job.id).await;
        gone(&proxq, &job).await;
    }

    async fn a_finished_job_is_deleted_with_its_content(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).body("y".repeat(10_000)));
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 1000)).await;
        let before = proxq.large_bodies();
        let job = proxq.submit(post("/x").body("x".repeat(10_000))).await;
        proxq.response(&job).await;
        assert_eq!(proxq.large_bodies(), before + 2, "request and response lie in files");
        assert_eq!(proxq.cancel(&job).await.status, 200);
        gone(&proxq, &job).await;
        proxq.keeps_large_bodies(before).await;
    }

    async fn a_failed_job_is_deleted(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().reset());
        let job = proxq.submit(post("/x")).await;
        proxq.settled(&job).await;
        assert_eq!(proxq.cancel(&job).await.status, 200);
        gone(&proxq, &job).await;
    }

    async fn no_attempt_starts_for_a_job_that_waited_for_its_retry(store: Store) {
        let nobody = Refusing::new();
        let refused = Route::new("/", &nobody.url()).set("maxRetries", 100).set("retryDelay", "50ms");
        let proxq = Proxq::start(store.config().route(refused)).await;
        let job = proxq.submit(post("/x")).await;
        proxq.attempt_failed(&job).await;
        assert_eq!(proxq.cancel(&job).await.status, 200);
        let upstream = nobody.listen();
        let several_retries = Duration::from_millis(200);
        never_within(several_retries, "it is tried again", upstream.connected(1)).await;
        gone(&proxq, &job).await;
    }

    async fn a_cancelled_job_frees_its_place(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        upstream.answers(200, "next");
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
        let stuck = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let next = proxq.submit(post("/x")).await;
        proxq.cancel(&stuck).await;
        assert_eq!(proxq.response(&next).await.text(), "next");
    }

    async fn an_unknown_job_cannot_be_cancelled(proxq: Proxq, _upstream: Upstream) {
        proxq.send(delete(&format!("/__jobs/{}", JobId::new()))).await.refused(404, "NOT_FOUND");
        proxq.send(delete("/__jobs/nonsense")).await.refused(404, "NOT_FOUND");
    }

    async fn a_cancelled_job_stays_cancelled_after_a_crash(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        let (kept, cancelled) = (proxq.submit(post("/x")).await, proxq.submit(post("/x")).await);
        assert_eq!(proxq.cancel(&cancelled).await.status, 200);
        proxq.kill();
        proxq.start_again_with(config).await;
        proxq.response(&kept).await;
        gone(&proxq, &cancelled).await;
        assert_eq!(upstream.deliveries(cancelled.id), 0);
    }

    async fn content_that_is_being_deleted_is_whole_or_not_found(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).body(vec![b'x'; 10_000]));
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 1000)).await;
        for _ in 0..60 {
            let job = proxq.submit(get("/x")).await;
            proxq.settled(&job).await;
            let content = format!("{}/content", job.location);
            let ask = || proxq.send(get(&content));
            let replies = tokio::join!(ask(), ask(), proxq.cancel(&job), ask(), ask());
            for reply in [replies.0, replies.1, replies.3, replies.4] {
                match reply.status {
                    200 => assert_eq!(reply.body.len(), 10_000),
                    _ => reply.refused(404, "NOT_FOUND"),
                }
            }
        }
    }
}
