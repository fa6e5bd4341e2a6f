use std::{env, fs};

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::prelude::*;

use super::*;
use crate::config::{example, load};

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.schema.json");

/// The schema, compiled.
struct Compiled {
    schemas: Schemas,
    root: SchemaIndex,
}

impl Compiled {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let document = serde_json::from_str(&schema()).expect("it is JSON");
        compiler.add_resource("proxq.json", document).expect("it is a resource");
        let root = compiler.compile("proxq.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, root }
    }

    /// What is wrong with a text, if anything is.
    fn verdict(&self, text: &str) -> Result<(), String> {
        let node = raw::parse(text).map_err(|(_, message)| message)?;
        self.schemas.validate(&json_of(&node), self.root).map_err(|error| format!("{error:#}"))
    }
}

fn is_loaded(text: &str) -> bool {
    load("config.yaml", text, &|_| Some("7".to_owned())).is_ok()
}

#[test]
fn the_schema_that_is_checked_in_is_up_to_date() {
    if env::var_os("PROXQ_WRITE_SCHEMA").is_some() {
        fs::write(CHECKED_IN, schema()).unwrap();
    }
    let checked_in = fs::read_to_string(CHECKED_IN).unwrap();
    assert!(checked_in == schema(), "config.schema.json is not what the code makes; `make schema` writes it");
}

#[test]
fn the_example_is_accepted() {
    assert_eq!(Compiled::new().verdict(&example()), Ok(()));
}

#[test]
fn mistakes_in_form_are_refused() {
    let compiled = Compiled::new();
    let upstreams = "upstreams: [{prefix: /, url: 'http://api'}]";
    for mistake in [
        "concurency: 3",
        "concurrency: many",
        "concurrency: -1",
        "concurrency: 1.5",
        "concurrency: [1]",
        "taskRetention: 90",
        "taskRetention: 1 hour",
        "taskRetention: -1h",
        "inlineBodyLimit: 1 KiB",
        "inlineBodyLimit: -1",
        "inlineBodyLimit: 1.5MiB",
        "store: disk",
        "embedded: {fsync: perhaps}",
        "embedded: true",
        "secretHeaders: X-Secret",
        "limits: {maxConnections: 0}",
        "auth: {token: x}",
        "auth: {owner: nobody}",
        "auth: {tokens: {}}",
        "auth: {tokens: [{name: a, token: 0123456789abcdef, admin: maybe}]}",
        "auth: {tokens: [{token: 0123456789abcdef}]}",
        "callbacks: {}",
    ] {
        let text = format!("{mistake}\n{upstreams}");
        assert!(!is_loaded(&text), "{mistake}");
        assert!(compiled.verdict(&text).is_err(), "{mistake}");
    }
    for mistake in [
        "concurrency: 0",
        "burst: 0",
        "retryOn: [200]",
        "retryOn: [x]",
        "retryOn: 503",
        "circuitBreaker: 5",
        "circuitBreaker: {ratio: 0}",
        "circuitBreaker: {ratio: 1.5}",
        "circuitBreaker: {ratio: half}",
        "adaptive: {min: 0}",
        "fairness: all",
        "perCredential: {queue: x}",
    ] {
        let text = format!("upstreams: [{{prefix: /, url: 'http://api', {mistake}}}]");
        assert!(!is_loaded(&text), "{mistake}");
        assert!(compiled.verdict(&text).is_err(), "{mistake}");
    }
    for text in
        ["{}", "upstreams: []", "upstreams: [{prefix: /}]", "upstreams: [{prefix: /, url: ''}]", "upstreams: {}"]
    {
        assert!(compiled.verdict(text).is_err(), "{text}");
    }
    assert_eq!(compiled.verdict(upstreams), Ok(()));
    for anything in ["x-a: {b: [1]}", "x-a: ~", "x-: !!str y"] {
        let text = format!("{anything}\n{upstreams}");
        assert!(is_loaded(&text), "{text}");
        assert_eq!(compiled.verdict(&text), Ok(()), "{text}");
    }
}

