//! `proxq submit` in a pipe.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use harness::{Answer, Gate, Pattern, Record, Store, binary, on_every_store, on_the_store};
use proxq_protocol::JobId;
use rustix::process::{Pid, Signal, kill_process};

use super::Bench;

/// Has the shell write standard output into the file `out`.
const INTO_OUT: [&str; 3] = ["sh", "-c", "\"$0\" \"$@\" >out"];

on_every_store! {
    async fn the_upstreams_response_is_printed_byte_for_byte(store: Store) {
        let bench = Bench::start(store).await;
        let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        bench.upstream.once(Answer::status(200).header("X-Two", "1").header("X-Two", "2").body(body.clone()));
        let exit = bench.launch_through(&INTO_OUT, &["submit", "/x?y=1", "-H", "X-A: b"]).to_exit().await;
        assert_eq!((exit.code, exit.log.as_str()), (Some(0), ""), "quiet in a pipe");
        assert_eq!(fs::read(bench.folder().join("out")).unwrap(), body);
        let request = bench.upstream.request().await;
        assert_eq!((request.method(), request.target()), ("GET", "/x?y=1"));
        assert_eq!(request.header("X-A").as_deref(), Some("b"));

        bench.upstream.once(Answer::status(201).header("X-Two", "1").header("X-Two", "2").body(body.clone()));
        let args = ["submit", "/x", "-i", "-o", "kept", "-X", "PUT", "-d", "hello"];
        assert_eq!(bench.run(&args, 0).await.output, "");
        let kept = fs::read(bench.folder().join("kept")).unwrap();
        let head = b"HTTP/1.1 201 Created\r\nX-Two: 1\r\nX-Two: 2\r\n";
        assert!(kept.starts_with(head) && kept.ends_with(&body), "{}", String::from_utf8_lossy(&kept[..200]));
        let request = bench.upstream.request().await;
        assert_eq!((request.method(), &*request.body), ("PUT", &b"hello"[..]));
    }

    async fn the_exit_code_says_how_it_ended(store: Store) {
        let bench = Bench::start(store).await;
        for (status, code) in [(204, 0), (302, 0), (404, 22), (500, 22)] {
            let body = if status == 204 { "" } else { "said" };
            bench.upstream.once(Answer::status(status).body(body));
            let exit = bench.run(&["submit", "/x"], code).await;
            assert_eq!((exit.output.as_str(), exit.log.as_str()), (body, ""), "{status}");
        }
        let failed = bench.run(&["submit", "/dead/x"], 3).await;
        assert!(failed.output.is_empty() && failed.log.contains("failed (not_sent): "), "{}", failed.log);
        let refused = bench.run(&["submit", "/x", "-H", "X-Proxq-Delay: tomorrow"], 1).await;
        assert!(refused.log.contains("X-Proxq-Delay: \"tomorrow\" is not valid"), "{}", refused.log);
    }

    async fn who_does_not_wait_gets_the_id_alone(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.answers(200, "later");
        let exit = bench.run(&["submit", "/x", "--no-wait"], 0).await;
        let id: JobId = exit.output.trim_end().parse().unwrap_or_else(|_| panic!("{}", exit.output));
        let waited = bench.run(&["jobs", "wait", &id.to_string()], 0).await;
        assert_eq!(waited.output, format!("{id} completed 200"));

        let gate = Gate::new();
        bench.upstream.always(Answer::status(200).wait(&gate));
        let over = bench.run(&["submit", "/x", "--wait", "50ms"], 28).await;
        assert!(over.output.is_empty() && over.log.contains("goes on; its response will be at http://"), "{}", over.log);
        gate.open();
    }

    async fn a_body_comes_from_a_file_or_from_standard_input(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.always(Answer::echo());
        let body = Pattern::new(7, 3 << 20);
        fs::write(bench.folder().join("body"), body.bytes()).unwrap();
        let args = ["submit", "/x", "-d", "@body", "-H", "Content-Type: application/octet-stream"];
        let exit = bench.launch_through(&INTO_OUT, &args).to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(fs::read(bench.folder().join("out")).unwrap() == body.bytes(), "the same bytes");
        let request = bench.upstream.request().await;
        assert_eq!((request.method(), &request.digest), ("POST", &body.digest()));
        assert_eq!(request.header("Content-Type").as_deref(), Some("application/octet-stream"));
        assert!(request.job_id().is_some(), "its length is known, so that it becomes a job");

        let from_pipe = ["sh", "-c", "printf 'a\\nb' | \"$0\" \"$@\""];
        let exit = bench.launch_through(&from_pipe, &["submit", "/x", "-d", "@-"]).to_exit().await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "a\nb"), "{}", exit.log);
        let request = bench.upstream.request().await;
        assert_eq!(request.header("Content-Type").as_deref(), Some("application/x-www-form-urlencoded"), "as curl has it");
        assert!(request.job_id().is_some());
    }

    async fn a_response_without_a_job_is_printed_too(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.once(Answer::status(418).body("direct"));
        let exit = bench.run(&["submit", "/x", "-H", "X-Proxq-Mode: direct"], 22).await;
        assert_eq!(exit.output, "direct");
        assert!(bench.upstream.request().await.job_id().is_none());
    }

    async fn an_interrupted_command_leaves_its_job_and_says_its_id(store: Store) {
        let bench = Bench::start(store).await;
        let gate = Gate::new();
        bench.upstream.once(Answer::status(200).wait(&gate).body("later"));
        let mut command = Command::new(binary());
        command.args(["submit", "/x", "--url", &bench.proxq.url()]).current_dir(bench.folder());
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let job = bench.upstream.request().await.job_id().expect("it is a job");
        kill_process(Pid::from_child(&command), Signal::INT).unwrap();
        let ended = tokio::task::spawn_blocking(|| command.wait_with_output().unwrap()).await.unwrap();
        let log = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(130), 0), "{log}");
        assert!(log.contains(&job.to_string()) && log.contains("goes on"), "{log}");
        gate.open();
        bench.run(&["jobs", "wait", &job.to_string()], 0).await;
    }
}

