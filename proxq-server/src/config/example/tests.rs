//! What `config.yaml.example` shows are the defaults.

use std::{env, fs};

use super::*;
use crate::config::{Config, Loaded, RedisConfig, StoreConfig, UpstreamUrl, load, raw, report};

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.yaml.example");

#[test]
fn the_example_that_is_checked_in_is_up_to_date() {
    if env::var_os("PROXQ_WRITE_SCHEMA").is_some() {
        fs::write(CHECKED_IN, example()).unwrap();
    }
    let checked_in = fs::read_to_string(CHECKED_IN).unwrap();
    assert!(checked_in == example(), "config.yaml.example is not what the code makes; `make schema` writes it");
}

fn loaded(text: &str) -> Loaded {
    load("config.yaml", text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn config(text: &str) -> Config {
    loaded(text).config
}

fn written_keys(node: &raw::Node, path: &str, keys: &mut Vec<String>) {
    match &node.value {
        raw::Value::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                written_keys(&entry.value, &path, keys);
                keys.push(path);
            }
        }
        raw::Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                written_keys(item, &format!("{path}[{index}]"), keys);
            }
        }
        raw::Value::Null | raw::Value::Scalar(_) => {}
    }
}

/// The section of the store that the example does not use, which stands there as a comment.
fn redis_section() -> String {
    let example = example();
    let after = example.lines().skip_while(|line| *line != "#redis:");
    let section = after.map_while(|line| line.strip_prefix('#'));
    section.collect::<Vec<_>>().join("\n")
}

/// The example with the keys that stand there as comments, and with files that are there.
fn uncommented() -> String {
    let text: String = example().lines().map(|line| uncommented_key(line) + "\n").collect();
    text.replace("/etc/proxq/encryption.key", KEY_FILE)
}

/// A file that is long enough for a key.
const KEY_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rustfmt.toml");

/// A line without the `#` of a key. One space after it, or nothing, is that of a text.
fn uncommented_key(line: &str) -> String {
    let is_text = |rest: &str| rest.is_empty() || rest.starts_with(' ') && !rest.starts_with("  ");
    match line.split_once('#') {
        Some((margin, rest)) if margin.trim().is_empty() && !is_text(rest) => format!("{margin}{rest}"),
        _ => line.to_owned(),
    }
}

fn declared_keys(entries: &[Entry], path: &str, keys: &mut Vec<String>) {
    for entry in entries {
        let path = if path.is_empty() { entry.key.name.to_owned() } else { format!("{path}.{}", entry.key.name) };
        match &entry.content {
            Content::Value(..) => {}
            Content::Section(inside) => declared_keys(inside, &path, keys),
            Content::Sections(items) => declared_keys(&items[0].1, &format!("{path}[0]"), keys),
        }
        keys.push(path);
    }
}

#[test]
fn every_key_is_in_the_example() {
    let (mut declared, mut written) = (Vec::new(), Vec::new());
    declared_keys(&defaults(), "", &mut declared);
    written_keys(&raw::parse(&uncommented()).unwrap(), "", &mut written);
    assert_eq!(written, declared);
}

#[test]
fn a_key_without_a_default_is_shown_with_a_value_as_a_comment() {
    let example = example();
    for lines in [
        "    #rateLimit: 100/s\n",
        "    #circuitBreaker:\n    #  # Attempts stop after this many failures in a row.\n    #  failures: 5\n",
        "    #  # The highest number. Without it, it is the upstream's concurrency, or else the global one.\n    #  max: 10\n",
        "    retryOn: []\n",
    ] {
        assert!(example.contains(lines), "{lines}");
    }
    config(&uncommented());
}

#[test]
fn the_example_shows_the_defaults() {
    let url = UpstreamUrl::new("http://127.0.0.1:3000").unwrap();
    assert_eq!(format!("{:#?}", config(&example())), format!("{:#?}", Config::for_upstream(url)));
}

#[test]
fn the_example_of_a_redis_section_shows_the_defaults() {
    let store = config(&format!("{}\nupstreams: [{{prefix: /, url: 'http://api'}}]", redis_section())).store;
    assert_eq!(store, StoreConfig::Redis(RedisConfig::default()));
    let uncommented = uncommented().replace("\nstore: embedded", "");
    assert_eq!(config(&uncommented).store, store, "the section is all that it takes");
}

#[test]
fn the_effective_configuration_has_every_key_of_the_example() {
    let loaded = loaded(&example());
    let (mut expected, mut effective) = (Vec::new(), Vec::new());
    let example_with_store = example().replace("\n#store: ", "\nstore: ");
    written_keys(&raw::parse(&example_with_store).unwrap(), "", &mut expected);
    written_keys(&raw::parse(&report(&loaded)).unwrap(), "", &mut effective);
    assert_eq!(effective, expected);
}
