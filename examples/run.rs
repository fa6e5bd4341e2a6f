//! Every example does what it says.

use std::process::Command;

#[test]
fn quickstart_shows_the_life_of_a_job() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().expect("the example can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for step in ["202 Accepted", "Completed", "200 OK the report for 2026", r#"200 OK {"status":"cancelled"}"#] {
        assert!(text.contains(step), "{step:?} is missing in:\n{text}");
    }
}
