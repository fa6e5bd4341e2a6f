//! Tests of `X-Proxq-Wait` and `Prefer: wait`: a submission is answered with its response, if that comes in time.

use std::time::Duration;

use harness::{Answer, Gate, Job, Proxq, Reply, Request, Store, Upstream, get, head, on_every_store, post};
use tokio::time::Instant;

/// An upstream that answers when the gate is opened.
fn gated(upstream: &Upstream) -> Gate {
    let gate = Gate::new();
    upstream.always(Answer::status(200).body("late").wait(&gate));
    gate
}

/// Where the job is that a `202` names, for which nobody waited any longer.
fn location(accepted: &Reply) -> String {
    assert!(!accepted.head.has("preference-applied"), "{accepted}");
    Job::of(accepted).location
}

fn waiting(request: Request) -> Request {
    request.header("X-Proxq-Wait", "30s")
}

on_every_store! {
    async fn the_response_itself_is_the_answer(proxq: Proxq, upstream: Upstream) {
        let raw = "HTTP/1.1 418 I'm a teapot\r\nX-Dup: 1\r\nX-Dup: 2\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                   Content-Type: text/x-tea\r\nContent-Length: 3\r\n\r\ntea";
        upstream.always(Answer::raw(raw));
        for (name, value, applied) in
            [("X-Proxq-Wait", "30s", None), ("X-Proxq-Wait", "30", None), ("Prefer", "respond-async, wait=30", Some("wait=30"))]
        {
            let reply = proxq.send(post("/x").header(name, value)).await;
            assert_eq!((reply.status, reply.text().as_str()), (418, "tea"), "{reply}");
            assert_eq!(reply.head.values("x-dup"), ["1", "2"]);
            assert_eq!(reply.head.values("date"), ["Thu, 01 Jan 2026 00:00:00 GMT"]);
            assert!(!reply.head.has("x-proxq-source"), "it is the upstream's: {reply}");
            assert_eq!(reply.header("preference-applied").as_deref(), applied);
            let id = reply.header("x-proxq-job-id").expect("the job is named");
            let again = proxq.send(get(&format!("/__jobs/{id}/content"))).await;
            assert_eq!((again.status, again.text().as_str()), (418, "tea"));
        }
        let received = upstream.received();
        assert!(received.iter().all(|received| received.header("X-Proxq-Wait").is_none()), "a control is not forwarded");
        assert_eq!(received[2].header("Prefer").as_deref(), Some("wait=30"), "a preference is, unless it was applied");
    }

    async fn a_late_response_is_asked_for_at_its_location(proxq: Proxq, upstream: Upstream) {
        let gate = gated(&upstream);
        let begun = Instant::now();
        let job = location(&proxq.send(post("/x").header("X-Proxq-Wait", "300ms")).await);
        assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        gate.open();
        let reply = proxq.send(get(&format!("{job}/content?wait=30s"))).await;
        assert_eq!(reply.text(), "late");
    }

    async fn a_wait_ends_with_the_job(proxq: Proxq, upstream: Upstream) {
        let gate = gated(&upstream);
        let begun = Instant::now();
        let (reply, ()) = tokio::join!(proxq.send(waiting(post("/x"))), async {
            upstream.arrivals(1).await;
            gate.open();
        });
        assert_eq!(reply.text(), "late");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    async fn a_failed_job_is_reported_at_once(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().reset());
        let begun = Instant::now();
        let job = location(&proxq.send(waiting(post("/x"))).await);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(proxq.send(get(&job)).await.json()["status"], "failed");
    }

    async fn a_cancelled_job_is_reported_at_once(proxq: Proxq, upstream: Upstream) {
        let _gate = gated(&upstream);
        let begun = Instant::now();
        let (reply, ()) = tokio::join!(proxq.send(waiting(post("/x"))), async {
            upstream.arrivals(1).await;
            let id = upstream.received()[0].job_id().expect("every attempt names its job");
            proxq.send(harness::delete(&format!("/__jobs/{id}"))).await;
        });
        let job = location(&reply);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        proxq.send(get(&job)).await.refused(404, "NOT_FOUND");
    }

    async fn a_waiting_client_that_leaves_cancels_nothing(proxq: Proxq, upstream: Upstream) {
        let gate = gated(&upstream);
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Wait: 30s\r\nContent-Length: 0\r\n\r\n").await;
        upstream.arrivals(1).await;
        wire.reset();
        let gone = |record: &harness::Record| record.message() == "client went away before its answer";
        proxq.log().record("the server has noticed", gone).await;
        gate.open();
        let id = upstream.received()[0].job_id().expect("every attempt names its job");
        let reply = proxq.send(get(&format!("/__jobs/{id}/content?wait=30s"))).await;
        assert_eq!(reply.text(), "late");
        assert_eq!(upstream.deliveries(id), 1);
    }

    async fn a_wait_is_capped(store: Store) {
        let upstream = Upstream::start().await;
        let _gate = gated(&upstream);
        let proxq = Proxq::start(store.config_for(&upstream).set("maxWait", "200ms")).await;
        for (name, value) in [("X-Proxq-Wait", "1h"), ("Prefer", "wait=99999999999999999999999")] {
            let begun = Instant::now();
            location(&proxq.send(post("/x").header(name, value)).await);
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    }

    async fn a_bad_wait_is_refused_or_ignored(proxq: Proxq, upstream: Upstream) {
        let _gate = gated(&upstream);
        for bad in ["", "soon", "-1s", "1.5"] {
            let reply = proxq.send(post("/x").header("X-Proxq-Wait", bad)).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.detail().contains("X-Proxq-Wait"), "{}", reply.detail());
        }
        let begun = Instant::now();
        for (name, value) in [("Prefer", "wait=soon"), ("Prefer", "wait"), ("Prefer", "\"wait=30"), ("X-Proxq-Wait", "0")] {
            location(&proxq.send(post("/x").header(name, value)).await);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    async fn large_and_bodiless_responses_are_answers_too(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 1000)).await;
        upstream.once(Answer::status(200).body("y".repeat(1_000_000)));
        let large = proxq.send(waiting(post("/x"))).await;
        assert_eq!((large.status, large.body.len()), (200, 1_000_000));
        upstream.once(Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"));
        let none = proxq.send(waiting(post("/x"))).await;
        assert_eq!((none.status, none.body.len(), none.head.has("content-length")), (204, 0, false));
        upstream.once(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"));
        let of_head = proxq.send(waiting(head("/x"))).await;
        assert_eq!((of_head.status, of_head.header("content-length").as_deref()), (200, Some("1234")));
    }

    async fn a_wait_ends_when_the_server_stops(store: Store) {
        let (mut proxq, upstream) = store.pair().await;
        let gate = gated(&upstream);
        let mut wire = proxq.wire().await;
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Wait: 30s\r\nContent-Length: 0\r\n\r\n").await;
        upstream.arrivals(1).await;
        proxq.terminate();
        location(&wire.reply().await);
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn a_delayed_job_is_waited_for_too(proxq: Proxq, _upstream: Upstream) {
        let begun = Instant::now();
        let reply = proxq.send(waiting(post("/x")).header("X-Proxq-Delay", "1s")).await;
        assert_eq!(reply.status, 200);
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
