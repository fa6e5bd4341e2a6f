//! `config.yaml.example` is complete, and says the truth.

use super::*;

const EXAMPLE: &str = include_str!("../../../../../config.yaml.example");

/// Sections, and a text with nothing but an unknown key in each.
const SECTIONS: [(&str, &str); 9] = [
    ("", "xyzzy: 1"),
    ("embedded", "embedded: {xyzzy: 1}"),
    ("redis", "redis: {xyzzy: 1}"),
    ("redis.tls", "redis: {tls: {xyzzy: 1}}"),
    ("cache", "cache: {xyzzy: 1}"),
    ("limits", "limits: {xyzzy: 1}"),
    ("upstreams[0]", "upstreams: [{xyzzy: 1}]"),
    ("upstreams[0].pathFilter", "upstreams: [{pathFilter: {xyzzy: 1}}]"),
    ("upstreams[0].tls", "upstreams: [{tls: {xyzzy: 1}}]"),
];

/// The path of every supported key, as the message for an unknown key lists them.
fn supported_keys() -> Vec<String> {
    let keys_of = |(section, text): (&str, &str)| {
        let message =
            mistakes(text).into_iter().find_map(|message| Some(message.split_once("known here: ")?.1.to_owned()));
        let message = message.expect("an unknown key that is like no other");
        let path = |key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        message.split(", ").map(path).collect::<Vec<_>>()
    };
    SECTIONS.into_iter().flat_map(keys_of).collect()
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
    let after = EXAMPLE.lines().skip_while(|line| *line != "#redis:");
    let section = after.map_while(|line| line.strip_prefix('#'));
    section.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_has_every_supported_key() {
    let mut written = Vec::new();
    for text in [EXAMPLE, &redis_section()] {
        written_keys(&raw::parse(text).unwrap(), "", &mut written);
    }
    let mut missing = supported_keys();
    missing.retain(|key| !written.contains(key));
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_example_shows_the_defaults() {
    let url = UpstreamUrl::new("http://127.0.0.1:3000").unwrap();
    assert_eq!(format!("{:#?}", config(EXAMPLE)), format!("{:#?}", Config::for_upstream(url)));
}

#[test]
fn the_example_of_a_redis_section_shows_the_defaults() {
    let store = config(&top(&redis_section())).store;
    assert_eq!(store, crate::config::StoreConfig::Redis(crate::config::RedisConfig::default()));
}

#[test]
fn the_effective_configuration_has_every_key_of_the_example() {
    let loaded = load("config.yaml", EXAMPLE, &env).unwrap();
    let (mut example, mut effective) = (Vec::new(), Vec::new());
    written_keys(&raw::parse(EXAMPLE).unwrap(), "", &mut example);
    written_keys(&raw::parse(&crate::config::report(&loaded)).unwrap(), "", &mut effective);
    assert_eq!(effective, example);
}
