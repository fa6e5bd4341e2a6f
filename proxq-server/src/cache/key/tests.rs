use http::{HeaderValue, Method};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::config::HeaderPattern;

type Fields = Vec<(&'static str, &'static str)>;

/// A request as a client makes it. Few values, so that two of them are often the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    method: &'static str,
    target: &'static str,
    fields: Fields,
    body: u8,
}

/// Values that look like parts of one another, and of their lengths.
const VALUES: [&str; 5] = ["", "a", "b", "a, b", "ab"];

fn field(names: &'static [&'static str]) -> impl Strategy<Value = (&'static str, &'static str)> {
    (prop::sample::select(names), prop::sample::select(&VALUES[..]))
}

fn asked() -> impl Strategy<Value = Asked> {
    let method = prop::sample::select(&["GET", "POST", "G"][..]);
    let target = prop::sample::select(&["http://a/", "http://a/?", "http://a/x", "http://ab/", "https://a/"][..]);
    let fields = vec(field(&["accept", "x-a", "x-ab", "authorization", "host", "x-forwarded-host"]), 0..4);
    (method, target, fields, 0..2_u8).prop_map(|(method, target, fields, body)| Asked { method, target, fields, body })
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn request(asked: &Asked) -> JobRequest {
    JobRequest {
        method: Method::from_bytes(asked.method.as_bytes()).unwrap(),
        target: asked.target.parse().unwrap(),
        headers: map(&asked.fields),
        ..JobRequest::sample()
    }
}

fn excluding(names: &[&'static str]) -> KeyExclusions {
    KeyExclusions::of(names.iter().map(|name| HeaderPattern::new(name).unwrap()).collect())
}

fn key_of(asked: &Asked, exclusions: &KeyExclusions) -> Key {
    key(&request(asked), &[asked.body; 32], exclusions)
}

/// The same request with its fields in the order of their names; values of a name stay in theirs.
fn sorted(asked: &Asked) -> Asked {
    let mut fields = asked.fields.clone();
    fields.sort_by_key(|(name, _)| *name);
    // What is sent without a `Host` goes out with the upstream's own, where we have to say it.
    let authority = match asked.target {
        "http://ab/" => Some("ab"),
        target if target.starts_with("http:") => Some("a"),
        _ => None,
    };
    if let (Some(host), false) = (authority, fields.iter().any(|(name, _)| *name == "host")) {
        fields.push(("host", host));
        fields.sort_by_key(|(name, _)| *name);
    }
    Asked { fields, ..asked.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keys_are_the_same_exactly_where_requests_are(one in asked(), other in asked()) {
        let usual = KeyExclusions::default();
        let same_keys = key_of(&one, &usual) == key_of(&other, &usual);
        prop_assert_eq!(same_keys, sorted(&one) == sorted(&other));
    }

    #[test]
    fn a_single_difference_always_matters(
        asked in asked(), at in any::<prop::sample::Index>(), kind in 0..5, added in field(&["accept", "x-a", "x-c"]),
    ) {
        let mut other = asked.clone();
        let index = at.index(asked.fields.len().max(1));
        match kind {
            0 => other.body ^= 1,
            1 => other.method = "PUT",
            2 => other.target = "http://a/y",
            3 if index < asked.fields.len() => { other.fields.remove(index); }
            _ => other.fields.insert(at.index(asked.fields.len() + 1), added),
        }
        let usual = KeyExclusions::default();
        prop_assume!(sorted(&asked) != sorted(&other));
        prop_assert_ne!(key_of(&asked, &usual), key_of(&other, &usual));
    }

    #[test]
    fn excluded_headers_never_matter(
        asked in asked(),
        noise in vec(
            (field(&["x-noise", "traceparent", "tracestate", "idempotency-key", "x-forwarded-prefix"]), any::<prop::sample::Index>()), 0..4,
        ),
    ) {
        let exclusions = excluding(&["x-noise"]);
        let mut noisy = asked.clone();
        for (field, at) in noise {
            noisy.fields.insert(at.index(noisy.fields.len() + 1), field);
        }
        prop_assert_eq!(key_of(&asked, &exclusions), key_of(&noisy, &exclusions));
    }
}

fn with_headers(headers: &[(&'static str, &'static str)], added: &[(&'static str, &'static str)]) -> JobRequest {
    JobRequest { headers: map(headers), added_headers: map(added), ..JobRequest::sample() }
}

#[track_caller]
fn same(one: &JobRequest, other: &JobRequest, exclusions: &KeyExclusions, expected: bool) {
    assert_eq!(key(one, &[0; 32], exclusions) == key(other, &[0; 32], exclusions), expected, "{one:?}\n{other:?}");
}

#[test]
fn the_order_of_names_does_not_matter_and_that_of_values_does() {
    let usual = KeyExclusions::default();
    let one = with_headers(&[("x-a", "1"), ("x-b", "2"), ("x-a", "3")], &[]);
    same(&one, &with_headers(&[("x-b", "2"), ("x-a", "1"), ("x-a", "3")], &[]), &usual, true);
    same(&one, &with_headers(&[("x-a", "3"), ("x-b", "2"), ("x-a", "1")], &[]), &usual, false);
    same(&one, &with_headers(&[("x-a", "1, 3"), ("x-b", "2")], &[]), &usual, false);
}

#[test]
fn what_proxq_generates_never_counts_and_what_the_client_told_does() {
    let every_name_counts = excluding(&["x-none"]);
    let via = ("via", "1.1 edge");
    let from = |peer: &'static str, id: &'static str| {
        let added = [
            ("x-forwarded-for", peer),
            ("x-real-ip", peer),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "front"),
            via,
            ("x-request-id", id),
        ];
        with_headers(&[], &added)
    };
    let one = from("192.0.2.1", "made");
    same(&one, &from("192.0.2.2", "another"), &every_name_counts, true);
    let mut other_host = one.clone();
    other_host.added_headers.insert("x-forwarded-host", HeaderValue::from_static("back"));
    same(&one, &other_host, &every_name_counts, false);
    let mut told_way = one.clone();
    told_way.added_headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.7, 192.0.2.1"));
    same(&one, &told_way, &every_name_counts, false);
    same(&one, &told_way, &KeyExclusions::default(), true);
    same(&with_headers(&[("x-request-id", "1")], &[via]), &with_headers(&[], &[via]), &every_name_counts, false);
    same(&with_headers(&[("x-request-id", "1")], &[]), &with_headers(&[], &[]), &KeyExclusions::default(), true);
}

#[test]
fn what_sdks_say_of_themselves_never_counts() {
    let usual = excluding(&["user-agent", "x-client-request-id"]);
    let plain = with_headers(&[("accept", "application/json"), ("authorization", "Bearer k")], &[]);
    for own in [
        &[("x-stainless-lang", "python"), ("x-stainless-async", "false"), ("x-stainless-retry-count", "1")][..],
        &[("x-stainless-timeout", "600"), ("user-agent", "OpenAI/JS 7.5"), ("x-stainless-runtime-version", "v24")],
        &[("x-stainless-read-timeout", "600"), ("baggage", "a=b"), ("x-client-request-id", "1")],
        &[("user-agent", "async-openai")],
    ] {
        let all: Vec<_> =
            own.iter().copied().chain([("accept", "application/json"), ("authorization", "Bearer k")]).collect();
        same(&plain, &with_headers(&all, &[]), &usual, true);
    }
    same(&plain, &with_headers(&[("accept", "application/json"), ("authorization", "Bearer j")], &[]), &usual, false);
}

#[test]
fn a_prefix_excludes_every_header_that_begins_so() {
    let traced = with_headers(&[("x-datadog-trace-id", "1"), ("x-datadog", "1")], &[]);
    same(&traced, &with_headers(&[("x-datadog", "1")], &[]), &excluding(&["X-Datadog-*"]), true);
    same(&traced, &with_headers(&[], &[]), &excluding(&["x-datadog-*"]), false);
    same(&traced, &with_headers(&[("x-datadog", "1")], &[]), &excluding(&["x-datadog-"]), false);
}

#[test]
fn the_boundary_of_a_multipart_body_does_not_count() {
    let usual = KeyExclusions::default();
    let one = with_headers(&[("content-type", "multipart/form-data; boundary=a"), ("content-length", "5")], &[]);
    let other = with_headers(&[("content-type", "multipart/form-data; boundary=bb"), ("content-length", "7")], &[]);
    same(&one, &other, &usual, true);
    same(&one, &with_headers(&[("content-type", "multipart/mixed; boundary=a")], &[]), &usual, false);
}

#[test]
fn a_key_holds_what_counts_and_is_not_told_by_proxq() {
    let exclusions = excluding(&["x-noise", "x-b3-*"]);
    for name in ["accept-encoding", "authorization", "host", "x-forwarded-host", "forwarded", "x-user"] {
        assert!(holds(&HeaderName::from_static(name), &exclusions), "{name}");
    }
    for name in [
        "x-noise",
        "x-b3-traceid",
        "traceparent",
        "x-stainless-lang",
        "x-request-id",
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "x-real-ip",
        "x-proxq-job-id",
    ] {
        assert!(!holds(&HeaderName::from_static(name), &exclusions), "{name}");
    }
}

#[test]
fn what_was_kept_under_other_exclusions_is_not_found() {
    let request = with_headers(&[], &[]);
    let [one, other] =
        [excluding(&["authorization"]), excluding(&["x-a"])].map(|names| key(&request, &[0; 32], &names));
    assert_ne!(one, other);
}

#[test]
fn a_key_is_shown_in_lower_case_hex() {
    let key = key(&JobRequest::sample(), &[0; 32], &KeyExclusions::default());
    let shown = key.to_string();
    assert!(shown.len() == 64 && shown.bytes().all(|digit| b"0123456789abcdef".contains(&digit)), "{shown}");
}
