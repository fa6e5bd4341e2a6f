//! Configurations: `proxq check` takes each, alone if it has upstreams, else as a part of the smallest that there is.

use std::fs;

use harness::Launch;

use super::blocks;

/// What a part of a configuration needs to be one.
const REST: &str = "upstreams: [{prefix: /, url: 'http://127.0.0.1:3000'}]\n";

#[test]
fn every_configuration_is_valid() {
    harness::run(async {
        for block in blocks("yaml") {
            let folder = tempfile::tempdir().unwrap();
            let whole = block.text.lines().any(|line| line == "upstreams:");
            let text = if whole { block.text.clone() } else { format!("{}{REST}", block.text) };
            fs::write(folder.path().join("config.yaml"), text).unwrap();
            let launch = Launch::new(folder.path()).env("REDIS_PASSWORD", "secret");
            let launch = launch.env("PROXQ_ADMIN_TOKEN", "0123456789abcdef");
            let checked = launch.args(["check"]).to_exit().await;
            assert_eq!(checked.code, Some(0), "{}:\n{}", block.place(), checked.log);
        }
    });
}
