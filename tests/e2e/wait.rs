//! Tests of `wait`: a question is answered when the job ends, or when its time is up.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Record, Store, Upstream, get, head, on_every_store, post};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

/// A job that runs until its gate is opened.
async fn held(proxq: &Proxq, upstream: &Upstream) -> (harness::Job, Gate) {
    let gate = Gate::new();
    upstream.always(Answer::status(200).body("done").wait(&gate));
    let job = proxq.submit(post("/x")).await;
    upstream.arrivals(1).await;
    (job, gate)
}

on_every_store! {
    async fn a_wait_ends_when_the_job_does(proxq: Proxq, upstream: Upstream) {
        let (job, gate) = held(&proxq, &upstream).await;
        let mut waiter = proxq.begin_to_wait(&job, get(&format!("{}?wait=15s", job.location))).await;
        let opened = Instant::now();
        gate.open();
        assert_eq!(waiter.reply().await.json()["status"], "completed");
        assert!(opened.elapsed() < Duration::from_secs(2), "{:?}", opened.elapsed());
    }

    async fn a_wait_ends_when_its_time_is_up(proxq: Proxq, upstream: Upstream) {
        let (job, _gate) = held(&proxq, &upstream).await;
        for (wait, least) in [("300ms", 300), ("1", 1000), ("0.5s", 500)] {
            let begin = Instant::now();
            let reply = proxq.send(get(&format!("{}?wait={wait}", job.location))).await;
            assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("running")), "as it then is");
            assert!(begin.elapsed() >= Duration::from_millis(least), "{wait}: {:?}", begin.elapsed());
            assert!(begin.elapsed() < Duration::from_millis(least + 1500), "{wait}: {:?}", begin.elapsed());
        }
    }

    async fn a_wait_is_capped(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("maxWait", "200ms")).await;
        let (job, _gate) = held(&proxq, &upstream).await;
        for wait in ["1h", "1000000", "99999999999999999999"] {
            let begin = Instant::now();
            assert_eq!(proxq.send(get(&format!("{}?wait={wait}", job.location))).await.status, 200);
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        }
    }

    async fn a_bad_wait_is_refused(proxq: Proxq, _upstream: Upstream) {
        let job = proxq.submit(post("/x")).await;
        for bad in ["", "soon", "-1", "-1s", "1.5", "1d", "1s&wait=2s"] {
            for path in ["", "/content"] {
                let reply = proxq.send(get(&format!("{}{path}?wait={bad}", job.location))).await;
                reply.refused(400, "BAD_QUERY");
                assert!(reply.detail().contains("wait"), "{}", reply.detail());
            }
        }
        for fine in ["0", "0s", "1ms", "%31s"] {
            assert_eq!(proxq.send(get(&format!("{}?wait={fine}", job.location))).await.status, 200, "{fine}");
        }
    }

    async fn a_wait_for_a_job_that_goes_away_ends_not_found(proxq: Proxq, upstream: Upstream) {
        let (job, _gate) = held(&proxq, &upstream).await;
        let mut waiter = proxq.begin_to_wait(&job, get(&format!("{}?wait=15s", job.location))).await;
        proxq.cancel(&job).await;
        waiter.reply().await.refused(404, "NOT_FOUND");
    }

    async fn an_ended_job_is_not_waited_for(proxq: Proxq, upstream: Upstream) {
        upstream.once(Answer::status(200));
        upstream.once(Answer::nothing().reset());
        for ends in [JobStatus::Completed, JobStatus::Failed] {
            let job = proxq.submit(post("/x")).await;
            assert_eq!(proxq.settled(&job).await.status, ends);
            let begin = Instant::now();
            assert_eq!(proxq.send(get(&format!("{}?wait=15s", job.location))).await.status, 200);
            assert!(begin.elapsed() < Duration::from_secs(5));
        }
    }

    async fn content_can_be_waited_for(proxq: Proxq, upstream: Upstream) {
        let (job, gate) = held(&proxq, &upstream).await;
        let target = format!("{}/content?wait=15s", job.location);
        let mut whole = proxq.begin_to_wait(&job, get(&target)).await;
        let mut headed = proxq.begin_to_wait(&job, head(&target)).await;
        gate.open();
        let (reply, headed) = (whole.reply().await, headed.reply_to("HEAD").await);
        assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
        assert_eq!(headed.status, 200);
    }

    async fn content_that_does_not_come_in_time_is_not_ready(proxq: Proxq, upstream: Upstream) {
        let (job, _gate) = held(&proxq, &upstream).await;
        proxq.send(get(&format!("{}/content?wait=100ms", job.location))).await.refused(404, "NOT_READY");
    }

    async fn waiting_for_the_content_of_a_failing_job_ends_in_job_failed(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::nothing().wait(&gate).reset());
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let target = format!("{}/content?wait=15s", job.location);
        let (reply, ()) = tokio::join!(proxq.send(get(&target)), async { gate.open() });
        reply.refused(404, "JOB_FAILED");
    }

    async fn any_number_may_wait(proxq: Proxq, upstream: Upstream) {
        let (job, gate) = held(&proxq, &upstream).await;
        let mut waiters = Vec::new();
        for _ in 0..200 {
            waiters.push(proxq.begin_to_wait(&job, get(&format!("{}?wait=15s", job.location))).await);
        }
        gate.open();
        for waiter in &mut waiters {
            assert_eq!(waiter.reply().await.json()["status"], "completed");
        }
    }

    async fn a_waiter_that_leaves_changes_nothing(proxq: Proxq, upstream: Upstream) {
        let (job, gate) = held(&proxq, &upstream).await;
        // On a busy machine one may leave before its request is read, but not all of them.
        for _ in 0..20 {
            proxq.begin_to_wait(&job, get(&format!("{}?wait=15s", job.location))).await.reset();
        }
        let leaves = |record: &Record| record.message() == "client went away before its answer";
        proxq.log().record("a waiter leaves", leaves).await;
        gate.open();
        assert_eq!(proxq.response(&job).await.text(), "done");
    }
}
