//! Tests of the log: what it says to an operator, and what never appears in it.

use std::fs;

use harness::{
    Answer, Gate, Proxq, Record, Refusing, Route, Store, Upstream, get, on_every_store, on_the_store, once, post,
    within,
};

/// The line has this in some field.
fn mentions(record: &Record, field: &str, value: &str) -> bool {
    record.field(field).as_deref() == Some(value)
}

on_the_store! {
    Embedded:

    async fn a_store_without_fsync_is_warned_of(store: Store) {
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

    async fn a_closed_log_disturbs_no_request(store: Store) {
        let upstream = Upstream::start().await;
        let until_it_listens = ["bash", "-c", "exec \"$@\" 2> >(exec sed -u /listening/q >&2)", "bash"];
        let mut proxq = Proxq::builder(store.config_for(&upstream)).through(&until_it_listens).start().await;
        proxq.log().ended().await;
        for _ in 0..3 {
            proxq.through_queue(post("/x")).await.from_upstream(200);
            proxq.send(get("/x?stream=true")).await.from_upstream(200);
        }
        proxq.assert_healthy().await;
        assert_eq!(upstream.received().len(), 6);
        proxq.kill();
    }

    async fn the_last_lines_are_written_before_the_end(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        for number in 0..20 {
            proxq.send(get("/x?stream=true").header("X-Request-ID", format!("last-{number}"))).await.from_upstream(200);
        }
        proxq.stop().await;
        let is_answered = |record: &Record| {
            let id = record.field("request_id").unwrap_or_default();
            record.message() == "request answered" && id.starts_with("last-")
        };
        assert_eq!(proxq.log().records().iter().filter(|record| is_answered(record)).count(), 20);
    }

    async fn the_reason_of_a_failed_end_is_written(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        proxq.expect_error("second signal");
        proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.terminate();
        proxq.drains().await;
        proxq.terminate();
        assert_eq!(proxq.exit_code().await, Some(1));
        let ends = proxq.log().records().into_iter().find(|record| record.message() == "proxq ends");
        assert!(ends.is_some_and(|record| record.level() == "ERROR"), "{}", proxq.log().text());
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

    async fn lines_of_text_are_short(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::builder(store.config_for(&upstream)).text_log().start().await;
        let job = proxq.submit(post("/api/reports")).await;
        proxq.response(&job).await;
        let id = job.id.to_string();
        let of_request = "path=/api/reports request_id=";
        let line = within("the request's line", proxq.log().line(of_request)).await.expect("it is logged");
        assert!(line.contains(" INFO request answered status=202 elapsed_ms=") && line.contains(&id), "{line}");
        assert!(line.len() < 200, "{line}");
        let line = within("the job's line", proxq.log().line("job completed")).await.expect("it is logged");
        let expected = format!(" INFO job completed job.id={id} upstream=/ attempt=1 status=200 elapsed_ms=");
        assert!(line.contains(&expected) && line.len() < 150, "{line}");
        let chosen = proxq.submit(post("/x").header("X-Request-ID", "mine")).await;
        proxq.response(&chosen).await;
        let of_chosen = format!("job completed job.id={} request_id=mine ", chosen.id);
        within("the id that the client chose", proxq.log().line(&of_chosen)).await.expect("it is logged");
        let long = format!("/{}", "x".repeat(5000));
        proxq.send(get(&long).header("X-Request-ID", "long")).await;
        let line = within("a long path's line", proxq.log().line("…\" request_id=long")).await.expect("it is logged");
        assert!(line.len() < 400 && line.contains("xxx…"), "{line}");
    }

    async fn an_outcome_is_spelled_as_in_the_api(store: Store) {
        let refusing = Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &refusing.url()))).await;
        let job = proxq.submit(post("/x")).await;
        proxq.settled(&job).await;
        let failed = proxq.log().record("the job's end", |record| record.message() == "job failed").await;
        let api = proxq.send(get(&job.location)).await.json();
        assert_eq!((failed.field("outcome").as_deref(), &api["outcome"]), (Some("not_sent"), &"not_sent".into()));
    }

    async fn a_cancelled_job_is_logged_as_cancelled(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(post("/x")).await;
        upstream.request().await;
        proxq.cancel(&job).await;
        let id = job.id.to_string();
        let cancelled = |record: &Record| {
            record.message() == "job cancelled while it ran" && mentions(record, "job.id", &id)
        };
        assert_eq!(proxq.log().record("the attempt's end", cancelled).await.level(), "INFO");
    }
}

