//! Tests of clients that know nothing of jobs: `mode: wait` and `follow`, hops, and status monitors.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Reply, Store, Upstream, delete, get, head, on_every_store, post};

/// A server whose upstream answers when the gate is opened, in this mode.
pub(crate) async fn gated(store: &Store, mode: &str) -> (Proxq, Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.always(Answer::status(201).header("X-Own", "1").body("late").wait(&gate));
    let config = store.config_for(&upstream).upstream("mode", mode).upstream("followWait", "1s");
    (Proxq::start(config).await, upstream, gate)
}

/// Where a redirect leads from a URL, as a client resolves it. Fails if it is no hop.
pub(crate) fn led_to(reply: &Reply, from: &str) -> String {
    assert_eq!((reply.status, reply.text().as_str()), (303, ""), "{reply}");
    assert!(reply.header("x-proxq-source").is_some() && reply.header("x-proxq-job-id").is_some(), "{reply}");
    let location = reply.header("location").expect("a redirect leads somewhere");
    assert!(!location.starts_with('/') && !location.contains("//"), "it is relative: {location}");
    let base = url::Url::parse("http://proxq").unwrap().join(from).unwrap();
    let led = base.join(&location).unwrap();
    format!("{}?{}", led.path(), led.query().unwrap_or_default())
}

pub(crate) fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

