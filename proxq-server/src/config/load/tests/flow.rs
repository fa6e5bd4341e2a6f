//! Flow control of an upstream: what it means, and what is said about mistakes.

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::config::FlowControl;
use crate::pacing::{AdaptiveRange, BreakerPolicy, ConcurrencyScope, Fairness, PerCredential};

fn flow(keys: &str) -> FlowControl {
    only_upstream(&upstream(keys)).flow
}

fn some(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count)
}

/// A breaker that the share of failures opens only if all attempts failed.
fn all_failed() -> BreakerPolicy {
    BreakerPolicy { ratio: 1.0, ..BreakerPolicy::default() }
}

/// Upstreams with these keys, under `/0`, `/1`, ….
fn upstreams(keys: &[&str]) -> String {
    let upstream = |(index, keys): (usize, &&str)| format!("- {{prefix: /{index}, url: 'http://api', {keys}}}\n");
    format!("upstreams:\n{}", keys.iter().enumerate().map(upstream).collect::<String>())
}

#[test]
fn every_key_of_flow_control_is_taken() {
    let redis = format!(
        "redis: {{}}\n{}",
        upstream(
            "queue: own\nconcurrency: 4\nconcurrencyScope: shared\nrateLimit: 60/m\nburst: 5\nmaxQueued: 100\n\
             retryOn: [503, 429]\ncircuitBreaker: {failures: 3, ratio: 0.25, minimum: 9, window: 1m, open: 5s}\n\
             adaptive: {min: 2, max: 3}\nfairness: credential\nperCredential: {concurrency: 1, rateLimit: 5/10s}"
        )
    );
    let breaker = BreakerPolicy {
        failures: some(3).unwrap(),
        ratio: 0.25,
        minimum: some(9).unwrap(),
        window: Duration::from_mins(1),
        open: Duration::from_secs(5),
    };
    let expected = FlowControl {
        queue: crate::job::QueueName::new("own"),
        concurrency: some(4),
        concurrency_scope: ConcurrencyScope::Shared,
        rate_limit: "60/m".parse().ok(),
        burst: some(5),
        max_queued: some(100),
        retry_on: vec![http::StatusCode::SERVICE_UNAVAILABLE, http::StatusCode::TOO_MANY_REQUESTS],
        circuit_breaker: Some(breaker),
        adaptive: Some(AdaptiveRange { min: some(2).unwrap(), max: some(3) }),
        fairness: Fairness::Credential,
        per_credential: PerCredential { concurrency: some(1), rate: "5/10s".parse().ok() },
    };
    assert_eq!(only_upstream(&redis).flow, expected);
}

#[test]
fn an_empty_section_turns_on_what_is_off_without_it() {
    assert_eq!((flow("timeout: 1s").circuit_breaker, flow("timeout: 1s").adaptive), (None, None));
    assert_eq!(flow("circuitBreaker: {}").circuit_breaker, Some(BreakerPolicy::default()));
    assert_eq!(flow("circuitBreaker: {window: 0, open: 0s}").circuit_breaker, Some(BreakerPolicy::default()));
    assert_eq!(flow("adaptive: {}").adaptive, Some(AdaptiveRange::default()));
    assert!(!flow("perCredential: {}").is_some());
}

#[test]
fn numbers_of_flow_control_may_come_from_the_environment() {
    let load = |ratio: &str| {
        let env = |name: &str| (name == "RATIO").then(|| ratio.to_owned());
        let text = upstream("circuitBreaker: {ratio: '${RATIO}'}\nretryOn: ['${STATUS:-503}']");
        load("config.yaml", &text, &env).map(|loaded| loaded.config.upstreams[0].flow.clone())
    };
    let read = load("0.75").unwrap();
    assert_eq!(read.circuit_breaker, Some(BreakerPolicy { ratio: 0.75, ..BreakerPolicy::default() }));
    assert_eq!(read.retry_on, [http::StatusCode::SERVICE_UNAVAILABLE]);
    assert_eq!(load("1").unwrap().circuit_breaker, Some(all_failed()));
    let refused = load("inf").unwrap_err().to_string();
    assert!(
        refused.contains("circuitBreaker.ratio: expected a number such as 0.5, found the text \"inf\""),
        "{refused}"
    );
}

#[test]
fn repeated_statuses_count_once_in_the_order_of_the_text() {
    let statuses = flow("retryOn: [503, 429, 503, 500]").retry_on;
    assert_eq!(statuses.iter().map(http::StatusCode::as_u16).collect::<Vec<_>>(), [503, 429, 500]);
}

