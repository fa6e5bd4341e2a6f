//! What a program can check about the project: the order of its modules (`tidy/rooms.rs`), and that the documents keep step
//! with the code.

#[path = "tidy/rooms.rs"]
mod rooms;

use std::fs;
use std::path::Path;

use harness::checkout;
use serde_json::Value;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