on_every_store! {
    async fn a_follower_gets_the_response_hop_by_hop(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "follow").await;
        let first = led_to(&proxq.send(post("/v1/chat").header("X-Proxq-Wait", "0").body("x")).await, "/v1/chat");
        assert!(first.starts_with("/__jobs/") && first.ends_with("/content?hop=1"), "{first}");
        let second = led_to(&proxq.send(get(&first)).await, &first);
        assert!(second.ends_with("/content?hop=2"), "{second}");
        gate.open();
        let reply = proxq.send(get(&second).header("X-Proxq-Wait", "nonsense").header("Range", "bytes=0-1")).await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "late"), "{reply}");
        assert!(reply.header("x-proxq-source").is_none() && reply.header("x-proxq-job-id").is_some(), "{reply}");
        for request in [post(&second), head(&second)] {
            assert_eq!(proxq.send(request).await.status, 201, "a GET by another name");
        }
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_quick_response_is_the_answer_in_every_mode(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(500).body("broken"));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("mode", "follow")).await;
        for mode in [None, Some("wait"), Some("follow")] {
            let request = mode.map_or(post("/x"), |mode| post("/x").header("X-Proxq-Mode", mode));
            let reply = proxq.send(request).await;
            assert_eq!((reply.status, reply.text().as_str()), (500, "broken"), "{mode:?}");
        }
        assert_eq!(proxq.send(post("/x").header("X-Proxq-Mode", "queue")).await.status, 202);
        let id = post("/x").header("X-Proxq-Job-Id", "550e8400-e29b-41d4-a716-446655440000");
        assert_eq!(proxq.send(id).await.status, 202, "its client knows of jobs");
    }

    async fn a_follower_is_sent_on_so_often_and_no_further(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("late").wait(&gate));
        let config = store.config_for(&upstream).upstream("mode", "follow");
        let proxq = Proxq::start(config.upstream("followWait", "1s").upstream("followHops", 1)).await;
        let hop = led_to(&proxq.send(get("/x").header("X-Proxq-Wait", "0")).await, "/x");
        let last = proxq.send(get(&hop)).await;
        assert_eq!(code(&last), (424, "STILL_RUNNING".to_owned()), "{last}");
        for bad in ["", "0", "-1", "+1", "1.0", "2", "x", "%00", "99999999999999999999", "1&hop=1", "1&pending=202"] {
            let reply = proxq.send(get(&hop.replace("hop=1", &format!("hop={bad}")))).await;
            assert_eq!(code(&reply), (400, "BAD_QUERY".to_owned()), "{bad}: {reply}");
        }
        gate.open();
        assert_eq!(proxq.send(get(&hop)).await.text(), "late", "the job has gone on");
    }

    async fn a_failed_job_is_an_error_of_a_kind(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("mode", "follow")).await;
        for mode in ["wait", "follow"] {
            let reply = proxq.send(post("/x").header("X-Proxq-Mode", mode)).await;
            assert_eq!(code(&reply), (424, "JOB_FAILED".to_owned()), "{reply}");
            assert_eq!(reply.json()["outcome"], "indeterminate");
            assert_eq!(reply.header("x-should-retry").as_deref(), Some("false"));
        }
        drop(upstream);
        let reply = proxq.send(post("/x")).await;
        assert_eq!(code(&reply), (502, "UPSTREAM_UNREACHABLE".to_owned()), "{reply}");
        assert_eq!((reply.json()["outcome"].as_str(), reply.header("x-should-retry").as_deref()), (Some("not_sent"), Some("true")));
    }

    async fn a_job_that_is_gone_is_410_for_its_follower(store: Store) {
        let (proxq, _upstream, _gate) = gated(&store, "follow").await;
        let hop = led_to(&proxq.send(post("/x").header("X-Proxq-Wait", "0")).await, "/x");
        let (job, _) = hop.split_once("/content").unwrap();
        assert_eq!(proxq.send(delete(job)).await.status, 200);
        let unknown = "/__jobs/550e8400-e29b-41d4-a716-446655440000/content";
        for target in [hop.clone(), format!("{unknown}?hop=1"), format!("{unknown}?pending=202")] {
            assert_eq!(code(&proxq.send(get(&target)).await), (410, "GONE".to_owned()), "{target}");
        }
        let malformed = proxq.send(get("/__jobs/1/content?hop=1")).await;
        assert_eq!(code(&malformed), (404, "NOT_FOUND".to_owned()));
        assert_eq!(proxq.send(delete(&hop)).await.status, 405, "a hop is no monitor");
    }

    async fn a_status_monitor_is_pending_until_there_is_a_response(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "follow").await;
        let accepted = proxq.send(post("/v1/x").header("Prefer", "respond-async, handling=lenient")).await;
        assert_eq!(accepted.status, 202, "{accepted}");
        assert_eq!(accepted.header("preference-applied").as_deref(), Some("respond-async"));
        assert_eq!(accepted.header("retry-after").as_deref(), Some("1"));
        let id = accepted.header("x-proxq-job-id").unwrap();
        let location = accepted.header("location").unwrap();
        assert_eq!(location, format!("./../__jobs/{id}/content?pending=202"));
        let monitor = format!("/__jobs/{id}/content?pending=202");
        let pending = proxq.send(get(&monitor)).await;
        assert_eq!((pending.status, pending.header("retry-after").as_deref()), (202, Some("1")), "{pending}");
        assert_eq!(pending.json()["id"].as_str(), Some(&*id));
        upstream.arrivals(1).await;
        assert_eq!(upstream.received()[0].header("Prefer").as_deref(), Some("handling=lenient"), "applied here");
        gate.open();
        let held = proxq.send(get(&format!("/__jobs/{id}?wait=30s"))).await;
        assert_eq!(held.json()["status"], "completed");
        let reply = proxq.send(get(&monitor)).await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "late"), "{reply}");
        assert_eq!(proxq.send(delete(&monitor)).await.status, 200);
        assert_eq!(code(&proxq.send(get(&monitor)).await), (410, "GONE".to_owned()));
    }

    async fn redirects_of_the_upstream_mean_the_same_at_a_hop(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        let answers = gate.clone();
        upstream.plan(move |head| {
            let (status, location) = match head.word(1) {
                "/v1/found" => (302, "next?page=2"),
                "/v1/absolute" => (302, "/elsewhere"),
                _ => (307, "other"),
            };
            Answer::status(status).header("Location", location).wait(&answers)
        });
        let proxq = Proxq::start(store.config_for(&upstream).upstream("mode", "follow")).await;
        let hop_of = async |path: &str| led_to(&proxq.send(post(path).header("X-Proxq-Wait", "0")).await, path);
        let [found, absolute, kept] =
            [hop_of("/v1/found").await, hop_of("/v1/absolute").await, hop_of("/v1/kept").await];
        gate.open();
        let reply = proxq.send(get(&found)).await;
        assert_eq!((reply.status, reply.header("location").as_deref()), (302, Some("../../v1/next?page=2")), "{reply}");
        let reply = proxq.send(get(&absolute)).await;
        assert_eq!(reply.header("location").as_deref(), Some("/elsewhere"));
        let reply = proxq.send(get(&kept)).await;
        assert_eq!(code(&reply), (424, "REDIRECT_NOT_FOLLOWABLE".to_owned()), "{reply}");
        let direct = proxq.send(post("/v1/kept")).await;
        assert_eq!((direct.status, direct.header("location").as_deref()), (307, Some("other")), "at its own URL");
    }

    async fn a_browser_is_held_and_not_sent_on(store: Store) {
        let (proxq, _upstream, _gate) = gated(&store, "follow").await;
        let request = post("/x").header("Origin", "https://page.example").header("X-Proxq-Wait", "0");
        assert_eq!(proxq.send(request).await.status, 202);
        let begun = tokio::time::Instant::now();
        let held = post("/x").header("Origin", "https://page.example").header("X-Proxq-Wait", "300ms");
        assert_eq!(proxq.send(held).await.status, 202);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
}
