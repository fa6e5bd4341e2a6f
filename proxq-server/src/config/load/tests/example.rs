//! What `config.yaml.example` shows are the defaults. That it has every key is tested with the schema.

use super::*;
use crate::config::example::EXAMPLE;

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
fn the_example_shows_the_defaults() {
    let url = UpstreamUrl::new("http://127.0.0.1:3000").unwrap();
    assert_eq!(format!("{:#?}", config(EXAMPLE)), format!("{:#?}", Config::for_upstream(url)));
}

#[test]
fn the_example_of_a_redis_section_shows_the_defaults() {
    let store = config(&top(&redis_section())).store;
    assert_eq!(store, crate::config::StoreConfig::Redis(crate::config::RedisConfig::default()));
    let uncommented = EXAMPLE.replace("\n#redis:", "\nredis:").replace("\n#  ", "\n  ");
    assert_eq!(config(&uncommented).store, store, "the section is all that it takes");
}

#[test]
fn the_effective_configuration_has_every_key_of_the_example() {
    let loaded = load("config.yaml", EXAMPLE, &env).unwrap();
    let (mut example, mut effective) = (Vec::new(), Vec::new());
    let example_with_store = EXAMPLE.replace("\n#store: ", "\nstore: ");
    written_keys(&raw::parse(&example_with_store).unwrap(), "", &mut example);
    written_keys(&raw::parse(&crate::config::report(&loaded)).unwrap(), "", &mut effective);
    assert_eq!(effective, example);
}
