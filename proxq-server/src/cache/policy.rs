//! What the cache may answer, and what it may keep. Pure.

use http::header::{CACHE_CONTROL, HeaderMap, SET_COOKIE, VARY};

use crate::forward::headers::list_items;
use crate::job::ResponseHead;

/// Whether a request may be answered from the cache, and its response be kept there: not if it asks for the upstream's own
/// word (RFC 9111 §5.2.1).
pub(super) fn may_be_answered(request: &HeaderMap) -> bool {
    !says(request, &["no-store", "no-cache"])
}

/// Whether a complete response may be given to others: one of success that is nobody's own (RFC 9111 §5.2.2), and that
/// depends on nothing but the request: with `Vary: *` it is an answer to no other (§4.1).
pub(super) fn may_be_kept(head: &ResponseHead) -> bool {
    let ResponseHead { status, headers, .. } = head;
    let depends_on_more = list_items(headers, &VARY).any(|item| item == b"*");
    let is_anyones = !headers.contains_key(SET_COOKIE) && !says(headers, &["no-store", "private"]);
    status.is_success() && is_anyones && !depends_on_more
}

/// Whether `Cache-Control` has one of these directives, whatever its argument: `private="x-name"` is private.
fn says(headers: &HeaderMap, directives: &[&str]) -> bool {
    let name = |item: &[u8]| item.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii().to_owned();
    list_items(headers, &CACHE_CONTROL)
        .map(name)
        .any(|said| directives.iter().any(|directive| said.eq_ignore_ascii_case(directive.as_bytes())))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};

    use super::*;

    fn cache_control(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (CACHE_CONTROL, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn a_request_may_ask_for_the_upstreams_own_word() {
        for lines in [&["no-store"][..], &["max-age=0, No-Cache"], &["max-age=0", "no-cache"], &["no-cache = \"x\" ,"]]
        {
            assert!(!may_be_answered(&cache_control(lines)), "{lines:?}");
        }
        for lines in [&[][..], &[""], &["max-age=0"], &["no-storey, x=no-store"], &["private"]] {
            assert!(may_be_answered(&cache_control(lines)), "{lines:?}");
        }
    }

    #[test]
    fn only_successes_that_are_nobodys_own_are_kept() {
        let kept = |status, headers| may_be_kept(&ResponseHead { status, reason: None, headers });
        assert!(kept(StatusCode::OK, HeaderMap::new()) && kept(StatusCode::NO_CONTENT, HeaderMap::new()));
        assert!(kept(StatusCode::OK, cache_control(&["public, max-age=60"])));
        for status in [StatusCode::FOUND, StatusCode::NOT_MODIFIED, StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY] {
            assert!(!kept(status, HeaderMap::new()), "{status}");
        }
        for lines in [&["no-store"][..], &["max-age=60", "Private"], &["private=\"x-name, y\""]] {
            assert!(!kept(StatusCode::OK, cache_control(lines)), "{lines:?}");
        }
        assert!(!kept(StatusCode::OK, HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("a=b"))])));
    }

    #[test]
    fn what_depends_on_more_than_the_request_is_not_kept() {
        let kept = |vary| {
            let headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static(vary))]);
            may_be_kept(&ResponseHead { status: StatusCode::OK, reason: None, headers })
        };
        assert!(kept("Accept, Origin") && kept("x*"));
        assert!(!kept("*") && !kept("Accept, *"));
    }
}
