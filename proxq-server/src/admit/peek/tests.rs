//! Examples of what a peek finds in bodies of every type; `properties.rs` compares it with slower implementations.

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

/// What a body asks for when it arrives in pieces of these sizes, repeated.
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
fn a_json_object_says_that_it_wants_no_stream() {
    for body in [
        r#"{"stream":false}"#,
        r#"{"a":{"stream":true},"stream" : false }"#,
        r#"{"stream":true,"str\u0065am":false,"stream_format":"audio"}"#,
        r#"{"stream":false,"a":NaN,"b":"\ud83d"}"#,
    ] {
        assert_eq!(json(body), Wanted::Whole, "{body}");
    }
}

#[test]
fn look_alikes_are_no_stream() {
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
        assert_ne!(json(body), Wanted::Stream, "{body}");
    }
}

#[test]
fn damage_beside_the_deciding_member_does_not_hide_it() {
    for body in [
        &br#"{"m":"\ud83d","stream":true}"#[..],
        br#"{"m":"\udc00\ud83d\u12","stream":true}"#,
        br#"{"m":"\x\u12g4 \U0041","stream":true}"#,
        b"{\"m\":\"line\nbreak \0\",\"stream\":true}",
        b"{\"m\":\"\xff \xc0\x80 \xed\xa0\x80\",\"stream\":true}",
        b"{\"m\xff\":1,\"stream\":true}",
        b"\xef\xbb\xbf{\"stream\":true}",
        b"{\"stream\":true}\0",
        b"{\"stream\":true} trailing",
        b"\xff{\xff\"stream\"\xff:\xfftrue\xff}",
        "{\u{a0}\"a\":\u{a0}1,\u{a0}\"stream\":\u{a0}true\u{a0}}".as_bytes(),
        br#"{"t":NaN,"p":-Infinity,"q":.5,"r":01,"s":+1,"stream":true}"#,
        br#"{"t":[NaN,-Infinity,{"x":undefined}],"stream":true}"#,
        br#"{"a":tru,"stream":true,}"#,
        br#"{"a",,"b":,"c" 1,"stream":true}"#,
        br#"{a:1,'b':2,"stream":true}"#,
        br#"{"a":[1,],"b":{"c"},"stream":true}"#,
    ] {
        assert_eq!(json(body), Wanted::Stream, "{}", body.escape_ascii());
    }
}

#[test]
fn a_damaged_member_says_nothing() {
    for body in [
        "{\"stream\":tru}",
        "{\"stream\":truee}",
        "{\"stream\":tr\u{fe}ue}",
        "{\"stream\":t rue}",
        "{\"stream\":True}",
        "{\"stream\":true true}",
        "{\"stream\":true\"\"}",
        "{\"stream\":true[]}",
        "{\"stream\":[]true}",
        "{\"stream\":true,\"stream\":fals}",
        "{\"stream\" true}",
        "{\"stream\"::true}",
        "{\"stream\":,true}",
        "{\"a\"\"stream\":true}",
        "{1\"stream\":true}",
        "{'stream':true}",
        "{stream:true}",
        "{\"\\stream\":true}",
        "{\"str\\eam\":true}",
        "{\"stream_format\":\"sse\"\"\"}",
        "{\"stream_format\":\"sse\" x}",
        "{\"stream_format\":\"\"\"sse\"}",
    ] {
        assert_eq!(json(body), Wanted::Unsaid, "{body}");
    }
}

#[test]
fn a_document_that_is_no_object_or_breaks_off_says_nothing() {
    for body in ["[{\"stream\":true}]", "1", "\"", "t", "}", "//{\"stream\":true}", "\u{feff}["] {
        assert_eq!(peek("application/json", ALL).feed(body.as_bytes()), Some(Wanted::Unsaid), "{body:?}, at once");
    }
    for body in ["{\"stream\":true", "{\"stream\":true,\"a\":\"", "{\"stream\":true ", "{\"stream\":true,\"a\":1"] {
        assert_eq!(json(body), Wanted::Unsaid, "{body:?} breaks off");
    }
}

#[test]
fn a_json_document_may_be_nested_however_deep() {
    let nested = |depth: usize| format!("{{\"a\":{}{},\"stream\":true}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(json(nested(100_000)), Wanted::Stream);
}

#[test]
fn at_the_limit_counts_what_was_read() {
    let told = |body: &str, limit: u64| in_pieces(peek("application/json", limit), body.as_bytes(), &[usize::MAX]);
    let body = r#"{"stream":true,"stream":false} "#;
    assert_eq!(told(body, 12), Wanted::Unsaid, "the value is not complete");
    assert_eq!(told(body, 14), Wanted::Stream);
    assert_eq!(told(body, 28), Wanted::Stream, "the later value is not complete");
    assert_eq!(told(body, 29), Wanted::Whole);
    assert_eq!(told(r#"{"stream":true}"#, 15), Wanted::Stream);
    assert_eq!(told(r#"{"stream":trueish}"#, 14), Wanted::Stream, "the mistake was not read");
    assert_eq!(told(r#"{"stream":true"#, 14), Wanted::Unsaid, "the whole body was read, and it breaks off");

    let form = "--b\r\nContent-Disposition: form-data; name=stream\r\n\r\ntrue\r\n--b--";
    let length = form.len() as u64;
    let told = |limit| in_pieces(peek("multipart/form-data; boundary=b", limit), form.as_bytes(), &[usize::MAX]);
    assert_eq!((told(length - 1), told(length)), (Wanted::Unsaid, Wanted::Stream));
}

#[test]
fn a_finding_stays_as_it_is() {
    let mut found = peek("multipart/form-data; boundary=b", ALL);
    let form = b"--b\r\nContent-Disposition: form-data; name=stream\r\n\r\ntrue\r\n--b--";
    assert_eq!(found.feed(form), Some(Wanted::Stream));
    assert_eq!(found.feed(b"\r\n--b\r\n"), Some(Wanted::Stream));
    assert_eq!(found.finish(), Wanted::Stream);
    let mut limited = peek("application/json", 1);
    assert_eq!((limited.feed(b""), limited.feed(b"{"), limited.feed(b"}")), (None, None, Some(Wanted::Unsaid)));
}
