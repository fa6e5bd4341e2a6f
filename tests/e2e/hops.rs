//! Tests of followers that go wrong: hops with headers of the first request, with the wrong method, or of jobs that are gone.

use harness::{
    Answer, Gate, Proxq, Reply, Request, Store, Upstream, delete, eventually, get, head, on_every_store, post,
};

use crate::follow::{code, gated, led_to};

/// Headers that clients send with every request, and so on every hop as well. The values fit no hop, and many fit nothing.
const OF_THE_FIRST_REQUEST: [(&str, &str); 14] = [
    ("Content-Type", "application/json"),
    ("Idempotency-Key", "one key for all"),
    ("If-Match", "\"other\""),
    ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ("If-None-Match", "*"),
    ("Prefer", "respond-async, wait=0"),
    ("Range", "bytes=0-1"),
    ("X-Proxq-Delay", "1h"),
    ("X-Proxq-Job-Id", "no id at all"),
    ("X-Proxq-Mode", "sideways"),
    ("X-Proxq-Redirects", "report"),
    ("X-Proxq-Timeout", "-1s"),
    ("X-Proxq-Wait", "nonsense"),
    ("X-Stainless-Retry-Count", "2"),
];

fn with_headers_of_the_first(request: Request) -> Request {
    OF_THE_FIRST_REQUEST.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Asserts that a follower is told that its job is gone, and not to try again.
#[track_caller]
fn is_gone(reply: &Reply) {
    assert_eq!(code(reply), (410, "GONE".to_owned()), "{reply}");
    assert_eq!(reply.header("x-should-retry").as_deref(), Some("false"), "{reply}");
}

on_every_store! {
    async fn headers_of_the_first_request_disturb_no_hop(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).header("ETag", "\"1\"").body("late").wait(&gate));
        let config = store.config_for(&upstream).upstream("mode", "follow").upstream("followWait", "1s");
        let proxq = Proxq::start(config).await;
        let first = led_to(&proxq.send(post("/x").header("X-Proxq-Wait", "0")).await, "/x");
        let second = led_to(&proxq.send(with_headers_of_the_first(get(&first))).await, &first);
        assert!(second.ends_with("/content?hop=2"), "{second}");
        gate.open();
        for request in [get(&second), post(&second).body("{\"model\":\"m\"}")] {
            let reply = proxq.send(with_headers_of_the_first(request)).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "late"), "{reply}");
            assert!(reply.header("preference-applied").is_none(), "{reply}");
        }
        assert_eq!(upstream.received().len(), 1, "a hop submits nothing");
    }

    async fn a_follower_with_head_gets_the_heads(store: Store) {
        let (proxq, _upstream, gate) = gated(&store, "follow").await;
        let first = led_to(&proxq.send(head("/x").header("X-Proxq-Wait", "0")).await, "/x");
        let second = led_to(&proxq.send(head(&first)).await, &first);
        let bad = proxq.send(head(&first.replace("hop=1", "hop=0"))).await;
        assert_eq!((bad.status, bad.text().as_str()), (400, ""), "{bad}");
        gate.open();
        let reply = proxq.send(head(&second)).await;
        assert_eq!((reply.status, reply.text().as_str()), (201, ""), "{reply}");
        assert_eq!(reply.header("x-own").as_deref(), Some("1"));
    }

    async fn a_follower_is_told_at_once_that_its_job_was_cancelled(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        // Longer than a test may take: only the cancellation can end these holds.
        let config = store.config_for(&upstream).upstream("followWait", "280s");
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        let again = post("/x").header("X-Proxq-Job-Id", job.id.to_string()).header("X-Proxq-Mode", "follow");
        let mut held = proxq.begin_to_wait(&job, again).await;
        let mut at_hop = proxq.begin_to_wait(&job, get(&format!("{}/content?hop=1", job.location))).await;
        assert_eq!(proxq.send(delete(&job.location)).await.status, 200);
        is_gone(&at_hop.reply().await);
        is_gone(&held.reply().await);
    }

    async fn a_job_past_its_retention_is_gone_for_its_follower(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "soon gone");
        let config = store.config_for(&upstream).set("taskRetention", "500ms").upstream("mode", "follow");
        let proxq = Proxq::start(config).await;
        let reply = proxq.send(post("/x")).await;
        let id = reply.header("x-proxq-job-id").expect("a held answer names its job");
        let hop = format!("/__jobs/{id}/content?hop=1");
        eventually("the job is gone", async || proxq.send(get(&hop)).await.status != 200).await;
        is_gone(&proxq.send(get(&hop)).await);
    }

    async fn a_follower_cannot_have_the_job_of_another(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "follow").await;
        gate.open();
        let submit = |credential: &str| {
            let request = post("/x").header("X-Proxq-Job-Id", "550e8400-e29b-41d4-a716-446655440000");
            request.header("X-Proxq-Mode", "follow").header("Authorization", credential)
        };
        assert_eq!(proxq.send(submit("Bearer one")).await.status, 201);
        let other = proxq.send(submit("Bearer other")).await;
        assert_eq!(code(&other), (409, "JOB_ID_TAKEN".to_owned()), "{other}");
        assert_eq!(other.header("x-should-retry").as_deref(), Some("false"), "{other}");
        assert_eq!(proxq.send(submit("Bearer one")).await.text(), "late", "its own client gets it again");
        assert_eq!(upstream.received().len(), 1);
    }
}