#[test]
fn a_burst_means_nothing_beside_an_empty_rate() {
    assert_eq!(flow("rateLimit: ${RATE:-}\nburst: 5"), FlowControl::default());
}

#[test]
fn an_upstream_with_flow_control_has_a_queue_of_its_own() {
    let text = upstreams(&["timeout: 1s", "maxQueued: 5", "queue: own", "fairness: none, retryOn: []"]);
    let config = config(&format!("queue: main\n{text}"));
    let queues: Vec<_> = config.upstreams.iter().map(|upstream| config.queue_of(upstream).to_string()).collect();
    assert_eq!(queues, ["main", "main:1", "own", "main"]);
}

#[test]
fn counts_that_are_too_low_are_refused() {
    for key in ["concurrency", "maxQueued"] {
        refused(&upstream(&format!("{key}: 0")), &format!("upstreams[0].{key}: 0 must be at least 1"));
    }
    refused(&upstream("rateLimit: 1/s\nburst: 0"), "upstreams[0].burst: 0 must be at least 1");
    refused(&upstream("burst: -1"), "upstreams[0].burst: -1 must not be negative");
    for key in [
        "circuitBreaker: {failures",
        "circuitBreaker: {minimum",
        "adaptive: {min",
        "adaptive: {max",
        "perCredential: {concurrency",
    ] {
        let path = key.replace(": {", ".");
        refused(&upstream(&format!("{key}: 0}}")), &format!("upstreams[0].{path}: 0 must be at least 1"));
    }
    refused(&upstream("maxQueued: ''"), "upstreams[0].maxQueued: expected a whole number, found the text \"\"");
}

#[test]
fn bad_rates_are_refused() {
    let count = "is not a whole number from 1 to 4294967295";
    for (rate, problem) in [
        ("0/s", format!("is not a rate: \"0\" {count}")),
        ("-5/s", format!("is not a rate: \"-5\" {count}")),
        (
            "5/fortnight",
            "is not a rate: the unit \"fortnight\" is none of s, m, h, d, and no duration such as 10s".to_owned(),
        ),
        ("5", "is not a rate: write a number, a slash and a unit, such as 100/s, 60/m, 5000/h or 5/10s".to_owned()),
        ("5000000/s", "is not a rate that can be kept: at most 1000000/s".to_owned()),
    ] {
        refused(&upstream(&format!("rateLimit: {rate}")), &format!("upstreams[0].rateLimit: \"{rate}\" {problem}"));
        let each = upstream(&format!("perCredential: {{rateLimit: {rate}}}"));
        refused(&each, &format!("upstreams[0].perCredential.rateLimit: \"{rate}\" {problem}"));
    }
    refused(&upstream("rateLimit: [5/s]"), "upstreams[0].rateLimit: expected a text, found a list");
    refused(&upstream("burst: 5"), "upstreams[0].burst: needs rateLimit beside it");
    assert_eq!(mistakes(&upstream("rateLimit: 5\nburst: 5")).len(), 1, "the rate is there, although it is wrong");
}

#[test]
fn statuses_that_are_no_failures_are_refused_each_in_its_place() {
    let bounds = "must be at least 400 and at most 599";
    assert_eq!(
        mistakes(&upstream("retryOn: [200, 503, 399, 600, -1, 99999, 5xx, 500.5]")),
        [
            format!("upstreams[0].retryOn[0]: 200 {bounds}"),
            format!("upstreams[0].retryOn[2]: 399 {bounds}"),
            format!("upstreams[0].retryOn[3]: 600 {bounds}"),
            format!("upstreams[0].retryOn[4]: -1 {bounds}"),
            format!("upstreams[0].retryOn[5]: 99999 {bounds}"),
            "upstreams[0].retryOn[6]: expected a whole number, found the text \"5xx\"".to_owned(),
            "upstreams[0].retryOn[7]: expected a whole number, found the number 500.5".to_owned(),
        ]
    );
    refused(&upstream("retryOn: 503"), "upstreams[0].retryOn: expected a list, found the number 503");
}

#[test]
fn a_share_is_above_nothing_and_at_most_all() {
    for ratio in ["0", "-0.5", "1.01", "2", "0x2"] {
        let expected = format!("upstreams[0].circuitBreaker.ratio: {ratio} must be above 0 and at most 1");
        refused(&upstream(&format!("circuitBreaker: {{ratio: {ratio}}}")), &expected);
    }
    for (ratio, found) in [("50%", "the text \"50%\""), ("true", "true"), ("'0.5'", "the text \"0.5\"")] {
        let expected = format!("upstreams[0].circuitBreaker.ratio: expected a number such as 0.5, found {found}");
        refused(&upstream(&format!("circuitBreaker: {{ratio: {ratio}}}")), &expected);
    }
    for ratio in ["1", "1.0", "0x1"] {
        assert_eq!(flow(&format!("circuitBreaker: {{ratio: {ratio}}}")).circuit_breaker, Some(all_failed()));
    }
}

