//! What a file means, and what is said about one that means nothing.

mod encryption;
mod flow;
mod meaning;
mod mistakes;
mod tls;
mod tokens;

use super::*;
use crate::config::Upstream;

/// The environment of these tests.
fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("api".to_owned()),
        "WORKERS" => Some("7".to_owned()),
        "OFF" => Some("false".to_owned()),
        _ => None,
    }
}

fn config(text: &str) -> Config {
    load("config.yaml", text, &env).unwrap_or_else(|errors| panic!("{errors}")).config
}

/// `path: message` of every mistake.
fn mistakes(text: &str) -> Vec<String> {
    let errors = load("config.yaml", text, &env).map(|loaded| loaded.config).expect_err(text);
    errors.mistakes().iter().map(|mistake| format!("{}: {}", mistake.path(), mistake.message())).collect()
}

/// The text has exactly this mistake.
fn refused(text: &str, mistake: &str) {
    assert_eq!(mistakes(text), [mistake], "{text}");
}

fn only_upstream(text: &str) -> Upstream {
    let upstreams = config(text).upstreams;
    <[Upstream; 1]>::try_from(upstreams).expect("one upstream")[0].clone()
}

fn same(text: &str, expected: &Config) {
    assert_eq!(format!("{:#?}", config(text)), format!("{expected:#?}"));
}

const UPSTREAM: &str = "upstreams: [{prefix: /, url: 'http://api:3000'}]\n";

/// Keys at the top of a file that is otherwise in order.
fn top(keys: &str) -> String {
    format!("{keys}\n{UPSTREAM}")
}

/// Keys of the only upstream of a file that is otherwise in order.
fn upstream(keys: &str) -> String {
    format!("upstreams:\n- prefix: /\n  url: http://api:3000\n  {}\n", keys.replace('\n', "\n  "))
}

/// Upstreams under these prefixes.
fn prefixes(prefixes: &[&str]) -> String {
    let upstream = |prefix: &&str| format!("- {{prefix: '{prefix}', url: 'http://api:3000'}}");
    format!("upstreams:\n{}\n", prefixes.iter().map(upstream).collect::<Vec<_>>().join("\n"))
}
