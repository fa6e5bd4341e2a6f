//! `proxq jobs list`, `show` and `wait`.

use harness::{Answer, Gate, Launch, Store, get, on_every_store, on_the_store, post};
use serde_json::Value;

use super::{Bench, assert_safe};

/// A job that there never was.
const NO_JOB: &str = "550e8400-e29b-41d4-a716-446655440000";

/// The JSON objects of an output, a line each.
fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

on_every_store! {
    async fn jobs_are_listed_with_whole_ids(store: Store) {
        let bench = Bench::start(store).await;
        let done = bench.ended("/done", 503).await;
        let failed = bench.failed("/dead/x").await;
        let all = bench.run(&["jobs", "list"], 0).await;
        let lines: Vec<_> = all.output.lines().collect();
        assert!(lines.len() == 3 && lines[0].starts_with("ID "), "{}", all.output);
        assert!(lines[1].starts_with(&failed.id.to_string()) && lines[1].contains("connection refused"), "{}", all.output);
        assert!(lines[2].starts_with(&done.id.to_string()) && lines[2].contains(" 503"), "{}", all.output);
        assert_eq!(all.log, "");
        for (filter, expected) in [
            (&["--state", "failed"][..], vec![failed.id]),
            (&["--upstream", "/dead"], vec![failed.id]),
            (&["--status", "5xx"], vec![done.id]),
            (&["--path", "/do", "--method", "get"], vec![done.id]),
            (&["--error", "refused", "--outcome", "not_sent", "--newer-than", "1h"], vec![failed.id]),
            (&["--older-than", "1h"], vec![]),
            (&["--queue", "default", "--limit", "1"], vec![failed.id]),
        ] {
            let listed = bench.run(&[&["jobs", "list", "--json"], filter].concat(), 0).await;
            let ids: Vec<_> = objects(&listed.output).iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
            assert_eq!(ids, expected.iter().map(ToString::to_string).collect::<Vec<_>>(), "{filter:?}");
        }
        let none = bench.run(&["jobs", "list", "--state", "scheduled"], 0).await;
        assert_eq!((none.output.as_str(), none.log.trim()), ("", "no job is such"));
    }

    async fn a_list_goes_on_over_the_pages_of_the_api(store: Store) {
        let bench = Bench::start(store).await;
        bench.upstream.answers(200, "");
        let mut ids = Vec::new();
        for number in 0..103 {
            ids.push(bench.proxq.submit(get(&format!("/{number}"))).await);
        }
        for job in &ids {
            bench.proxq.settled(job).await;
        }
        let listed = bench.run(&["jobs", "list", "--json", "--order", "oldest", "--limit", "102"], 0).await;
        let paths: Vec<_> = objects(&listed.output).iter().map(|job| job["path"].as_str().unwrap().to_owned()).collect();
        assert_eq!(paths.len(), 102);
        assert_eq!(paths.iter().collect::<std::collections::BTreeSet<_>>().len(), 102, "none twice");
    }

    async fn a_job_is_shown_with_its_attempts(store: Store) {
        let bench = Bench::start(store).await;
        let failed = bench.failed("/dead/x?secret=1").await;
        let id = failed.id.to_string();
        let shown = bench.run(&["jobs", "show", &id], 0).await.output;
        for text in [&*id, "state       failed", "GET /dead/x", "connection refused", "Attempts", "not_sent"] {
            assert!(shown.contains(text), "{text}\n{shown}");
        }
        let json = bench.run(&["jobs", "show", &id, "--json"], 0).await.output;
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["id"].as_str(), json["attempts"].as_u64()), (Some(&*id), Some(1)));
        let unknown = bench.run(&["jobs", "show", NO_JOB], 4).await;
        assert!(unknown.output.is_empty() && unknown.log.contains("there is no job"), "{}", unknown.log);
    }

    async fn the_end_of_jobs_is_waited_for_and_told_by_the_exit_code(store: Store) {
        let bench = Bench::start(store).await;
        let done = bench.ended("/done", 404).await;
        let failed = bench.failed("/dead/x").await;
        let (done, failed) = (done.id.to_string(), failed.id.to_string());
        assert_eq!(bench.run(&["jobs", "wait", &done], 0).await.output, format!("{done} completed 404"));
        let both = bench.run(&["jobs", "wait", &failed, &done], 3).await;
        assert!(both.output.starts_with(&format!("{failed} failed not_sent")), "{}", both.output);
        assert!(both.output.ends_with(&format!("{done} completed 404")), "{}", both.output);
        let unknown = bench.run(&["jobs", "wait", NO_JOB, &done], 4).await;
        assert!(unknown.log.contains(NO_JOB) && unknown.output.contains("completed"), "the others are waited for");

        let gate = Gate::new();
        bench.upstream.once(Answer::status(200).wait(&gate));
        let running = bench.proxq.submit(post("/slow")).await;
        let id = running.id.to_string();
        let over = bench.run(&["jobs", "wait", &id, "--timeout", "50ms"], 28).await;
        assert!(over.log.contains("not all jobs have ended"), "{}", over.log);
        let waits = bench.launch(&["jobs", "wait", &id]).to_exit();
        let opens = async {
            bench.proxq.running(&running).await;
            gate.open();
        };
        let (exit, ()) = futures_util::join!(waits, opens);
        assert_eq!((exit.code, exit.output), (Some(0), format!("{id} completed 200")));
    }
}

