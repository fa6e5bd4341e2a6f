//! What the cache may answer, what it may keep and for how long (RFC 9111, as a shared cache). Pure.

use std::time::Duration;

use http::StatusCode;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName, RANGE, SET_COOKIE, VARY};

use crate::job::ResponseHead;
use crate::list_items::list_items;

/// Whether a request may be answered from the cache, and its response be kept. Not if it asks for the upstream's own
/// answer (RFC 9111 §5.2.1), and not if it asks for a part of a response or has a condition: that answer depends on what
/// the client already has.
pub(super) fn may_be_answered(request: &HeaderMap) -> bool {
    let is_condition = |name: &HeaderName| name.as_str().starts_with("if-");
    !says(request, &["no-store", "no-cache"]) && !request.contains_key(RANGE) && !request.keys().any(is_condition)
}

/// How old a response is on arrival, and how long it may be served from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    pub(super) age: Duration,
    pub(super) lifetime: Duration,
}

/// For how long a complete response may be kept, at most `ttl`. `None` if it must not be kept.
///
/// It must be successful, complete, not private, and usable without revalidation (RFC 9111 §5.2.2). Every request header
/// that it varies on must be in the key: `holds` tells (§4.1). The upstream says how long it stays fresh (§4.2.1);
/// otherwise `ttl` applies.
pub(super) fn freshness(head: &ResponseHead, holds: impl Fn(&HeaderName) -> bool, ttl: Duration) -> Option<Freshness> {
    let ResponseHead { status, headers, .. } = head;
    let is_whole = status.is_success() && *status != StatusCode::PARTIAL_CONTENT;
    let is_anyones = !headers.contains_key(SET_COOKIE) && !says(headers, &["no-store", "private", "no-cache"]);
    let depends_on = |item| HeaderName::from_bytes(item).is_ok_and(|name| item != b"*" && holds(&name));
    if !is_whole || !is_anyones || !list_items(headers, &VARY).all(depends_on) {
        return None;
    }
    let age = headers.get(AGE).and_then(|age| seconds(age.as_bytes())).unwrap_or_default();
    let lifetime = said_lifetime(headers).map_or(ttl, |said| said.saturating_sub(age).min(ttl));
    (!lifetime.is_zero()).then_some(Freshness { age, lifetime })
}

/// How long a response stays fresh from its creation, if it says so. An unreadable lifetime counts as stale.
fn said_lifetime(headers: &HeaderMap) -> Option<Duration> {
    let shortest = |name| {
        directives(headers)
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, argument)| seconds(argument).unwrap_or_default())
            .min()
    };
    shortest(b"s-maxage").or_else(|| shortest(b"max-age")).or_else(|| {
        let date = |name| headers.get(name).map(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let (expires, made) = (date(EXPIRES)?, date(DATE).flatten());
        Some(expires.zip(made).and_then(|(expires, made)| expires.duration_since(made).ok()).unwrap_or_default())
    })
}

/// Whether a header describes this one answer: rate limits are out of date later, and limiters in SDKs act on them.
pub(super) fn is_for_one_answer(name: &HeaderName) -> bool {
    ["ratelimit-", "x-ratelimit-", "anthropic-ratelimit-"].iter().any(|start| name.as_str().starts_with(start))
        || name == "ratelimit"
}

/// A number of seconds (RFC 9111 §1.2.2), also in quotes; a number too large to represent becomes the largest one.
fn seconds(text: &[u8]) -> Option<Duration> {
    let digits = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u32::MAX);
    Some(Duration::from_secs(number.into()))
}

/// Whether `Cache-Control` has one of these directives, whatever its argument: `private="x-name"` is private.
fn says(headers: &HeaderMap, names: &[&str]) -> bool {
    directives(headers).any(|(said, _)| names.iter().any(|name| said.eq_ignore_ascii_case(name.as_bytes())))
}

/// The directives of `Cache-Control`, each with its argument, which may be empty.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    list_items(headers, &CACHE_CONTROL).map(|item| {
        let (name, argument) = item.split_at(item.iter().position(|byte| *byte == b'=').unwrap_or(item.len()));
        (name.trim_ascii(), argument.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests;
