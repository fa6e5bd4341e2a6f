//! What a program can check about the project: that data moves one way through the stages, that what belongs to one
//! file stays there, and that the documents keep step with the code.

use std::fs;
use std::path::Path;

use harness::checkout;
use serde_json::Value;

/// The stages in the order in which data meets them. A stage imports only what stands after it.
const STAGES: [&str; 10] =
    ["server", "listen", "intake", "jobs_api", "route", "admit", "direct", "worker", "cache", "forward"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every source file of the server with its path below `src/` and its text before the unit tests; files of tests aside.
fn sources() -> Vec<(String, String)> {
    let src = checkout().join("proxq-server/src");
    let mut folders = vec![src.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout") {
            let path = entry.expect("an entry of it").path();
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&src).expect("it was found there").to_string_lossy().into_owned();
                let text = read(&path);
                let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
                found.push((name, product));
            }
        }
    }
    assert!(found.len() > 30, "the sources were found");
    found
}

fn stage_of(file: &str) -> Option<usize> {
    let first = file.split(['/', '.']).next()?;
    STAGES.iter().position(|stage| *stage == first)
}

#[test]
fn a_stage_imports_only_what_stands_to_its_right() {
    for (file, text) in sources() {
        let Some(own) = stage_of(&file) else { continue };
        for (line, stage) in text.lines().flat_map(|line| STAGES.iter().map(move |stage| (line, *stage))) {
            if line.contains(&format!("crate::{stage}::")) {
                let imported = STAGES.iter().position(|other| *other == stage).expect("it is one of them");
                assert!(imported >= own, "{file} imports a stage to its left: {line}");
            }
        }
    }
}

#[test]
fn only_the_server_and_the_store_name_a_backend() {
    for (file, text) in sources() {
        let may = file == "server.rs" || file == "main.rs" || file.starts_with("store");
        assert!(
            may || !["store::embedded", "store::redis"].iter().any(|backend| text.contains(backend)),
            "{file} names a backend"
        );
    }
}

#[test]
fn only_the_clock_reads_the_time_of_day() {
    for (file, text) in sources() {
        assert!(file == "clock.rs" || !text.contains("SystemTime"), "{file} reads the wall clock");
    }
}

#[test]
fn encodings_stay_where_they_belong() {
    for (file, text) in sources() {
        let knows_serde = file.starts_with("config/raw")
            || ["config/schema.rs", "reply.rs", "store/redis/envelope.rs"].contains(&file.as_str());
        assert!(knows_serde || !text.contains("serde"), "{file} knows how texts are encoded");
        let knows_prost = file.starts_with("store/record") || file.starts_with("store/redis");
        assert!(knows_prost || !text.contains("prost"), "{file} knows how a job is encoded");
    }
}

#[test]
fn what_decides_does_not_wait() {
    for (file, text) in sources() {
        let decides =
            ["route.rs", "admit.rs", "job/delivery.rs", "cache/key.rs", "cache/policy.rs"].contains(&file.as_str());
        if decides || file.starts_with("admit/") {
            assert!(!text.contains("async ") && !text.contains(".await"), "{file} waits for something");
        }
    }
}

#[test]
fn tasks_are_spawned_in_one_place() {
    for (file, text) in sources() {
        for spawning in ["tokio::spawn(", "spawn_blocking(", "TokioExecutor", "JoinSet", "TaskTracker"] {
            assert!(file == "tasks.rs" || !text.contains(spawning), "{file} spawns tasks by itself: {spawning}");
        }
    }
}

/// The example configuration as a value, with the choice of a store and the section of the one that it does not use, which
/// stand there as comments.
fn example() -> Value {
    let text = read(&checkout().join("config.yaml.example"));
    let is_of_section = |rest: &&str| ["redis:", "store:", "  "].iter().any(|start| rest.starts_with(start));
    let lines = text.lines().map(|line| line.strip_prefix('#').filter(is_of_section).unwrap_or(line));
    serde_saphyr::from_str(&lines.collect::<Vec<_>>().join("\n")).expect("the example is YAML")
}

/// The path of every key that has a value, and the value. Those of the one upstream bear no prefix, as in the tables.
fn keys(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let Some(section) = value.as_object() else { return found.push((path.to_owned(), value.clone())) };
    for (key, value) in section {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if path == "upstreams" {
            keys(&value[0], "", found);
        } else {
            keys(value, &path, found);
        }
    }
}

/// The rows of the tables of keys: key and default.
fn rows(page: &str) -> Vec<(String, String)> {
    let cells = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?.to_owned(), cells.next()?.to_owned()))
    };
    page.lines().filter_map(cells).collect()
}

#[test]
fn the_page_of_the_configuration_has_every_key_with_its_default() {
    let rows = rows(&read(&checkout().join("docs/configuration.md")));
    let mut expected = Vec::new();
    keys(&example(), "", &mut expected);
    assert!(expected.len() > 50, "the keys were found: {expected:?}");
    let name = |key: &str| rows.iter().filter(|row| row.0 == key).count();
    for (key, value) in &expected {
        assert_eq!(name(key), 1, "rows of {key} in docs/configuration.md");
        let default = &rows.iter().find(|row| row.0 == *key).expect("it was just counted").1;
        // Prose says what depends on another key.
        if let Some(code) = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
            && !code.contains('`')
        {
            let default: Value = serde_saphyr::from_str(code).unwrap_or_else(|error| panic!("{key}: {code}: {error}"));
            assert_eq!(default, *value, "default of {key} in docs/configuration.md and config.yaml.example");
        }
    }
    for (key, _) in &rows {
        assert!(expected.iter().any(|(known, _)| known == key), "docs/configuration.md has a key that is none: {key}");
    }
}

/// The version that a line of a `[dependencies]` table asks for, and of what.
fn dependency(line: &str) -> Option<(&str, &str)> {
    let (name, wanted) = line.split_once(" = ")?;
    let version = wanted.split_once("version = ").map_or(wanted, |(_, version)| version);
    Some((name, version.split('"').nth(1)?))
}

#[test]
fn the_readmes_of_crates_name_the_versions_that_are_used() {
    let manifest = read(&checkout().join("Cargo.toml"));
    let used: Vec<_> = manifest.lines().filter_map(dependency).collect();
    for (package, least) in [("proxq-client", 4), ("proxq-openai", 3)] {
        let readme = read(&checkout().join(package).join("README.md"));
        let block = readme.split("```toml\n[dependencies]\n").nth(1).and_then(|rest| rest.split("```").next());
        let named: Vec<_> = block.unwrap_or_default().lines().filter_map(dependency).collect();
        assert!(named.len() >= least, "{package}: {named:?}");
        for (name, version) in named {
            let is_used =
                |(other, used): &(&str, &str)| *other == name && format!("{used}.").starts_with(&format!("{version}."));
            assert!(used.iter().any(is_used), "{package}: {name} {version} is not what is used");
        }
    }
}
