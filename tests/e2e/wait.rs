//! `wait`: the answer comes when there is something to say.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Store, Upstream, get, head, on_every_store, pass, post, within};
use proxq_protocol::JobStatus;
use tokio::task::JoinSet;
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
        let target = format!("{}?wait=15s", job.location);
        let (reply, opened) = tokio::join!(async { (proxq.send(get(&target)).await, Instant::now()) }, async {
            // The waiter is most likely there by then; if it is not, the test is merely less sharp.
            pass(Duration::from_millis(100)).await;
            gate.open();
            Instant::now()
        });
        assert_eq!(reply.0.json()["status"], "completed");
        assert!(reply.1 - opened < Duration::from_secs(2), "{:?}", reply.1 - opened);
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
        let target = format!("{}?wait=15s", job.location);
        let (reply, _) = tokio::join!(proxq.send(get(&target)), async {
            pass(Duration::from_millis(100)).await;
            proxq.cancel(&job).await
        });
        reply.refused(404, "NOT_FOUND");
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
        let (reply, headed, ()) = tokio::join!(proxq.send(get(&target)), proxq.send(head(&target)), async {
            pass(Duration::from_millis(100)).await;
            gate.open();
        });
        assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
        assert_eq!(headed.status, 200);
    }

    async fn content_that_does_not_come_in_time_is_not_ready(proxq: Proxq, upstream: Upstream) {
        let (job, _gate) = held(&proxq, &upstream).await;
        proxq.send(get(&format!("{}/content?wait=100ms", job.location))).await.refused(404, "NOT_READY");
    }

    async fn content_of_a_job_that_fails_meanwhile_is_told_so(proxq: Proxq, upstream: Upstream) {
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
        let mut waiters = JoinSet::new();
        for _ in 0..200 {
            let (client, target) = ((*proxq).clone(), format!("{}?wait=15s", job.location));
            waiters.spawn(async move { client.send(get(&target)).await });
        }
        pass(Duration::from_millis(200)).await;
        gate.open();
        for reply in within("every waiter is answered", waiters.join_all()).await {
            assert_eq!(reply.json()["status"], "completed");
        }
    }

    async fn a_waiter_that_leaves_changes_nothing(proxq: Proxq, upstream: Upstream) {
        let (job, gate) = held(&proxq, &upstream).await;
        let mut wire = proxq.wire().await;
        wire.send(format!("GET {}?wait=15s HTTP/1.1\r\nHost: h\r\n\r\n", job.location)).await;
        wire.reset();
        pass(Duration::from_millis(100)).await;
        gate.open();
        assert_eq!(proxq.response(&job).await.text(), "done");
    }
}
