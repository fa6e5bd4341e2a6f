//! What a peek promises, whatever the body's type, by example; `properties.rs` compares with slower ways to the answer.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};

use super::*;

mod properties;

const ALL: u64 = u64::MAX;

fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn peek(content_type: &'static str, limit: u64) -> BodyPeek {
    BodyPeek::new(&headers(&[(CONTENT_TYPE, content_type)]), limit).unwrap()
}

/// What a body asks for that arrives in pieces of these sizes, over and over.
fn in_pieces(mut peek: BodyPeek, mut body: &[u8], sizes: &[usize]) -> Wanted {
    for size in sizes.iter().cycle() {
        let (piece, rest) = body.split_at(body.len().min(*size));
        peek.feed(piece);
        body = rest;
        if body.is_empty() {
            break;
        }
    }
    peek.finish()
}

fn json(body: impl AsRef<[u8]>) -> Wanted {
    in_pieces(peek("application/json", ALL), body.as_ref(), &[usize::MAX])
}

#[test]
fn only_plain_json_and_forms_are_looked_into() {
    for content_type in
        ["application/json", "Application/JSON ; charset=utf-8", "application/vnd.api+JSON", "a/b+json;x"]
    {
        assert!(BodyPeek::new(&headers(&[(CONTENT_TYPE, content_type)]), 1).is_some(), "{content_type}");
    }
    for content_type in ["text/json", "application/jsonl", "application/json-seq", "+json", "json", "", "text/plain"] {
        assert!(BodyPeek::new(&headers(&[(CONTENT_TYPE, content_type)]), 1).is_none(), "{content_type}");
    }
    let json = (CONTENT_TYPE, "application/json");
    assert!(BodyPeek::new(&headers(&[json.clone(), (CONTENT_ENCODING, "Identity")]), 1).is_some());
    for fields in [
        &[][..],
        &[json.clone(), (CONTENT_ENCODING, "gzip")],
        &[json.clone(), (CONTENT_ENCODING, "identity, br")],
        &[json.clone(), json.clone()],
        &[(CONTENT_TYPE, "multipart/form-data")],
    ] {
        assert!(BodyPeek::new(&headers(fields), 1).is_none(), "{fields:?}");
    }
    assert!(BodyPeek::new(&headers(&[json]), 0).is_none(), "nothing may be read");
}

#[test]
fn a_json_object_asks_for_a_stream_with_either_member() {
    for body in [
        r#"{"stream":true}"#,
        " \t\r\n{ \"stream\" : true } \n",
        r#"{"stream":true,"stream_format":"audio"}"#,
        r#"{"stream":false,"stream_format":"sse"}"#,
        r#"{"a":{"stream":false},"stream":true,"b":[{"stream":false}]}"#,
        r#"{"str\u0065am":true}"#,
        r#"{"stream\u005fformat":"\u0073\u0073e"}"#,
        r#"{"stream":false,"stream":[1],"stream":true}"#,
        "{\"ß🦀\\ud83e\\udd80\":-1.5E+3,\"stream\":true}",
        r#"{"n":1e999,"stream":true}"#,
    ] {
        assert_eq!(json(body), Wanted::Stream, "{body}");
    }
}

#[test]
fn what_merely_resembles_a_wish_is_none() {
    for body in [
        "{}",
        r#"{"stream":"true"}"#,
        r#"{"stream":1}"#,
        r#"{"stream":[true]}"#,
        r#"{"stream":{"stream":true}}"#,
        r#"{"a":{"stream":true}}"#,
        r#"{"a":[{"stream":true,"stream_format":"sse"}]}"#,
        r#"{"a":"\"stream\":true"}"#,
        r#"{"a":"{\"stream\":true}","b":"stream"}"#,
        r#"{"Stream":true,"stream ":true,"stream\u0000":true,"streams":true,"strea":true}"#,
        r#"{"stream_format":"SSE"}"#,
        r#"{"stream_format":"sse "}"#,
        r#"{"stream_format":["sse"]}"#,
        r#"{"stream_format":true,"stream":"sse"}"#,
        r#"{"stream_format":{"sse":"sse"}}"#,
        r#"{"stream":true,"stream":false}"#,
        r#"{"stream":true,"str\u0065am":null}"#,
        r#"{"stream_format":"sse","stream_format":"sse","stream_format":{"a":"sse"}}"#,
        r#"[{"stream":true}]"#,
        "true",
        r#""stream""#,
        "",
    ] {
        assert_eq!(json(body), Wanted::Whole, "{body}");
    }
}

