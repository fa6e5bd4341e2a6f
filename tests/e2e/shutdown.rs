//! Tests of a stop by a signal: in order, in time, and without the loss of an accepted job.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Store, Upstream, get, on_every_store, post};
use proxq_protocol::{JobStatus, Outcome};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A server on which one job runs until its gate is opened, and which has been told to stop.
struct Draining {
    proxq: Proxq,
    upstream: Upstream,
    job: harness::Job,
    gate: Gate,
    /// A connection from before.
    wire: harness::Wire,
}

async fn draining(store: Store) -> Draining {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.always(Answer::status(200).body("done").wait(&gate));
    let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
    let mut wire = proxq.wire().await;
    wire.send("GET /__jobs/readyz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(wire.reply().await.status, 200);
    let job = proxq.submit(post("/x")).await;
    upstream.arrivals(1).await;
    proxq.terminate();
    refused(&proxq).await;
    Draining { proxq, upstream, job, gate, wire }
}

/// Returns when the listener is closed.
async fn refused(proxq: &Proxq) {
    let closed = async || proxq.try_send(get("/__jobs/healthz")).await.is_err();
    harness::eventually("new connections are refused", closed).await;
}

on_every_store! {
    async fn an_idle_server_stops_at_once(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        let _idle_connection = proxq.wire().await;
        let begin = Instant::now();
        proxq.stop().await;
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    }

    async fn an_interrupt_stops_it_as_well(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        proxq.interrupt();
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn a_running_attempt_may_end(store: Store) {
        let Draining { mut proxq, upstream, job, gate, .. } = draining(store).await;
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
        proxq.start_again().await;
        assert_eq!(proxq.response(&job).await.text(), "done");
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn open_connections_are_served_once_more_and_closed(store: Store) {
        let Draining { mut proxq, upstream: _upstream, job, gate, mut wire } = draining(store).await;
        wire.send("POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody").await;
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.header("connection").as_deref()), (202, Some("close")), "{reply}");
        wire.closed().await;
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
        proxq.start_again().await;
        assert_eq!(proxq.response(&job).await.text(), "done");
        assert_eq!(proxq.response(&harness::Job::of(&reply)).await.text(), "done", "an accepted job is kept");
    }

    async fn readiness_ends_first(store: Store) {
        let Draining { mut proxq, upstream: _upstream, gate, mut wire, .. } = draining(store).await;
        wire.send("GET /__jobs/readyz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        wire.reply().await.refused(503, "DRAINING");
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn waits_end_with_the_state_as_it_is(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let (status, content) = (format!("{}?wait=15s", job.location), format!("{}/content?wait=15s", job.location));
        let begin = Instant::now();
        let mut status = proxq.begin_to_wait(&job, get(&status)).await;
        let mut content = proxq.begin_to_wait(&job, get(&content)).await;
        proxq.terminate();
        let (status, content) = (status.reply().await, content.reply().await);
        assert_eq!(status.json()["status"], "running");
        content.refused(404, "NOT_READY");
        for reply in [status, content] {
            assert_eq!(reply.header("connection").as_deref(), Some("close"), "{reply}");
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn no_other_job_is_begun(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let mut proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
        let first = proxq.submit(post("/x")).await;
        let second = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.terminate();
        refused(&proxq).await;
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
        assert_eq!(upstream.deliveries(second.id), 0);
        proxq.start_again().await;
        proxq.response(&first).await;
        proxq.response(&second).await;
        assert_eq!((upstream.deliveries(first.id), upstream.deliveries(second.id)), (1, 1));
    }

    async fn an_attempt_that_takes_too_long_is_aborted_and_sent_again_where_it_may_be(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        upstream.answers(200, "again");
        let config = store.config_for(&upstream).upstream("delivery", "at-least-once").set("shutdownTimeout", "200ms");
        let mut proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let begin = Instant::now();
        proxq.stop().await;
        assert!(
            (Duration::from_millis(190)..Duration::from_secs(5)).contains(&begin.elapsed()),
            "{:?}",
            begin.elapsed()
        );
        upstream.abandoned(job.id).await;
        proxq.start_again().await;
        assert_eq!(proxq.response(&job).await.text(), "again", "without spending a retry: there is none");
        assert_eq!((proxq.status(&job).await.attempts, upstream.deliveries(job.id)), (Some(2), 2));
    }

    async fn an_attempt_that_takes_too_long_is_left_in_doubt_where_it_may_not_be_sent_again(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let mut proxq = Proxq::start(store.config_for(&upstream).set("shutdownTimeout", "200ms")).await;
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.stop().await;
        proxq.start_again().await;
        let status = proxq.status(&job).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn a_second_signal_ends_it_at_once(store: Store) {
        let Draining { mut proxq, upstream: _upstream, .. } = draining(store).await;
        proxq.expect_error("second signal");
        let begin = Instant::now();
        proxq.terminate();
        assert_eq!(proxq.exit_code().await, Some(1), "it was no clean drain");
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    }

    async fn a_submission_that_was_begun_is_finished(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "done");
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf").await;
        // The server takes requests in the order of their arrival.
        proxq.assert_healthy().await;
        proxq.terminate();
        refused(&proxq).await;
        wire.send("half").await;
        let reply = wire.reply().await;
        assert_eq!(reply.status, 202, "{reply}");
        assert_eq!(proxq.exit_code().await, Some(0));
        proxq.start_again().await;
        assert_eq!(proxq.response(&harness::Job::of(&reply)).await.text(), "done");
    }

    async fn under_load_no_accepted_job_is_lost_and_nothing_is_sent_twice(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        let mut clients = JoinSet::new();
        for number in 0..16 {
            let client = (*proxq).clone();
            clients.spawn(async move {
                let mut jobs = Vec::new();
                // Up to the first refused connection: every connection that was taken gets its whole answer.
                for turn in 0.. {
                    let body = format!("{number}/{turn}");
                    match client.try_send(post("/x").body(body.clone())).await {
                        Ok(reply) => jobs.push((harness::Job::of(&reply), body)),
                        Err(_refused) => return jobs,
                    }
                }
                jobs
            });
        }
        upstream.arrivals(100).await;
        proxq.stop().await;
        let jobs: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        assert!(jobs.len() >= 100);
        proxq.start_again().await;
        for (job, body) in jobs {
            assert_eq!(proxq.response(&job).await.text(), body);
            assert_eq!(upstream.deliveries(job.id), 1);
        }
    }
}
