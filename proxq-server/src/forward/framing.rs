//! The framing fields of a response's head. The connection has already found the end of the body; the head must not tell
//! the next reader otherwise.

use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::job::ends_with_head;
use crate::list_items::list_items;

/// A body with a transfer coding that proxq does not decode, so that nobody could read it.
#[derive(Debug, thiserror::Error)]
#[error("it has the transfer coding {coding:?}; only chunked is understood")]
pub(crate) struct UnknownCoding {
    coding: String,
}

/// Makes the framing fields of a response unambiguous.
///
/// A length beside a transfer coding is removed; a repeated length becomes one (RFC 9112 §6.3).
///
/// # Errors
/// If a body follows that has another coding than `chunked`.
pub(super) fn settle<B>(response: &mut Response<B>, method: &Method) -> Result<(), UnknownCoding> {
    let status = response.status();
    let headers = response.headers_mut();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
        return if has_body(method, status) { check_coding(headers) } else { Ok(()) };
    }
    let mut lengths = list_items(headers, &header::CONTENT_LENGTH);
    if let (Some(length), Some(_)) = (lengths.next(), lengths.next()) {
        let length = HeaderValue::from_bytes(length).expect("a part of a value, without a comma, is a value");
        drop(lengths);
        headers.insert(header::CONTENT_LENGTH, length); // the connection has refused differing lengths
    }
    Ok(())
}

fn has_body(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && !ends_with_head(status)
}

fn check_coding(headers: &HeaderMap) -> Result<(), UnknownCoding> {
    // `identity` meant none in RFC 2616, and is still sent.
    let codings =
        list_items(headers, &header::TRANSFER_ENCODING).filter(|item| !item.eq_ignore_ascii_case(b"identity"));
    let unknown = |coding: &&[u8]| !coding.eq_ignore_ascii_case(b"chunked");
    match codings.into_iter().find(unknown) {
        Some(coding) => Err(UnknownCoding { coding: String::from_utf8_lossy(coding).into_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(method: &str, status: u16, fields: &[(&str, &'static str)]) -> Result<Vec<String>, String> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut response = response.body(()).unwrap();
        settle(&mut response, &method.parse().unwrap()).map_err(|error| error.to_string())?;
        let lengths = response.headers().get_all(header::CONTENT_LENGTH);
        Ok(lengths.iter().map(|length| length.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn a_length_is_one_or_none() {
        assert_eq!(settled("GET", 200, &[("content-length", "3")]), Ok(vec!["3".to_owned()]));
        assert_eq!(settled("GET", 200, &[("content-length", "2, 2")]), Ok(vec!["2".to_owned()]));
        let twice = [("content-length", "2"), ("content-length", "2")];
        assert_eq!(settled("GET", 200, &twice), Ok(vec!["2".to_owned()]));
        assert_eq!(settled("GET", 200, &[]), Ok(vec![]));
        let both = [("content-length", "3"), ("transfer-encoding", "Chunked")];
        assert_eq!(settled("GET", 200, &both), Ok(vec![]));
    }

    #[test]
    fn a_coding_that_is_not_undone_is_refused_where_a_body_has_it() {
        for codings in ["gzip, chunked", "gzip", "chunked, x-own"] {
            let coding = codings.split(", ").find(|coding| *coding != "chunked").unwrap();
            let refused = Err(format!("it has the transfer coding {coding:?}; only chunked is understood"));
            assert_eq!(settled("GET", 200, &[("transfer-encoding", codings)]), refused);
            assert_eq!(settled("HEAD", 200, &[("transfer-encoding", codings)]), Ok(vec![]));
            assert_eq!(settled("GET", 304, &[("transfer-encoding", codings)]), Ok(vec![]));
        }
        assert_eq!(settled("GET", 200, &[("transfer-encoding", "identity")]), Ok(vec![]));
    }
}
