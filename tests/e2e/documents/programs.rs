//! Programs in Python and JavaScript: each runs as it is shown, behind a proxq that redirects it until the response is
//! there, and prints what the upstream answers.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Answer, Block, Config, Gate, Proxq, Route, Upstream, checkout, eventually};
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use super::{SHOWN_PROXQ, blocks};

/// What every upstream says, whatever its JSON looks like.
const SAID: &str = "2026 was a good year";
/// Packages that are too large for a test. Programs with them are only compiled.
const NOT_INSTALLED: [&str; 2] = ["litellm", "langchain_openai"];
/// More than there are programs, so that the calls of all of them are under way at the same time.
const CONCURRENCY: usize = 32;

/// Short, so that the test is, but 20 redirects of it last until the slowest program has begun.
const FOLLOW_WAIT: &str = "3s";

/// The answer of the API that has this path.
fn answer(path: &str) -> Value {
    match path {
        "/v1/responses" => json!({
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": SAID, "annotations": []}]}],
        }),
        "/v1/messages" => json!({
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": SAID}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }),
        "/reports" => json!({"report": SAID}),
        other => panic!("no program of the pages calls {other}"),
    }
}

fn python() -> PathBuf {
    checkout().join("tests/.venv/bin/python")
}

fn needs_what_is_not_installed(block: &Block) -> bool {
    block.text.lines().any(|line| {
        let package = line.strip_prefix("import ").or(line.strip_prefix("from "));
        package.is_some_and(|line| NOT_INSTALLED.iter().any(|name| line.split(' ').next() == Some(name)))
    })
}

/// The programs that can run, each with its interpreter.
fn programs() -> Vec<(PathBuf, Block)> {
    let python_blocks = blocks("python").into_iter().filter(|block| !needs_what_is_not_installed(block));
    let python_programs = python_blocks.map(|block| (python(), block));
    python_programs.chain(blocks("js").into_iter().map(|block| (PathBuf::from("node"), block))).collect()
}

/// Runs a program with a proxq at this address. Gives what it prints, and what it complains about.
fn run(interpreter: &Path, block: &Block, proxq: SocketAddr) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder for the program");
    symlink(checkout().join("tests/clients/node/node_modules"), folder.path().join("node_modules"))
        .expect("the folder is empty");
    let program = folder.path().join("program.mjs"); // the ending matters to Node.js only
    assert!(block.text.contains(SHOWN_PROXQ), "{}: it leads to no proxq", block.place());
    fs::write(&program, block.text.replace(SHOWN_PROXQ, &proxq.to_string())).expect("the folder can be written to");
    let output = Command::new(interpreter)
        .arg(&program)
        .envs([("OPENAI_API_KEY", "sk-1"), ("ANTHROPIC_API_KEY", "sk-2")])
        .output()
        .unwrap_or_else(|e| panic!("{} does not start ({e}): run `make dep` first", interpreter.display()));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_program_prints_the_response() {
    harness::run(async {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.plan({
            let gate = gate.clone();
            move |head| {
                let json = answer(head.word(1)).to_string();
                Answer::status(200).header("Content-Type", "application/json").body(json).wait(&gate)
            }
        });
        let route = Route::new("/", &upstream.url()).set("mode", "follow").set("followWait", FOLLOW_WAIT);
        let proxq = Proxq::start(Config::new().set("concurrency", CONCURRENCY).route(route)).await;
        let (programs, mut outcomes) = (programs(), JoinSet::new());
        let count = programs.len();
        assert!(count < CONCURRENCY, "{count} programs");
        for (interpreter, block) in programs {
            let address = proxq.address();
            outcomes.spawn(async move {
                let place = block.place();
                let ran = spawn_blocking(move || run(&interpreter, &block, address)).await;
                (place, ran.expect("the program was started"))
            });
        }
        let all_at_a_hop = async {
            upstream.arrivals(count).await;
            eventually("each program is at a hop", async || {
                let log = proxq.log().text();
                upstream.received().iter().all(|call| {
                    let id = call.job_id().expect("each call is a job");
                    log.contains(&format!("/__jobs/{id}/content"))
                })
            })
            .await;
        };
        tokio::select! {
            () = all_at_a_hop => {}
            Some(early) = outcomes.join_next() => panic!("before there was a response: {early:?}"),
        }
        gate.open();
        while let Some(outcome) = outcomes.join_next().await {
            let (place, (printed, complaints)) = outcome.expect("it does not panic");
            assert_eq!(printed.trim_end(), SAID, "{place}:\n{complaints}");
        }
        assert_eq!(upstream.received().len(), count, "each call once");
    });
}

#[test]
fn programs_that_do_not_run_are_compiled() {
    let only_compiled: Vec<_> = blocks("python").into_iter().filter(needs_what_is_not_installed).collect();
    assert!(!only_compiled.is_empty(), "there are such programs");
    for block in only_compiled {
        let compile = "import ast, sys; ast.parse(sys.argv[1])";
        let output = Command::new(python()).args(["-c", compile, &block.text]).output().expect("run `make dep` first");
        assert!(output.status.success(), "{}: {}", block.place(), String::from_utf8_lossy(&output.stderr));
    }
}
