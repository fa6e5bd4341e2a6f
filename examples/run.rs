//! Tests that run every example and check what it prints.

use std::process::Command;

/// Runs an example, which must succeed and print all of `steps`.
fn shows(program: &str, steps: &[&str]) {
    shows_with(&[], program, steps);
}

/// Does the same with arguments.
fn shows_with(arguments: &[&str], program: &str, steps: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the example can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for step in steps {
        assert!(text.contains(step), "{step:?} is missing in:\n{text}");
    }
}

#[test]
fn quickstart_shows_the_life_of_a_job() {
    let steps = ["202 Accepted", "Completed", "200 OK the report for 2026", r#"200 OK {"status":"cancelled"}"#];
    shows(env!("CARGO_BIN_EXE_quickstart"), &steps);
}

#[test]
fn embed_the_server_ends_what_runs_before_it_stops() {
    let steps =
        ["fetched: the report for 2026", "asked to stop\nwritten: 2027\nproxq has stopped", "the app has stopped"];
    shows(env!("CARGO_BIN_EXE_embed_the_server"), &steps);
}

#[test]
fn submit_and_poll_holds_a_job() {
    let steps = ["now:       Running", "now:       Completed", "response:  the report for 2026", "removed"];
    shows(env!("CARGO_BIN_EXE_submit_and_poll"), &steps);
}

#[test]
fn reqwest_middleware_makes_queued_calls_look_direct() {
    let steps = ["200 OK through the queue: the report for 2026", "404 Not Found through the queue: no report"];
    shows(env!("CARGO_BIN_EXE_reqwest_middleware"), &steps);
}

#[test]
fn progress_bar_counts_what_is_done() {
    shows(env!("CARGO_BIN_EXE_progress_bar"), &["12 frames rendered, the bar at 12"]);
}

#[test]
fn webhook_relay_delivers_when_the_receiver_is_back() {
    let steps = ["delivered at attempt 3", "received /hooks/paid", "tried 3 times"];
    shows(env!("CARGO_BIN_EXE_webhook_relay"), &steps);
}

#[test]
fn media_pipeline_streams_the_result() {
    shows(env!("CARGO_BIN_EXE_media_pipeline"), &["16777216 bytes up, 16777216 bytes down"]);
}

#[test]
fn openai_chat_gets_the_same_answer_both_ways() {
    let steps = ["as a job:    Hello from a script.", "as a stream: Hello from a script."];
    shows_with(&["--demo"], env!("CARGO_BIN_EXE_openai_chat"), &steps);
}

#[test]
fn openai_everything_is_answered() {
    let steps = ["file-1", "3 dimensions", "an image:      1", "16 bytes", "what it says:  Hello from a script."];
    shows_with(&["--demo"], env!("CARGO_BIN_EXE_openai_everything"), &steps);
}
