use http::HeaderValue;

use super::*;

const TTL: Duration = Duration::from_mins(5);

fn map(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

fn cache_control(lines: &[&'static str]) -> HeaderMap {
    map(&lines.iter().map(|line| (CACHE_CONTROL, *line)).collect::<Vec<_>>())
}

fn kept(status: u16, headers: HeaderMap) -> Option<Freshness> {
    let head = ResponseHead { status: StatusCode::from_u16(status).unwrap(), reason: None, headers };
    freshness(&head, |name| name != "x-noise", TTL)
}

/// For how many seconds a `200` with these fields is kept; none for not at all.
fn seconds_kept(fields: &[(HeaderName, &'static str)]) -> u64 {
    kept(200, map(fields)).map_or(0, |freshness| freshness.lifetime.as_secs())
}

#[test]
fn a_request_may_ask_for_the_upstreams_own_word_or_for_less_than_all() {
    for lines in [&["no-store"][..], &["max-age=0, No-Cache"], &["max-age=0", "no-cache"], &["no-cache = \"x\" ,"]] {
        assert!(!may_be_answered(&cache_control(lines)), "{lines:?}");
    }
    for lines in [&[][..], &[""], &["max-age=0"], &["no-storey, x=no-store"], &["private"]] {
        assert!(may_be_answered(&cache_control(lines)), "{lines:?}");
    }
    for name in ["range", "if-range", "if-none-match", "if-match", "if-modified-since", "if-unmodified-since"] {
        assert!(!may_be_answered(&map(&[(HeaderName::from_static(name), "x")])), "{name}");
    }
    assert!(may_be_answered(&map(&[(HeaderName::from_static("x-range"), "x")])));
}

#[test]
fn only_whole_successes_that_are_nobodys_own_are_kept() {
    let usual = Some(Freshness { age: Duration::ZERO, lifetime: TTL });
    assert_eq!((kept(200, HeaderMap::new()), kept(204, HeaderMap::new())), (usual, usual));
    assert_eq!(kept(200, cache_control(&["public"])), usual);
    for status in [206, 302, 304, 404, 502] {
        assert_eq!(kept(status, HeaderMap::new()), None, "{status}");
    }
    for lines in [
        &["no-store"][..],
        &["max-age=60", "Private"],
        &["private=\"x-name, y\""],
        &["no-cache"],
        &["max-age=60, no-cache=\"x\""],
    ] {
        assert_eq!(kept(200, cache_control(lines)), None, "{lines:?}");
    }
    assert_eq!(kept(200, map(&[(SET_COOKIE, "a=b")])), None);
}

#[test]
fn what_depends_on_more_than_its_key_is_not_kept() {
    for vary in ["Accept, Origin", "X-Noisey", ""] {
        assert!(kept(200, map(&[(VARY, vary)])).is_some(), "{vary}");
    }
    for vary in ["*", "Accept, *", "X-Noise", "accept,x-noise", "a b"] {
        assert!(kept(200, map(&[(VARY, vary)])).is_none(), "{vary}");
    }
    assert!(kept(200, map(&[(VARY, "accept"), (VARY, "X-Noise")])).is_none());
}

#[test]
fn a_response_is_kept_no_longer_than_it_stays_fresh() {
    for (control, expected) in [
        ("max-age=60", 60),
        ("max-age=\"60\"", 60),
        ("MAX-AGE = 60 , must-revalidate", 60),
        ("max-age=0", 0),
        ("max-age=0, must-revalidate", 0),
        ("must-revalidate", TTL.as_secs()),
        ("max-age=86400", TTL.as_secs()),
        ("max-age=99999999999999999999", TTL.as_secs()),
        ("max-age=60, s-maxage=20", 20),
        ("s-maxage=0, max-age=60", 0),
        ("s-maxage=60, max-age=0", 60),
        ("max-age=60, max-age=30", 30),
        ("max-age", 0),
        ("max-age=-1", 0),
        ("max-age=soon", 0),
        ("stale-while-revalidate=60", TTL.as_secs()),
    ] {
        assert_eq!(seconds_kept(&[(CACHE_CONTROL, control)]), expected, "{control}");
    }
    let date = (DATE, "Thu, 01 Jan 2026 00:00:00 GMT");
    for (expires, expected) in [
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", TTL.as_secs()),
        ("0", 0),
        ("-1", 0),
    ] {
        assert_eq!(seconds_kept(&[date.clone(), (EXPIRES, expires)]), expected, "{expires}");
        assert_eq!(seconds_kept(&[date.clone(), (EXPIRES, expires), (CACHE_CONTROL, "max-age=7")]), 7, "{expires}");
    }
    assert_eq!(seconds_kept(&[(EXPIRES, "Fri, 01 Jan 2027 00:00:00 GMT")]), 0, "since when is not known");
}

#[test]
fn the_age_with_which_a_response_comes_counts() {
    let with_age = |age, control| kept(200, map(&[(AGE, age), (CACHE_CONTROL, control)]));
    let [age, lifetime] = [Duration::from_secs(20), Duration::from_secs(40)];
    assert_eq!(with_age("20", "max-age=60"), Some(Freshness { age, lifetime }));
    assert_eq!(with_age("60", "max-age=60, must-revalidate"), None);
    assert_eq!(with_age("20", "public"), Some(Freshness { age, lifetime: TTL }));
    assert_eq!(with_age("old", "public"), Some(Freshness { age: Duration::ZERO, lifetime: TTL }));
}

#[test]
fn limits_are_told_with_one_answer() {
    let told = |name| is_for_one_answer(&HeaderName::from_static(name));
    for name in [
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-remaining",
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-tokens-reset",
    ] {
        assert!(told(name), "{name}");
    }
    for name in ["x-request-id", "x-ratelimited", "retry-after", "ratelimits"] {
        assert!(!told(name), "{name}");
    }
}
