//! Tests of submissions: a queued request is answered with a `202` that names its job.

use std::time::Duration;

use harness::{
    Answer, Gate, Pattern, Proxq, Request, Store, Upstream, get, head, on_every_store, once, outlast, post, put,
    request,
};
use proxq_protocol::{JobId, JobStatus, header};

on_every_store! {
    async fn a_submission_is_answered_with_where_to_ask(proxq: Proxq, _upstream: Upstream) {
        let reply = proxq.send(post("/api/reports").body(r#"{"year": 2026}"#)).await;
        assert_eq!(reply.status, 202, "{reply}");
        let id = reply.header(header::JOB_ID).expect("the id is in the headers");
        assert!(id.parse::<JobId>().is_ok(), "{id} is a UUIDv4");
        assert_eq!(reply.text(), format!(r#"{{"jobId":"{id}"}}"#));
        assert_eq!(reply.header("location"), Some(format!("/__jobs/{id}")));
        assert_eq!(reply.header("content-type").as_deref(), Some("application/json"));
        assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(reply.header(header::SOURCE).as_deref(), Some("proxq"));
    }

    async fn the_answer_to_head_names_the_job_in_its_headers(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(200).header("X-A", "1").body("not for HEAD"));
        let reply = proxq.send(head("/thing")).await;
        assert_eq!((reply.status, reply.body.len()), (202, 0), "{reply}");
        let id = reply.header(header::JOB_ID).unwrap();
        assert_eq!(reply.header("location"), Some(format!("/__jobs/{id}")));
        assert_eq!(upstream.request().await.method(), "HEAD");
    }

    async fn every_method_is_queued(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "done");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"] {
            assert_eq!(proxq.through_queue(request(method, "/x")).await.text(), "done");
            assert_eq!(upstream.request().await.method(), method);
        }
    }

    async fn a_body_arrives_byte_for_byte(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::echo());
        let every_byte: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let reply = proxq.through_queue(put("/x").body(every_byte.clone())).await;
        assert!(reply.body == every_byte);
        let received = upstream.request().await;
        assert!(received.body == every_byte);
        assert_eq!(received.header("content-length").as_deref(), Some("10000"));
    }

    async fn an_empty_body_stays_empty_and_no_body_stays_none(proxq: Proxq, upstream: Upstream) {
        proxq.through_queue(post("/empty")).await;
        assert_eq!(upstream.request().await.header("content-length").as_deref(), Some("0"));
        proxq.through_queue(get("/none")).await;
        let received = upstream.request().await;
        assert_eq!(received.header("content-length"), None);
        assert_eq!(received.header("transfer-encoding"), None);
    }

    async fn bodies_around_the_inline_limit_arrive_byte_for_byte(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 4096)).await;
        for length in [4095, 4096, 4097, 100_000] {
            let pattern = Pattern::new(length, length);
            let reply = proxq.through_queue(post("/x").pattern(pattern)).await;
            assert_eq!(reply.digest, pattern.digest());
            assert_eq!(upstream.request().await.digest, pattern.digest());
        }
    }

    async fn a_body_of_the_largest_default_size_is_queued(proxq: Proxq, upstream: Upstream) {
        let pattern = Pattern::new(1, 10_485_760);
        proxq.through_queue(post("/x").pattern(pattern)).await;
        assert_eq!(upstream.request().await.digest, pattern.digest());
    }

    async fn a_submission_is_accepted_while_the_upstream_is_down(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("maxRetries", 100).upstream("retryDelay", "20ms");
        let address = upstream.stop().await;
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x").body("patience")).await;
        let upstream = Upstream::start_at(address);
        upstream.answers(200, "at last");
        assert_eq!(proxq.response(&job).await.text(), "at last");
        assert_eq!(upstream.request().await.text(), "patience");
    }

    async fn a_proposed_id_becomes_the_jobs_id(proxq: Proxq, upstream: Upstream) {
        let id = JobId::new();
        let job = proxq.submit(post("/x").header(header::JOB_ID, id.to_string())).await;
        assert_eq!(job.id, id);
        proxq.response(&job).await;
        assert_eq!(upstream.deliveries(id), 1);
    }

    async fn the_same_id_from_the_same_client_is_the_same_job(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let id = JobId::new();
        let submission = post("/x").header(header::JOB_ID, id.to_string()).header("Authorization", "Bearer a");
        let first = proxq.submit(submission.clone()).await;
        upstream.arrivals(1).await;
        assert_eq!(proxq.submit(submission.clone()).await, first, "while it runs");
        gate.open();
        proxq.response(&first).await;
        assert_eq!(proxq.submit(submission).await, first, "after it has completed");
        assert_eq!(upstream.deliveries(id), 1);
    }

    async fn a_proposed_id_of_another_client_is_taken(proxq: Proxq, upstream: Upstream) {
        let id = JobId::new();
        let submission =
            |name: &str, value: &str| post("/x").header(header::JOB_ID, id.to_string()).header(name, value);
        let job = proxq.submit(submission("Authorization", "Bearer a")).await;
        for (name, value) in [("Authorization", "Bearer b"), ("X-Api-Key", "k"), ("X-Other", "1")] {
            proxq.send(submission(name, value)).await.refused(409, "JOB_ID_TAKEN");
        }
        proxq.response(&job).await;
        proxq.send(submission("Authorization", "Bearer b")).await.refused(409, "JOB_ID_TAKEN");
        assert_eq!(upstream.deliveries(id), 1);
    }

    async fn a_proposed_id_belongs_to_who_shows_the_same_api_keys_whatever_else_changes(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("secretHeaders", vec!["X-Listed"])).await;
        let id = JobId::new();
        let submission = || post("/x").header(header::JOB_ID, id.to_string()).header("Authorization", "Bearer a");
        let job = proxq.submit(submission().header("Cookie", "a=b")).await;
        for name in ["Cookie", "X-Session-Id", "X-Api-Token", "X-Listed"] {
            assert_eq!(proxq.submit(submission().header(name, "other")).await, job, "{name}");
        }
        proxq.send(submission().header("X-Api-Key", "k")).await.refused(409, "JOB_ID_TAKEN");
    }

    async fn a_proposed_id_of_another_request_is_taken(proxq: Proxq, upstream: Upstream) {
        let id = JobId::new();
        let proposed = |request: Request| request.header(header::JOB_ID, id.to_string());
        let job = proxq.submit(proposed(post("/x?a=1")).body("four")).await;
        for other in [put("/x?a=1").body("four"), post("/y?a=1").body("four"), post("/x?a=2").body("four"), post("/x?a=1").body("three")] {
            let reply = proxq.send(proposed(other)).await;
            reply.refused(409, "JOB_ID_TAKEN");
            assert!(reply.detail().contains("method"), "{}", reply.detail());
        }
        proxq.response(&job).await;
        proxq.send(proposed(put("/x?a=1")).body("four")).await.refused(409, "JOB_ID_TAKEN");
        assert_eq!(proxq.submit(proposed(post("/x?a=1")).body("four").header("X-Other", "1")).await, job);
        assert_eq!(upstream.deliveries(id), 1);
    }

    async fn a_client_is_known_by_its_credential_after_a_restart(store: Store) {
        let upstream = Upstream::start().await;
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        let id = JobId::new();
        let submission = |who: &str| post("/x").header(header::JOB_ID, id.to_string()).header("Authorization", who);
        let job = proxq.submit(submission("a")).await;
        proxq.stop().await;
        proxq.start_again().await;
        assert_eq!(proxq.submit(submission("a")).await, job);
        proxq.send(submission("b")).await.refused(409, "JOB_ID_TAKEN");
    }

    async fn an_id_is_free_again_when_its_job_is_gone(proxq: Proxq, upstream: Upstream) {
        let id = JobId::new();
        let submission = |who: &str| post("/x").header(header::JOB_ID, id.to_string()).header("Authorization", who);
        let job = proxq.submit(submission("a")).await;
        proxq.response(&job).await;
        assert_eq!(proxq.cancel(&job).await.status, 200);
        let again = proxq.submit(submission("b")).await;
        assert_eq!(again.id, id);
        proxq.response(&again).await;
        assert_eq!(upstream.deliveries(id), 2);
    }

    async fn a_timeout_of_zero_is_the_upstreams_own(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("timeout", "100ms")).await;
        let job = proxq.submit(post("/x").header("X-Proxq-Timeout", "0")).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Failed);
    }

    async fn a_submissions_timeout_overrides_the_upstreams(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::nothing().hang());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("timeout", "200ms")).await;
        let short = proxq.submit(post("/x").header("X-Proxq-Timeout", "50ms")).await;
        let error = proxq.settled(&short).await.error.expect("a failed job says why");
        assert!(error.contains("50ms"), "{error}");
        upstream.always(Answer::status(200).wait(&gate));
        let long = proxq.submit(post("/x").header("X-Proxq-Timeout", "30s")).await;
        outlast(Duration::from_millis(400)).await; // longer than the upstream's own timeout
        gate.open();
        proxq.response(&long).await;
    }

    async fn what_only_proxq_may_say_is_dropped(proxq: Proxq, upstream: Upstream) {
        proxq.through_queue(post("/x").header("X-Proxq-Source", "proxq").header("X-Proxq-Attempt", "7")).await;
        let received = upstream.request().await;
        assert_eq!(received.header("X-Proxq-Source"), None);
        assert_eq!(received.headers("X-Proxq-Attempt"), ["1"]);
    }

    async fn each_submission_is_a_job_of_its_own(proxq: Proxq, upstream: Upstream) {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(proxq.submit(post("/x").body("the same")).await.id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 20);
        upstream.arrivals(20).await;
    }

    async fn jobs_start_in_the_order_of_their_submission(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 1)).await;
        for number in 0..20 {
            proxq.submit(post(&format!("/{number}"))).await;
        }
        for number in 0..20 {
            assert_eq!(upstream.request().await.target(), format!("/{number}"));
        }
    }

    async fn no_more_jobs_run_at_once_than_configured(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 3)).await;
        let mut jobs = Vec::new();
        for _ in 0..5 {
            jobs.push(proxq.submit(post("/x")).await);
        }
        upstream.arrivals(3).await;
        let last = proxq.send(get(&format!("{}?wait=200ms", jobs[4].location))).await;
        assert_eq!(last.json()["status"], "queued");
        assert_eq!(upstream.received().len(), 3);
        gate.open();
        for job in &jobs {
            proxq.response(job).await;
        }
    }

    async fn an_instance_without_workers_accepts_jobs_for_others(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        let job = proxq.submit(post("/x")).await;
        let waited = proxq.send(get(&format!("{}?wait=200ms", job.location))).await;
        assert_eq!(waited.json()["status"], "queued");
        assert!(upstream.received().is_empty());
        proxq.stop().await;
        proxq.start_again_with(config).await;
        proxq.response(&job).await;
    }
}

