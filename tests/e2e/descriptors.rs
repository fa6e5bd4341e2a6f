//! Tests with a limit on open files (`ulimit -n`): client connections leave room for jobs, and a shortage of proxq's own
//! fails no job.

use std::time::Duration;

use harness::{Answer, Config, Gate, Job, Proxq, Store, Upstream, Wire, eventually, get, on_every_store, post};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

/// Starts a server that may have so many files open.
async fn limited_to(files: u32, config: Config) -> Proxq {
    let script = format!("ulimit -n {files}; exec \"$@\"");
    Proxq::builder(config).through(&["sh", "-c", &script, "sh"]).start().await
}

/// So many connections of which nothing comes, or half a head.
async fn silent(proxq: &Proxq, count: usize) -> Vec<Wire> {
    let mut silent = Vec::new();
    for number in 0..count {
        let mut wire = proxq.wire().await;
        if number % 2 == 0 {
            wire.try_send("GET /x HT").await.ok(); // it may have had to give way
        }
        silent.push(wire);
    }
    silent
}

/// Fails if a server is not healthy again and again, each time over a new connection.
async fn stays_healthy(proxq: &Proxq) {
    for _ in 0..10 {
        let begin = Instant::now();
        proxq.assert_healthy().await;
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
}

on_every_store! {
    async fn silent_connections_leave_files_for_jobs(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("done").wait(&gate));
        let config = store.config_for(&upstream).set("concurrency", 20).set("limits.headerReadTimeout", "5m");
        let proxq = limited_to(160, config).await;
        let told = proxq.log().find(|record| record.message().starts_with("fewer client connections")).await.unwrap();
        let figure = |name: &str| told.field(name).unwrap_or_else(|| panic!("no {name}: {told:?}"));
        assert_eq!((figure("configured").as_str(), figure("file_limit").as_str()), ("16384", "160"));
        let mut jobs: Vec<Job> = Vec::new();
        for _ in 0..20 {
            jobs.push(proxq.submit(get("/x").header("X-Proxq-Delay", "1s")).await);
        }
        let silent = silent(&proxq, 200).await;
        stays_healthy(&proxq).await;
        gate.open();
        for job in &jobs {
            let status = proxq.settled(job).await;
            assert_eq!((status.status, status.attempts, status.error), (JobStatus::Completed, Some(1), None));
        }
        let direct = proxq.send(post("/x").header("X-Proxq-Mode", "direct").body("x")).await;
        assert_eq!(direct.from_upstream(200).text(), "done");
        drop(silent);
    }

    async fn a_connection_with_a_request_is_not_closed_for_another(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("done").wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream).set("limits.maxConnections", 3)).await;
        let (mut direct, mut upload, mut idle) = (proxq.wire().await, proxq.wire().await, proxq.wire().await);
        direct.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
        upload.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo").await;
        idle.assert_healthy().await;
        let silent = silent(&proxq, 10).await;
        stays_healthy(&proxq).await;
        idle.closed().await;
        upload.send("dy").await;
        assert_eq!(upload.reply().await.status, 202);
        gate.open();
        assert_eq!(direct.reply().await.from_upstream(200).text(), "done");
        drop(silent);
    }

    async fn a_job_waits_while_no_file_can_be_opened(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).body("done"));
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        proxq.expect_error("proxq is short of something");
        let mut wire = proxq.wire().await;
        // Files that are opened at their first use are open from now on.
        proxq.through_queue(get("/x")).await;
        wire.assert_healthy().await;
        proxq.limit_open_files(3);
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        let location = wire.reply().await.header("location").unwrap();
        let status = format!("GET {location} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut shown = serde_json::Value::Null;
        // Over the open connection: there is no file for another one.
        eventually("an attempt finds no file", async || {
            wire.send(&status).await;
            shown = wire.reply().await.json();
            shown["error"].is_string()
        })
        .await;
        let error = shown["error"].as_str().unwrap();
        assert!(error.contains("proxq is short of file descriptors of this process (limit: 3)"), "{error}");
        assert_eq!((&shown["status"], &shown["nextAttemptAt"].is_string()), (&"running".into(), &true), "{shown}");
        wire.send("POST /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\nContent-Length: 0\r\n\r\n").await;
        let direct = wire.reply().await;
        direct.refused(502, "UPSTREAM_UNREACHABLE");
        assert!(direct.detail().contains("proxq is short of"), "{}", direct.detail());

        proxq.limit_open_files(1000);
        wire.send(format!("GET {location}?wait=1m HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let ended = wire.reply().await.json();
        assert_eq!((&ended["status"], &ended["maxRetries"]), (&"completed".into(), &0.into()), "{ended}");
        assert_eq!(proxq.log().lines().iter().filter(|line| line.contains("proxq is short of something")).count(), 1);
    }
}
