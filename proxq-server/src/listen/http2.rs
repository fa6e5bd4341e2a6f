//! Request heads of HTTP/2 as the rest of proxq knows them: like those of HTTP/1.1.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Version};

/// Gives the head of an HTTP/2 request what it would have in HTTP/1.1: `Host` from `:authority` (RFC 9113 §8.3.1) and
/// one `Cookie` in place of several (§8.2.3). Leaves others as they are.
pub(super) fn normalize(head: &mut Parts) {
    if head.version != Version::HTTP_2 {
        return;
    }
    if let Some(authority) = head.uri.authority() {
        let without_user = authority.as_str().rsplit('@').next().unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(without_user) {
            head.headers.insert(HOST, host);
        }
    }
    join_cookies(&mut head.headers);
    // Equal ones may have been repeated; differing ones were refused by the HTTP library (RFC 9110 §8.6).
    if let Some(length) = head.headers.get(CONTENT_LENGTH).cloned() {
        head.headers.insert(CONTENT_LENGTH, length);
    }
}

/// HTTP/2 may send each cookie in a field of its own, for the sake of compression; HTTP/1.1 must not.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1 {
        let joined = crumbs.join(&b"; "[..]);
        let joined = HeaderValue::from_bytes(&joined).expect("values joined by visible characters make a value");
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(version: Version, uri: &str, fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut request = http::Request::builder().version(version).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        normalize(&mut head);
        head.headers
    }

    #[test]
    fn host_comes_from_the_authority() {
        let headers = normalized(Version::HTTP_2, "http://user@example.com:8080/x", &[("host", "other")]);
        assert_eq!(headers[HOST], "example.com:8080");
        assert_eq!(normalized(Version::HTTP_2, "/x", &[("host", "named")])[HOST], "named");
        let old = normalized(Version::HTTP_11, "http://ignored/x", &[("host", "named")]);
        assert_eq!(old[HOST], "named", "an absolute target's authority is ignored in HTTP/1.1");
    }

    #[test]
    fn cookies_become_one_field() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")];
        let joined = normalized(Version::HTTP_2, "http://h/", &crumbs);
        assert_eq!(joined.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
        let old = normalized(Version::HTTP_11, "/", &crumbs);
        assert_eq!(old.get_all(COOKIE).iter().count(), 3);
    }
}
