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

/// The example configuration as a value, with the keys that stand there as comments.
fn example() -> Value {
    let text = read(&checkout().join("config.yaml.example"));
    // One space after the `#`, or nothing, is that of a text.
    let is_text = |rest: &str| rest.is_empty() || rest.starts_with(' ') && !rest.starts_with("  ");
    let lines = text.lines().map(|line| match line.split_once('#') {
        Some((margin, rest)) if margin.trim().is_empty() && !is_text(rest) => format!("{margin}{rest}"),
        _ => line.to_owned(),
    });
    serde_saphyr::from_str(&lines.collect::<Vec<_>>().join("\n")).expect("the example is YAML")
}

/// What the keys of an upstream begin with.
const OF_UPSTREAM: &str = "upstreams[].";

/// The path of every key that has a value, and the value.
fn keys(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let Some(section) = value.as_object().filter(|section| !section.is_empty()) else {
        return found.push((path.to_owned(), value.clone()));
    };
    for (key, value) in section {
        let path =
            if path.is_empty() || path == OF_UPSTREAM { format!("{path}{key}") } else { format!("{path}.{key}") };
        if path == "upstreams" {
            keys(&value[0], OF_UPSTREAM, found);
        } else if value.get(0).is_some_and(Value::is_object) {
            keys(&value[0], &format!("{path}[]"), found);
        } else {
            keys(value, &path, found);
        }
    }
}

/// The rows of the tables of keys: key and default.
fn rows(page: &str) -> Vec<(String, String)> {
    let (mut rows, mut whose) = (Vec::new(), "");
    for line in page.lines() {
        if line.starts_with("| key") {
            whose = if line.contains("`upstreams[]`") { OF_UPSTREAM } else { "" };
        }
        let Some(cells) = line.strip_prefix("| `") else { continue };
        let mut cells = cells.split(" | ");
        if let (Some(key), Some(default)) = (cells.next().and_then(|key| key.strip_suffix('`')), cells.next()) {
            rows.push((format!("{whose}{key}"), default.to_owned()));
        }
    }
    rows
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
