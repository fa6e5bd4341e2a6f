//! Bodies of all kinds, whole and damaged, in pieces of all sizes: a peek finds what a parser finds.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What `serde_json` makes of a document; `None` where it takes none.
fn by_tree(body: &[u8]) -> Option<Wanted> {
    let value: Value = serde_json::from_slice(body).ok()?;
    // By the last member of a name.
    Some(match value.get("stream").filter(|_| value.is_object()) {
        Some(Value::Bool(true)) => Wanted::Stream,
        _ if value.get("stream_format").is_some_and(|format| format == "sse") => Wanted::Stream,
        Some(Value::Bool(false)) => Wanted::Whole,
        _ => Wanted::Unsaid,
    })
}

fn one_of(texts: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned)
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => one_of(&["\"stream\"", "\"stream_format\"", r#""str\u0065am""#, r#""\u0073tream_forma\u0074""#]),
        1 => one_of(&["\"Stream\"", "\"stream_format_\"", r#""stream\n""#, r#""stream\ud83e\udd80""#, "\"sträm\""]),
        1 => any::<String>().prop_map(|text| Value::from(text).to_string()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        4 => one_of(&["true", "\"sse\"", r#""\u0073se""#]),
        2 => one_of(&["false", "null", "\"true\"", "\"sse \"", "0", "-0.0", "12e-3", "1E+2", "9007199254740993", "[]", "{}"]),
        1 => name(),
        1 => any::<f64>().prop_map(|number| Value::from(number).to_string()),
    ];
    scalar.prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            object(inner)
        ]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (space(), name(), space(), space(), value, space())
        .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"));
    prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn document() -> impl Strategy<Value = String> {
    let top = prop_oneof![8 => object(value()), 1 => value()];
    (space(), top, space()).prop_map(|(a, top, b)| format!("{a}{top}{b}"))
}

/// One small damage: which, where, and a byte to do it with.
type Damage = (u8, prop::sample::Index, u8);

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let byte = prop_oneof![prop::sample::select(b"\"\\{}[]:,.-+eE0u \n\x1f\xc3\xa9\xff".to_vec()), any::<u8>()];
    prop::collection::vec((0u8..5, any::<prop::sample::Index>(), byte), 1..3)
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (kind, index, byte) in damages {
        let at = index.index(bytes.len() + 1);
        match kind {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *byte),
            _ if at == bytes.len() => bytes.push(*byte),
            2 => bytes[at] = *byte,
            3 => bytes[at] ^= 1 << (byte % 8),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// Texts that no parser takes and that are not decided by: what stands between quotes, and other values.
fn damaged_text() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        &br"\ud83d"[..],
        br"\udc00",
        br"\u12",
        br"\x",
        br#"\"stream\":true,"#,
        br#"\",\"stream\":true"#,
        br"\\",
        b"\n\0\x1f",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        "ß🦀".as_bytes(),
        b"{",
        b"}",
        b"[",
        b"]",
        b",stream:true,",
    ]);
    prop::collection::vec(fragment, 0..6).prop_map(|fragments| fragments.concat())
}

fn damaged_value() -> impl Strategy<Value = Vec<u8>> {
    let words = &["NaN", "-Infinity", "undefined", "01", "+1", ".5", "1.", "tru", "None", "", "[1,]", "[,]", "{\"a\"}"];
    let inner = &[r#"{"stream":true,"x":NaN}"#, r#"[{"stream":true,}]"#, r#"{"a":{"stream":true},"stream":"#];
    let text = damaged_text().prop_map(|text| [b"\"", &text[..], b"\""].concat());
    prop_oneof![
        2 => text,
        1 => one_of(words).prop_map(String::into_bytes),
        1 => one_of(inner).prop_map(|text| if text.ends_with(':') { text + "}" } else { text }.into_bytes()),
    ]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![3 => 1usize..4, 1 => 4usize..40], 1..6)
}

#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    is_file: bool,
    content: String,
}

const BOUNDARY: &str = "-x'-";

fn part() -> impl Strategy<Value = Part> {
    let fragment = one_of(&[
        "true",
        "false",
        "\r\n",
        "\r",
        "\n",
        "--",
        "-",
        "-x'-",
        "\r\n--",
        "\r\n--x'-",
        "\r\n---x'-y",
        "\r\n---x'-- -",
        "é",
    ]);
    let content = prop_oneof![
        1 => Just("true".to_owned()),
        2 => prop::collection::vec(fragment, 0..6).prop_map(|fragments| fragments.concat()),
    ];
    (prop::sample::select(vec!["stream", "Stream", "file", "a\\\"b"]), prop::bool::weighted(0.2), content)
        .prop_map(|(name, is_file, content)| Part { name, is_file, content })
        .prop_filter("content may not hold the boundary as a delimiter would", |part| {
            let framed = format!("\r\n{}\r\n", part.content);
            framed.match_indices(&format!("\r\n--{BOUNDARY}")).all(|(at, delimiter)| {
                let behind = &framed[at + delimiter.len()..];
                !behind.starts_with("--") && !behind.trim_start_matches([' ', '\t']).starts_with("\r\n")
            })
        })
}

fn form(parts: &[Part], padding: &str) -> String {
    let parts = parts.iter().map(|Part { name, is_file, content }| {
        let file = if *is_file { "; filename=\"f\"\r\nContent-Type: a/b" } else { "" };
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"{file}");
        format!("--{BOUNDARY}{padding}\r\n{disposition}\r\n\r\n{content}\r\n")
    });
    parts.chain([format!("--{BOUNDARY}--\r\n")]).collect()
}

fn form_peek(limit: u64) -> BodyPeek {
    peek("multipart/form-data; charset=utf-8; boundary=\"-x'-\"", limit)
}

proptest! {
    #[test]
    fn a_valid_document_is_understood_as_a_parser_does(document in document(), sizes in sizes()) {
        prop_assert!(serde_json::from_str::<Value>(&document).is_ok());
        prop_assert_eq!(Some(in_pieces(peek("application/json", ALL), document.as_bytes(), &sizes)), by_tree(document.as_bytes()));
    }

    #[test]
    fn a_damaged_document_that_a_parser_takes_is_understood_as_it_does(
        document in document(),
        damages in damage(),
        sizes in sizes(),
    ) {
        let body = damaged(&document, &damages);
        let found = json(&body);
        if let Some(expected) = by_tree(&body) {
            prop_assert_eq!(found, expected);
        }
        prop_assert_eq!(in_pieces(peek("application/json", ALL), &body, &sizes), found);
    }

    #[test]
    fn damage_beside_the_deciding_members_neither_hides_nor_makes_any(
        members in prop::collection::vec((name(), value()), 0..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), damaged_text(), damaged_value()), 0..3),
        margins in [prop::sample::select(vec![&b""[..], b"\xef\xbb\xbf", b"\xff\0 "]), prop::sample::select(vec![&b""[..], b"\0", b"}"])],
        sizes in sizes(),
    ) {
        let sound: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let expected = by_tree(format!("{{{}}}", sound.join(",")).as_bytes()).expect("it is sound");
        let mut all: Vec<_> = sound.into_iter().map(String::into_bytes).collect();
        for (index, name, value) in damage {
            // Whatever the fragments make of it, it is no name that decides.
            all.insert(index.index(all.len() + 1), [b"\"x", &name[..], b"\":", &value[..]].concat());
        }
        let body = [margins[0], b"{", &all.join(&b','), b"}", margins[1]].concat();
        prop_assert_eq!(in_pieces(peek("application/json", ALL), &body, &sizes), expected, "{}", body.escape_ascii());
    }

    #[test]
    fn a_form_is_understood_however_it_is_cut(
        parts in prop::collection::vec(part(), 0..5),
        padding in "[ \t]{0,2}",
        preamble in "(|a\r\n|---x'-a\r\n)",
        sizes in sizes(),
    ) {
        let form = preamble + &form(&parts, &padding);
        let is_wished = parts.iter().any(|part| part.name == "stream" && !part.is_file && part.content == "true");
        let expected = if is_wished { Wanted::Stream } else { Wanted::Unsaid };
        prop_assert_eq!(in_pieces(form_peek(ALL), form.as_bytes(), &[usize::MAX]), expected);
        prop_assert_eq!(in_pieces(form_peek(ALL), form.as_bytes(), &sizes), expected);
    }

    #[test]
    fn pieces_never_matter_nor_does_what_lies_beyond_the_limit(
        document in document(),
        parts in prop::collection::vec(part(), 0..4),
        damages in damage(),
        sizes in sizes(),
        limit in 1u64..200,
    ) {
        for (body, start) in [
            (damaged(&document, &damages), (|limit| peek("application/json", limit)) as fn(u64) -> BodyPeek),
            (damaged(&form(&parts, ""), &damages), form_peek),
        ] {
            let at_once = in_pieces(start(limit), &body, &[usize::MAX]);
            prop_assert_eq!(in_pieces(start(limit), &body, &sizes), at_once);
            let read = usize::try_from(limit).unwrap().min(body.len());
            let other_tail = if read < body.len() { [&body[..read], b"\xff"].concat() } else { body };
            prop_assert_eq!(in_pieces(start(limit), &other_tail, &sizes), at_once);
        }
    }

    #[test]
    fn any_bytes_get_an_answer(body in prop::collection::vec(any::<u8>(), 0..300), sizes in sizes(), limit in 1u64..400) {
        for start in [b"".as_slice(), b"{\"", b"{\"a\":", b"---x'-\r\nContent-Disposition:", b"---x'-\r\n\r\n"] {
            let body = [start, &body].concat();
            in_pieces(peek("application/json", limit), &body, &sizes);
            in_pieces(form_peek(limit), &body, &sizes);
        }
    }
}
