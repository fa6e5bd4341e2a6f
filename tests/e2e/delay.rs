//! Tests of `X-Proxq-Delay`: a job does not run before its time.

use std::time::Duration;

use harness::{Proxq, Store, Upstream, on_every_store, post};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

on_every_store! {
    async fn a_delayed_job_waits_for_its_time(store: Store) {
        let (proxq, upstream) = store.pair().await;
        let delay = Duration::from_millis(1500);
        let begun = Instant::now();
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "1.5s")).await;
        let status = proxq.status(&job).await;
        assert_eq!(status.status, JobStatus::Queued);
        assert!(status.next_attempt_at.is_some() && status.started_at.is_none(), "{status:?}");
        upstream.arrivals(1).await;
        assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
        let latest = delay + store.grain() + Duration::from_secs(2); // one for the store's tick, one for a busy machine
        assert!(begun.elapsed() < latest, "{:?}", begun.elapsed());
        assert_eq!(proxq.response(&job).await.status, 200);
        assert_eq!(upstream.request().await.header("X-Proxq-Delay"), None);
    }

    async fn a_delayed_job_survives_a_restart(store: Store) {
        let (mut proxq, upstream) = store.pair().await;
        let begun = Instant::now();
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "2s")).await;
        proxq.kill();
        proxq.start_again().await;
        proxq.response(&job).await;
        assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn a_delayed_job_can_be_cancelled(proxq: Proxq, upstream: Upstream) {
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "1s")).await;
        assert_eq!(proxq.cancel(&job).await.status, 200);
        // One that is due later shows that the cancelled one's time has passed.
        let after = proxq.submit(post("/after").header("X-Proxq-Delay", "2s")).await;
        proxq.response(&after).await;
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_delay_that_cannot_be_is_refused(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("maxDelay", "1h")).await;
        for bad in ["10", "-1s", "soon", "", "61m"] {
            let reply = proxq.send(post("/x").header("X-Proxq-Delay", bad)).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.detail().contains("X-Proxq-Delay"), "{}", reply.detail());
        }
        proxq.submit(post("/x").header("X-Proxq-Delay", "1h")).await;
        let at_once = proxq.submit(post("/x").header("X-Proxq-Delay", "0")).await;
        proxq.response(&at_once).await;
    }
}