on_the_store! {
    Embedded:

    async fn what_clients_and_upstreams_say_cannot_control_a_terminal(store: Store) {
        let bench = Bench::start(store).await;
        let name = "\u{9b}31m\u{202e}\u{1b}]0;x\u{7}".to_owned();
        bench.upstream.always(Answer::raw("HTTP/1.1 \u{1b}[2J\r\n\r\n").close());
        let job = bench.proxq.submit(post("/x").header("X-Name", name.replace(['\u{1b}', '\u{7}'], "")).body(name)).await;
        bench.proxq.settled(&job).await;
        let id = job.id.to_string();
        for args in [
            &["jobs", "list"][..],
            &["jobs", "list", "--json"],
            &["jobs", "show", &id],
            &["jobs", "show", &id, "--json"],
            &["jobs", "list", "--queue", "\u{1b}[2J"],
            &["top"],
        ] {
            let exit = bench.launch(args).to_exit().await;
            assert_safe(&exit.output);
            assert_safe(&exit.log);
            assert!(!exit.output.contains('\u{202e}'), "{}", exit.output);
        }
        let shown = bench.run(&["jobs", "show", &id], 0).await.output;
        assert!(shown.contains("\\u{9b}31m\\u{202e}"), "the body is shown all the same: {shown}");
    }

    async fn mistakes_in_the_flags_are_told_as_such(store: Store) {
        let bench = Bench::start(store).await;
        let id = NO_JOB;
        for args in [
            &["jobs"][..],
            &["jobs", "show", "7"],
            &["jobs", "retry"],
            &["jobs", "retry", id, "--all"],
            &["jobs", "retry", id, "--state", "failed"],
            &["jobs", "cancel", id, "--yes"],
            &["jobs", "list", "--limit", "0"],
            &["top", "--interval", "1ms"],
            &["submit"],
            &["submit", "/x", "-H", "no colon"],
            &["submit", "/x", "--wait", "1s", "--no-wait"],
            &["submit", "x"],
            &["submit", "/a b"],
            &["submit", "/x", "-d", "@missing"],
        ] {
            let exit = bench.launch(args).to_exit().await;
            assert_eq!(exit.code, Some(2), "{args:?}: {}", exit.log);
        }
        let bad = bench.run(&["jobs", "list", "--state", "archived"], 1).await;
        assert!(bad.log.contains("state=\"archived\" is not valid"), "{}", bad.log);
        let help = Launch::new(bench.folder()).args(["submit", "--help"]).to_exit().await;
        assert!(help.output.contains("Examples:") && help.output.contains("Exit codes:"), "{}", help.output);
    }
}
