//! Commands: each names a target, a program, a flag or a command that is there. Those that make up a procedure are carried
//! out in `backup.rs` and `migration.rs`; what changes the machine (`sudo`, `docker`) is only read by the shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Redis, checkout};
use serde_json::Value;

use super::{blocks, shell};

/// The targets of the Makefile.
fn targets() -> Vec<String> {
    let makefile = fs::read_to_string(checkout().join("Makefile")).unwrap();
    let name = |line: &str| line.split_once(": ").or(line.split_once(':')).map(|(name, _)| name.to_owned());
    makefile.lines().filter(|line| line.starts_with(char::is_lowercase)).filter_map(name).collect()
}

/// The programs that `cargo run` knows.
fn programs() -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(metadata).current_dir(checkout()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    programs.map(|target| target["name"].as_str().unwrap().to_owned()).collect()
}

/// What stands after an option.
fn value<'a>(words: &[&'a str], option: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1)).copied()
}

/// `proxq` knows these arguments: it shows its help only if those before are right.
async fn proxq_knows(arguments: &str, folder: &Path) {
    let (code, output) = shell(folder, format!("proxq {arguments} --help")).await;
    assert_eq!(code, 0, "proxq {arguments}: {output}");
}

/// Looks whether a command's words are known where they lead.
async fn try_command(line: &str, place: &str, redis: &Redis, folder: &Path) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["make", target] => assert!(targets().iter().any(|known| known == target), "{place}: no target {target}"),
        ["cargo", "run", ..] => {
            let program = value(&words, "--bin").unwrap_or_else(|| panic!("{place}: no program is named"));
            assert!(programs().iter().any(|known| known == program), "{place}: no program {program}");
            let arguments = line.split_once(" -- ").map(|(_, arguments)| arguments);
            if let (Some(arguments), "proxq") = (arguments, program) {
                proxq_knows(arguments, folder).await;
            }
        }
        ["proxq", ..] => {
            let arguments = line.split(['|', '>']).next().and_then(|command| command.strip_prefix("proxq"));
            proxq_knows(arguments.unwrap_or_default(), folder).await;
        }
        ["redis-cli", ..] => {
            let on_ours = line.replacen("redis-cli", &format!("redis-cli -s {}", redis.socket().display()), 1);
            let (code, output) = shell(folder, on_ours).await;
            assert!(code == 0 && !output.contains("ERR"), "{place}: {line}: {output}");
        }
        [first, ..] if ["cp", "docker", "kill", "sudo"].contains(&first) || first.contains('=') => {
            let (code, output) = shell(folder, format!("sh -n <<'END'\n{line}\nEND")).await;
            assert_eq!(code, 0, "{place}: {line}: {output}");
        }
        _ => panic!("{place}: nobody tries {line:?}"),
    }
}

#[test]
fn every_command_is_there() {
    harness::run(async {
        let redis = Redis::start();
        let folder = tempfile::tempdir().unwrap();
        for block in blocks("sh") {
            for line in block.text.replace("\\\n", " ").lines() {
                try_command(line, &block.place(), &redis, folder.path()).await;
            }
        }
    });
}