/// Values of every form, and some of none.
const VALUES: [&str; 60] = [
    "write",
    "[/path]",
    "fedcba9876543210",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "",
    "~",
    "''",
    "0",
    "'0'",
    "-0",
    "-0s",
    "-0.0m",
    "7",
    "'7'",
    "-7",
    "0x10",
    "1.5",
    "0.5",
    "+1.0",
    "1e-3",
    "true",
    "'true'",
    "yes",
    "1h30m",
    "1.5h",
    "+2s",
    ".5ms",
    "-1s",
    "-1h0s",
    "2µs",
    "0s",
    "90",
    "10MiB",
    "'+1kB'",
    "-1GB",
    "'-0'",
    "'-0KiB'",
    "99999999999",
    "a word",
    "/path",
    "http://api",
    "redis://api",
    "${NAME}",
    "'${NAME}s'",
    "[]",
    "[a]",
    "[1, true]",
    "[503, 429]",
    "['${NAME}']",
    "5/10s",
    "[[]]",
    "{}",
    "{a: 1}",
    "proxy",
    "redirect",
    "memory",
    "whitelist",
    "store",
    "embedded",
    "auto",
];

/// Every key that can be read, with the path of its section.
fn keys() -> Vec<(String, &'static str)> {
    let mut keys = Vec::new();
    add_keys("", &defaults(), &mut keys);
    keys
}

fn add_keys(section: &str, entries: &[Entry], keys: &mut Vec<(String, &'static str)>) {
    for Entry { key, content, .. } in entries {
        keys.push((section.to_owned(), key.name));
        let path = if section.is_empty() { key.name.to_owned() } else { format!("{section}.{}", key.name) };
        match content {
            Content::Value(..) => {}
            Content::Section(inside) => add_keys(&path, inside, keys),
            Content::Sections(items) => add_keys(&format!("{path}[]"), &items[0].1, keys),
        }
    }
}

/// A text that is in order, but for the value of one key perhaps.
fn text(section: &str, key: &str, value: &str) -> String {
    let nested = |sections: &str| {
        let names = sections.rsplit('.').filter(|name| !name.is_empty());
        names.fold(format!("{key}: {value}"), |inner, name| format!("{name}: {{{inner}}}"))
    };
    if let Some(below) = section.strip_prefix("auth.tokens[]") {
        let required = ["name: a", "token: 0123456789abcdef"].map(str::to_owned).into_iter();
        let is_same = |other: &String| {
            other.starts_with(&format!("{key}:")) || other.starts_with("token:") && key.starts_with("token")
        };
        let mut keys: Vec<_> = required.filter(|other| !is_same(other)).collect();
        keys.push(nested(below));
        let keys = keys.join(", ");
        return format!("auth: {{tokens: [{{{keys}}}]}}\nupstreams: [{{prefix: /path, url: 'http://api'}}]");
    }
    match section.strip_prefix("upstreams[]") {
        Some(below) => {
            let required = ["prefix: /", "url: 'http://api'"].map(str::to_owned).into_iter();
            let mut keys: Vec<_> = required.filter(|other| !other.starts_with(&format!("{key}:"))).collect();
            keys.push(nested(below));
            format!("upstreams: [{{{}}}]", keys.join(", "))
        }
        None if key == "upstreams" => format!("upstreams: {value}"),
        None => format!("{}\nupstreams: [{{prefix: /, url: 'http://api'}}]", nested(section)),
    }
}

#[test]
fn what_is_loaded_is_accepted() {
    let compiled = Compiled::new();
    let keys = keys();
    let texts = keys.iter().flat_map(|(section, key)| VALUES.map(|value| text(section, key, value)));
    let loaded: Vec<_> = texts.filter(|text| is_loaded(text)).collect();
    for text in &loaded {
        assert_eq!(compiled.verdict(text), Ok(()), "{text}");
    }
    assert!(loaded.len() > 5 * keys.len(), "of {} keys, {} texts could be loaded", keys.len(), loaded.len());
}

#[test]
fn durations_and_sizes_that_are_loaded_are_accepted() {
    let compiled = Compiled::new();
    let value = "[-+]?[0-9]{0,3}(\\.[0-9]?)?(s|m|h|ms|us|KiB|MB)?";
    let key = proptest::sample::select(vec!["taskRetention", "inlineBodyLimit"]);
    proptest!(|(key in key, value in value)| {
        let text = text("", key, &value);
        prop_assert!(!is_loaded(&text) || compiled.verdict(&text).is_ok(), "{}", text);
    });
}