once! {
    async fn a_bad_proposed_id_is_refused(proxq: Proxq, upstream: Upstream) {
        for bad in ["", "7", "550e8400-e29b-11d4-a716-446655440000", "{550e8400-e29b-41d4-a716-446655440000}"] {
            let reply = proxq.send(post("/x").header(header::JOB_ID, bad)).await;
            reply.refused(400, "BAD_HEADER");
            names(&reply.detail(), "X-Proxq-Job-Id", bad);
        }
        assert!(upstream.received().is_empty());
    }

    async fn a_bad_timeout_is_refused(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("maxTimeout", "10m")).await;
        for bad in ["", "30", "soon", "-1s", "1d", "1h", "10m1ms", "9999999h"] {
            let reply = proxq.send(post("/x").header("X-Proxq-Timeout", bad)).await;
            reply.refused(400, "BAD_HEADER");
            names(&reply.detail(), "X-Proxq-Timeout", bad);
        }
        let twice = post("/x").header("X-Proxq-Timeout", "1s").header("X-Proxq-Timeout", "2s");
        proxq.send(twice).await.refused(400, "BAD_HEADER");
        proxq.submit(post("/x").header("X-Proxq-Timeout", "10m")).await;
    }

    async fn controls_that_are_not_supported_yet_are_refused(proxq: Proxq, upstream: Upstream) {
        for (name, value) in [
            ("X-Proxq-Callback", "https://example.com/"),
            ("X-Proxq-Tiemout", "1s"),
        ] {
            let reply = proxq.send(post("/x").header(name, value)).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.detail().contains(name), "{}", reply.detail());
            assert!(reply.detail().contains("not supported yet"), "{}", reply.detail());
        }
        assert!(upstream.received().is_empty());
    }
}

/// A refusal of a header names it and what it was.
#[track_caller]
fn names(detail: &str, header: &str, value: &str) {
    assert!(detail.contains(header) && detail.contains(value), "{detail:?} names {header} and {value:?}");
}