#[test]
fn an_invalid_document_asks_for_nothing_and_says_so_at_once() {
    for body in [
        "{\"stream\":true}x",
        "{\"stream\":true}}",
        "{\"stream\":true},",
        "{\"stream\":true}{",
        "{\"stream\":true,}",
        "{\"stream\":tru}",
        "{\"stream\":truee}",
        "{\"stream\":True}",
        "{\"stream\" true",
        "{\"stream\"::",
        "{'stream':",
        "{stream:",
        "{,",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1 2",
        "{\"a\":01",
        "{\"a\":1.}",
        "{\"a\":+1",
        "{\"a\":.5",
        "{\"a\":NaN",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":[1,]",
        "{\"a\":[1}",
        "{\"a\":[}",
        "{\"a\":{]",
        "{\"a\":[,",
        "{\"\n",
        "{\"\\x",
        "{\"\\ud800\"",
        "{\"\\udc00",
        "{}\u{c}",
        "{}\u{a0}",
        "\u{feff}{",
        "[",
        "1",
        "\"",
        "t",
        "}",
        "//",
    ] {
        assert_eq!(peek("application/json", ALL).feed(body.as_bytes()), Some(Wanted::Whole), "{body:?}");
    }
    for body in [&b"{\"a\":\"\xff"[..], b"{\"\xc0\x80", b"{\"\xed\xa0\x80", b"{\"\xe2\x82\"", b"{\xc3"] {
        let mut peek = peek("application/json", ALL);
        assert!(body.iter().chain(b" ").any(|byte| peek.feed(&[*byte]) == Some(Wanted::Whole)), "{body:?}");
    }
    for body in ["{\"stream\":true", "{\"stream\":true,\"a\":\"", "{\"stream\":true ", "{\"stream\":true,\"a\":1"] {
        assert_eq!(json(body), Wanted::Whole, "{body:?} breaks off");
    }
}

#[test]
fn a_json_document_may_be_nested_only_so_deep() {
    let nested = |depth: usize| format!("{{\"stream\":true,\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(json(nested(1024)), Wanted::Stream);
    assert_eq!(json(nested(1025)), Wanted::Whole);
}

#[test]
fn at_the_limit_counts_what_was_read() {
    let told = |body: &str, limit: u64| in_pieces(peek("application/json", limit), body.as_bytes(), &[usize::MAX]);
    let body = r#"{"stream":true,"stream":false} "#;
    assert_eq!(told(body, 12), Wanted::Whole, "the value is not complete");
    assert_eq!(told(body, 14), Wanted::Stream);
    assert_eq!(told(body, 28), Wanted::Stream, "the later value is not complete");
    assert_eq!(told(body, 29), Wanted::Whole);
    assert_eq!(told(r#"{"stream":true}"#, 15), Wanted::Stream);
    assert_eq!(told(r#"{"stream":true} garbage"#, 16), Wanted::Stream, "the mistake was not read");
    assert_eq!(told(r#"{"stream":true"#, 14), Wanted::Whole, "the whole body was read, and it breaks off");

    let form = "--b\r\nContent-Disposition: form-data; name=stream\r\n\r\ntrue\r\n--b--";
    let length = form.len() as u64;
    let told = |limit| in_pieces(peek("multipart/form-data; boundary=b", limit), form.as_bytes(), &[usize::MAX]);
    assert_eq!((told(length - 1), told(length)), (Wanted::Whole, Wanted::Stream));
}

#[test]
fn a_finding_stays_as_it_is() {
    let mut found = peek("multipart/form-data; boundary=b", ALL);
    let form = b"--b\r\nContent-Disposition: form-data; name=stream\r\n\r\ntrue\r\n--b--";
    assert_eq!(found.feed(form), Some(Wanted::Stream));
    assert_eq!(found.feed(b"\r\n--b\r\n"), Some(Wanted::Stream));
    assert_eq!(found.finish(), Wanted::Stream);
    let mut limited = peek("application/json", 1);
    assert_eq!((limited.feed(b""), limited.feed(b"{"), limited.feed(b"}")), (None, None, Some(Wanted::Whole)));
}