on_the_store! {
    Embedded:

    async fn a_command_waits_through_a_restart_of_the_server(store: Store) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listens = format!("127.0.0.1:{port}");
        let mut bench = Bench::with(store, |config| config.set("listenAddress", listens)).await;
        let gate = Gate::new();
        bench.upstream.once(Answer::status(200).wait(&gate).body("from before"));
        bench.upstream.once(Answer::status(200).body("after all"));
        let waits = bench.launch(&["submit", "/x"]).to_exit();
        let restarts = async {
            let asked = |record: &Record| record.field("path").is_some_and(|path| path.starts_with("/__jobs/"));
            bench.proxq.log().record("the command has asked for its job", asked).await;
            bench.upstream.arrivals(1).await;
            bench.proxq.kill();
            bench.proxq.start_again().await;
        };
        let (exit, ()) = futures_util::join!(waits, restarts);
        gate.open();
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "after all"), "{}", exit.log);
    }

    async fn a_server_that_is_away_is_named_with_what_would_be_right(store: Store) {
        let bench = Bench::start(store).await;
        let exit = bench.run(&["submit", "http://127.0.0.1:1/x"], 1).await;
        for text in ["connect to http://127.0.0.1:1", "connection refused", "--url", "PROXQ_URL"] {
            assert!(exit.log.contains(text), "{text}: {}", exit.log);
        }
        assert_eq!(exit.log.lines().count(), 1, "{}", exit.log);
    }

    async fn a_response_that_breaks_off_is_no_success(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.once(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close());
        let exit = bench.run(&["submit", "/x", "-H", "X-Proxq-Mode: direct"], 1).await;
        assert_eq!(exit.output, "half");
    }
}