#[test]
fn bad_sections_and_words_of_flow_control_are_refused() {
    refused(
        &upstream("circuitBreaker: true"),
        "upstreams[0].circuitBreaker: expected a mapping (key: value), found true",
    );
    refused(
        &upstream("circuitBreaker: {windw: 1s}"),
        "upstreams[0].circuitBreaker.windw: unknown key; did you mean window?",
    );
    refused(&upstream("circuitBreaker: {open: -1s}"), "upstreams[0].circuitBreaker.open: \"-1s\" must not be negative");
    refused(&upstream("adaptiv: {}"), "upstreams[0].adaptiv: unknown key; did you mean adaptive?");
    refused(&upstream("fairness: all"), "upstreams[0].fairness: \"all\" is none of none, credential");
    refused(&upstream("concurrencyScope: all"), "upstreams[0].concurrencyScope: \"all\" is none of instance, shared");
}

#[test]
fn a_shared_limit_needs_redis_and_a_limit() {
    let key = "upstreams[0].concurrencyScope: \"shared\" needs";
    let no_redis = format!("{key} the jobs in Redis (store: redis); write instance, or add a redis section");
    let no_limit = format!("{key} concurrency beside it");
    refused(&upstream("concurrency: 3\nconcurrencyScope: shared"), &no_redis);
    let embedded = format!("store: embedded\nredis: {{}}\n{}", upstream("concurrency: 3\nconcurrencyScope: shared"));
    refused(&embedded, &no_redis);
    refused(&format!("redis: {{}}\n{}", upstream("concurrencyScope: shared")), &no_limit);
    assert_eq!(mistakes(&upstream("concurrencyScope: shared\nconcurrency:")), [no_redis, no_limit]);
}

#[test]
fn the_bounds_of_adaptive_fit_each_other_and_concurrency() {
    let min = "upstreams[0].adaptive.min";
    let max = "upstreams[0].adaptive.max";
    refused(&upstream("adaptive: {min: 5, max: 4}"), &format!("{max}: 4 must be at least min, which is 5"));
    let with_concurrency = |range: &str| upstream(&format!("concurrency: 3\nadaptive: {{{range}}}"));
    refused(&with_concurrency("max: 4"), &format!("{max}: 4 must be at most concurrency, which is 3"));
    refused(&with_concurrency("min: 4"), &format!("{min}: 4 must be at most concurrency, which is 3"));
    assert_eq!(mistakes(&with_concurrency("min: 4, max: 0")), [format!("{max}: 0 must be at least 1")]);
    assert_eq!(config(&with_concurrency("min: 3, max: 3")).upstreams.len(), 1);
}

#[test]
fn a_queue_is_that_of_one_upstream_only() {
    let own = "each queue needs a name of its own";
    refused(
        &upstream("queue: a b"),
        "upstreams[0].queue: \"a b\" is not a queue name: letters, digits and . _ : - make one",
    );
    refused(
        &upstream("queue: default"),
        &format!("upstreams[0].queue: \"default\" is the same as the global queue; {own}"),
    );
    refused(
        &format!("queue: main\n{}", upstream("queue: main")),
        &format!("upstreams[0].queue: \"main\" is the same as the global queue; {own}"),
    );
    refused(
        &upstreams(&["queue: a", "timeout: 1s", "queue: a"]),
        &format!("upstreams[2].queue: \"a\" is the same as upstreams[0].queue; {own}"),
    );
    for (keys, at, other) in
        [(["queue: 'default:1'", "concurrency: 3"], 0, 1), (["maxQueued: 3", "queue: 'default:0'"], 1, 0)]
    {
        let problem = format!("the queue that is named after upstreams[{other}].prefix \"/{other}\"");
        refused(
            &upstreams(&keys),
            &format!("upstreams[{at}].queue: \"default:{other}\" is the same as {problem}; {own}"),
        );
    }
    let without_flow = config(&upstreams(&["queue: 'default:1'", "timeout: 1s"]));
    assert_eq!(without_flow.queue_of(&without_flow.upstreams[1]).as_str(), "default");
}
