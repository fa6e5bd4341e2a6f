//! Request heads of HTTP/2 as the rest of proxq knows them, like those of HTTP/1.1, and answers as HTTP/2 wants them.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Response, Version};
use http_body::Body as _;

use crate::reply::body::Body;

/// Gives the head of an HTTP/2 request what it would have in HTTP/1.1: one `Cookie` in place of several (RFC 9113
/// §8.2.3). Leaves others as they are; `host.rs` sees to `Host`.
pub(super) fn normalize(head: &mut Parts) {
    if head.version != Version::HTTP_2 {
        return;
    }
    join_cookies(&mut head.headers);
    // Equal ones may have been repeated; differing ones were refused by the HTTP library (RFC 9110 §8.6).
    if let Some(length) = head.headers.get(CONTENT_LENGTH).cloned() {
        head.headers.insert(CONTENT_LENGTH, length);
    }
}

/// Gives an answer the shape of HTTP/2: without `Connection`, as its connections end by frames of their own (RFC 9113
/// §8.2.2), and to a `HEAD` without a body (RFC 9110 §9.3.2), which the HTTP library sees to in HTTP/1.1 only. The length
/// of what a `GET` would have brought stays, where it is known.
pub(super) fn shape(answer: &mut Response<Body>, asks_for_head: bool) {
    answer.headers_mut().remove(CONNECTION);
    if asks_for_head {
        let body = std::mem::take(answer.body_mut());
        // An empty one may be there because of the `HEAD`, and tells nothing.
        if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
            answer.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
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
    fn cookies_become_one_field() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")];
        let joined = normalized(Version::HTTP_2, "http://h/", &crumbs);
        assert_eq!(joined.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3; d=4"]);
        let old = normalized(Version::HTTP_11, "/", &crumbs);
        assert_eq!(old.get_all(COOKIE).iter().count(), 3);
    }

    #[test]
    fn an_answer_to_a_head_is_its_head_and_the_length_of_what_a_get_would_bring() {
        let shaped = |length: Option<u64>, body: &'static str, asks_for_head| {
            let mut answer = Response::new(crate::reply::body::full(body));
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer.headers_mut().extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
            shape(&mut answer, asks_for_head);
            assert!(!answer.headers().contains_key(CONNECTION));
            let length = answer.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
            (answer.body().is_end_stream(), length)
        };
        assert_eq!(shaped(None, "hello", true), (true, Some("5".to_owned())));
        assert_eq!(shaped(Some(7), "", true), (true, Some("7".to_owned())), "an upstream's own");
        assert_eq!(shaped(None, "", true), (true, None));
        assert_eq!(shaped(None, "hello", false), (false, None));
    }
}
