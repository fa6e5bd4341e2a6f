//! What a file means, and what is said about one that means nothing.

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn config(text: &str) -> Config {
    load("config.yaml", text, &no_env).unwrap_or_else(|errors| panic!("{errors}")).config
}

/// `path: message` of every mistake.
fn mistakes(text: &str) -> Vec<String> {
    let errors = load("config.yaml", text, &no_env).map(|loaded| loaded.config).expect_err(text);
    errors.mistakes().iter().map(|mistake| format!("{}: {}", mistake.path(), mistake.message())).collect()
}

const MINIMAL: &str = "upstreams: [{prefix: /, url: 'http://api:3000'}]";

#[test]
fn a_prefix_and_a_url_are_enough() {
    let url = crate::config::UpstreamUrl::new("http://api:3000").unwrap();
    assert_eq!(format!("{:?}", config(MINIMAL)), format!("{:?}", Config::for_upstream(url)));
}

#[test]
fn mistakes_come_together_and_in_order() {
    let text = "queue: a b\nmaxWait: 1d\nlistenAdress: ':80'\nupstreams:\n- prefix: /api\n- prefix: /api/v2\n  url: http://x\n";
    assert_eq!(
        mistakes(text),
        [
            "queue: \"a b\" is not a queue name: letters, digits and . _ : - make one",
            "maxWait: \"1d\" is not a duration: unknown unit \"d\"; the units are ns, us, ms, s, m, h",
            "listenAdress: unknown key; did you mean listenAddress?",
            "upstreams[0].url: is required",
            "upstreams[1].prefix: \"/api/v2\" lies inside upstreams[0].prefix \"/api\"",
        ]
    );
}