once! {
    async fn a_log_that_nobody_reads_delays_no_request_and_what_it_misses_is_counted(store: Store) {
        /// At this level a request has some 3 KB of lines. Together they are more than waits for the reader.
        const REQUESTS: usize = 1500;
        let upstream = Upstream::start().await;
        let read_again_when_told =
            ["bash", "-c", "mkfifo told; exec \"$@\" 2> >(sed -u /listening/q >&2; cat told; exec cat >&2)", "bash"];
        let builder = Proxq::builder(store.config_for(&upstream)).env("RUST_LOG", "trace");
        let proxq = builder.through(&read_again_when_told).start().await;
        let (path, id) = (format!("/{}?stream=true", "x".repeat(199)), "i".repeat(128));
        for _ in 0..REQUESTS {
            proxq.send(get(&path).header("X-Request-ID", &*id)).await.from_upstream(200);
        }
        fs::write(proxq.folder().join("told"), "").expect("the reader waits for it");
        let lost = |record: &Record| record.message().starts_with("log lines were lost");
        let lost = proxq.log().record("how many lines were lost", lost).await;
        let count: u64 = lost.field("lines").and_then(|lines| lines.parse().ok()).expect("a number");
        assert!(lost.level() == "WARN" && count > 0, "{lost:?}");
        proxq.send(get("/x?stream=true").header("X-Request-ID", "after")).await;
        proxq.log().record("a line after that", |record| mentions(record, "request_id", "after")).await;
        // The harness takes every line that is not whole for a failure.
    }

    async fn a_client_cannot_write_log_lines(proxq: Proxq, _upstream: Upstream) {
        for (at, hostile) in HOSTILE.into_iter().enumerate() {
            let request = get("/x").header("X-Request-ID", hostile).header("User-Agent", hostile);
            proxq.send(request.header("X-Proxq-Mode", "direct")).await;
            let path = format!("/{at}/\"level\":\"ERROR\"\u{9b}\u{2028}");
            proxq.send(get(&path).header("X-Proxq-Mode", "direct")).await.from_upstream(200);
            let with_path = |record: &Record| record.field("path").as_deref() == Some(&path);
            proxq.log().record("a line with the path as it was", with_path).await;
        }
        for line in proxq.log().lines() {
            assert!(!line.chars().any(is_unprintable), "{line:?}");
        }
        // The harness takes every line that is not JSON, and every error, for a failure.
    }

    async fn a_client_cannot_forge_fields_of_text(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::builder(store.config_for(&upstream)).text_log().start().await;
        for hostile in HOSTILE {
            proxq.send(get("/x").header("X-Request-ID", hostile).header("X-Proxq-Mode", "direct")).await;
        }
        let path = "/\"status=500\"\u{9b}\u{2028}\u{202e}/forged=1";
        proxq.send(get(path).header("X-Proxq-Mode", "direct").header("X-Request-ID", "last=\"1\"")).await;
        let line = within("the last line", proxq.log().line("last=")).await.expect("it is logged");
        let shown = "path=\"/\\\"status=500\\\"\\u{9b}\\u{2028}\\u{202e}/forged=1\"";
        assert!(line.contains(&format!(" method=GET {shown} request_id=\"last=\\\"1\\\"\"")), "{line}");
        for line in proxq.log().lines() {
            assert!(!line.chars().any(is_unprintable) && !line.contains("forged-id"), "{line:?}");
            assert!(line.as_bytes()[..4].iter().all(u8::is_ascii_digit), "it begins with the time: {line}");
        }
    }
}

/// What forges lines, fields and commands to a terminal where it is written as it is.
const HOSTILE: [&str; 6] = [
    "a\"b\\c forged-id=1",
    "{\"level\":\"ERROR\"} forged-id",
    "\u{1b}[31m forged-id",
    "forged-id\u{9b}31m",
    "x\u{2028}forged-id",
    "\u{202e}forged-id",
];

fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
