//! What an operator reads, and what nobody may read there.

use harness::{Answer, Proxq, Record, Store, Upstream, get, on_every_store, on_the_store, post};
use proxq_protocol::JobId;

/// The line has this in some field.
fn mentions(record: &Record, field: &str, value: &str) -> bool {
    record.field(field).as_deref() == Some(value)
}

on_the_store! {
    Embedded:

    async fn jobs_that_a_power_failure_may_cost_are_announced(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("embedded.fsync", false)).await;
        let warns = |record: &Record| record.level() == "WARN" && record.message().contains("embedded.fsync");
        proxq.log().record("a warning", warns).await;
        let job = proxq.submit(post("/x")).await;
        proxq.response(&job).await;
    }
}

on_every_store! {
    async fn the_start_names_address_and_store(store: Store) {
        let (proxq, _upstream) = store.pair().await;
        let listening = proxq.log().record("it listens", |record| record.message() == "listening").await;
        assert_eq!(listening.field("address"), Some(proxq.address().to_string()));
        let starting = proxq.log().record("it starts", |record| record.message() == "starting").await;
        assert_eq!(starting.field("store").as_deref(), Some(store.name()));
    }

    async fn a_start_on_defaults_warns_of_nothing(store: Store) {
        let (proxq, _upstream) = store.pair().await;
        proxq.log().record("it listens", |record| record.message() == "listening").await;
        let warnings = proxq.log().records().into_iter().filter(|record| record.level() != "INFO");
        assert_eq!(warnings.map(|record| record.message()).collect::<Vec<_>>(), Vec::<String>::new());
    }

    async fn a_log_that_nobody_reads_any_more_costs_nothing_but_the_log(store: Store) {
        let upstream = Upstream::start().await;
        let until_it_listens = ["bash", "-c", "exec \"$@\" 2> >(exec sed -u /listening/q >&2)", "bash"];
        let mut proxq = Proxq::builder(store.config_for(&upstream)).through(&until_it_listens).start().await;
        proxq.log().ended().await;
        for _ in 0..3 {
            proxq.through_queue(post("/x")).await.from_upstream(200);
            proxq.send(get("/x?stream=true")).await.from_upstream(200);
        }
        proxq.send(get("/__jobs/healthz")).await;
        assert_eq!(upstream.received().len(), 6);
        proxq.kill();
    }

    async fn a_request_and_a_jobs_end_have_a_line_each(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(418, "short and stout");
        let proxq = Proxq::builder(store.config_for(&upstream)).env("RUST_LOG", "debug").start().await;
        let job = proxq.submit(post("/x").header("X-Request-ID", "find-me-17")).await;
        proxq.response(&job).await;
        let id = job.id.to_string();
        let of_request = |record: &Record| {
            record.field("request_id").or(record.field("request.id")).as_deref() == Some("find-me-17")
        };
        proxq.log().record("a line with the request's id", of_request).await;
        let of_end = |record: &Record| mentions(record, "job.id", &id) && mentions(record, "status", "418");
        proxq.log().record("a line of the job's end", of_end).await;
    }

    async fn bodies_credentials_and_query_values_are_never_logged(store: Store) {
        let upstream = Upstream::start().await;
        let answer = Answer::status(200).header("Set-Cookie", "s=SECRET-1").body("SECRET-2");
        upstream.once(answer);
        upstream.once(Answer::nothing().reset());
        upstream.once(Answer::raw("SECRET-3 is no HTTP\r\n\r\n").close());
        let config = store.config_for(&upstream).set("secretHeaders", vec!["X-Session"]);
        let proxq = Proxq::builder(config).env("RUST_LOG", "trace").start().await;
        let request = || {
            post("/x?token=SECRET-4&SECRET-5")
                .header("Authorization", "Bearer SECRET-6")
                .header("Cookie", "SECRET-7")
                .header("X-Session", "SECRET-8")
                .header("X-Api-Key", "SECRET-9")
                .body("SECRET-10")
        };
        for _ in 0..3 {
            let job = proxq.submit(request()).await;
            let status = proxq.settled(&job).await;
            assert!(!format!("{status:?}").contains("SECRET"), "{status:?}");
        }
        let bad = proxq.send(request().header("X-Proxq-Callback", "SECRET-13")).await;
        bad.refused(400, "BAD_HEADER");
        proxq.send(get("/../SECRET-11?SECRET-12")).await.refused(400, "BAD_PATH");
        let lines = proxq.log().lines();
        // The path is for operators; what follows the question mark is not.
        let told: Vec<_> = lines.iter().filter(|line| line.replace("SECRET-11", "").contains("SECRET")).collect();
        assert!(told.is_empty(), "{told:#?}");
    }

    async fn a_failed_attempt_is_a_warning_with_its_cause(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().reset());
        let proxq =
            Proxq::start(store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "10ms")).await;
        let job = proxq.submit(get("/x")).await;
        proxq.response(&job).await;
        let id = job.id.to_string();
        let failed = |record: &Record| record.level() == "WARN" && mentions(record, "job.id", &id);
        let line = proxq.log().record("a warning", failed).await;
        assert_eq!(line.field("attempt").as_deref(), Some("1"));
        assert!(line.field("error").is_some_and(|error| !error.is_empty()));
    }

    async fn a_client_cannot_write_log_lines(proxq: Proxq, _upstream: Upstream) {
        let id = JobId::new();
        for hostile in ["a\"b\\c", "{\"level\":\"ERROR\"}", "\u{1b}[31mred"] {
            proxq.send(get("/x").header("X-Request-ID", hostile).header("X-Trace", id.to_string())).await;
        }
        // The harness takes every line that is not JSON, and every error, for a failure.
    }
}
