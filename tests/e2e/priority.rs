//! Tests of `X-Proxq-Priority`: of the jobs that wait, those of a higher priority go first.

use harness::{Answer, Gate, Proxq, Received, Store, Upstream, on_every_store, post};

/// Jobs that wait behind one that runs, in the order of their submission. Each path begins with the job's place.
const WAITING: [(&str, Option<&str>); 6] = [
    ("/4-low", Some("low")),
    ("/2-normal", Some("normal")),
    ("/0-high", Some("high")),
    ("/3-without", None),
    ("/5-low", Some("low")),
    ("/1-high", Some("high")),
];

async fn submit_all(proxq: &Proxq) {
    for (path, priority) in WAITING {
        let request = post(path);
        proxq
            .submit(match priority {
                Some(priority) => request.header("X-Proxq-Priority", priority),
                None => request,
            })
            .await;
    }
}

/// The upstream gets them in the order of their places, after so many other requests.
async fn come_in_order(upstream: &Upstream, others: usize) {
    upstream.arrivals(others + WAITING.len()).await;
    let mut expected = WAITING.map(|(path, _)| path);
    expected.sort_unstable();
    let received = upstream.received();
    assert!(received.iter().all(|request| request.header("X-Proxq-Priority").is_none()));
    assert_eq!(received[others..].iter().map(Received::target).collect::<Vec<_>>(), expected);
}

on_every_store! {
    async fn waiting_jobs_of_a_higher_priority_go_first(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("done").wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
        proxq.submit(post("/runs")).await;
        upstream.arrivals(1).await;
        submit_all(&proxq).await;
        gate.open();
        come_in_order(&upstream, 1).await;
    }

    async fn a_crash_keeps_the_order(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        submit_all(&proxq).await;
        proxq.kill();
        proxq.start_again_with(config.set("concurrency", 1)).await;
        come_in_order(&upstream, 0).await;
    }

    async fn another_word_is_refused(proxq: Proxq, upstream: Upstream) {
        for bad in ["", "High", "urgent", "1", "high, low"] {
            let reply = proxq.send(post("/x").header("X-Proxq-Priority", bad)).await;
            reply.refused(400, "BAD_HEADER");
            let detail = reply.detail();
            assert!(detail.contains("X-Proxq-Priority") && detail.contains("high, normal or low"), "{detail}");
        }
        let twice = post("/x").header("X-Proxq-Priority", "low").header("X-Proxq-Priority", "low");
        proxq.send(twice).await.refused(400, "BAD_HEADER");
        assert!(upstream.received().is_empty());
    }
}
