//! Request paths as proxq compares them: by segments, percent-decoded (RFC 3986 §2.1).
//!
//! What is forwarded is always the raw text; decoding serves comparison only.

use std::borrow::Cow;

/// The decoded segments of a raw path. `/` and the empty path have none.
///
/// Only a literal `/` separates: `/api%2Fx` is one segment, `api/x`.
pub(crate) fn segments(raw_path: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let inner = raw_path.strip_prefix('/').unwrap_or(raw_path);
    let none = inner.is_empty();
    inner.split('/').filter(move |_| !none).map(decode)
}

/// What follows the first `count` segments of a raw path, from the slash on; empty where nothing follows.
pub(crate) fn skip_segments(raw_path: &str, count: usize) -> &str {
    let mut rest = raw_path;
    for _ in 0..count {
        let inner = rest.strip_prefix('/').unwrap_or(rest);
        rest = inner.find('/').map_or("", |slash| &inner[slash..]);
    }
    rest
}

/// Undoes percent-encoding once. A `%` that no two hexadecimal digits follow stands for itself.
pub(crate) fn decode(raw: &str) -> Cow<'_, [u8]> {
    let bytes = raw.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, width) = encoded_byte(&bytes[at..]).map_or((bytes[at], 1), |byte| (byte, 3));
        decoded.push(byte);
        at += width;
    }
    Cow::Owned(decoded)
}

fn encoded_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Whether any segment is `..`, in any percent-encoding, separated by `/` or `\`, parameters (`;…`) aside.
///
/// Such a path could climb out of an upstream's base path, depending on who normalises it.
pub(crate) fn climbs(raw_path: &str) -> bool {
    decode(raw_path)
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default())
        .any(|name| name == b"..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(raw: &str) -> Vec<String> {
        segments(raw).map(|segment| String::from_utf8_lossy(&segment).into_owned()).collect()
    }

    #[test]
    fn only_a_literal_slash_separates_segments() {
        assert_eq!(decoded("/"), Vec::<String>::new());
        assert_eq!(decoded(""), Vec::<String>::new());
        assert_eq!(decoded("/api%2Fx/%61"), ["api/x", "a"]);
        assert_eq!(decoded("/a//b/"), ["a", "", "b", ""]);
    }

    #[test]
    fn what_is_left_keeps_its_spelling() {
        assert_eq!(skip_segments("/api/v%32//x/", 1), "/v%32//x/");
        assert_eq!(skip_segments("/api", 1), "");
        assert_eq!(skip_segments("/api/", 1), "/");
        assert_eq!(skip_segments("/x", 0), "/x");
    }

    #[test]
    fn a_climbing_segment_is_found_in_every_encoding() {
        for climbing in [
            "/..",
            "/../x",
            "/a/../b",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a%2F..%2Fb",
            "/a%2f%2e%2e",
            "/a\\..\\b",
            "/a%5C..",
            "/a%5c%2e%2e%5cb",
            "/a/..;x=1/b",
            "/a/..%3Bx/b",
            "..",
        ] {
            assert!(climbs(climbing), "{climbing}");
        }
        for harmless in ["/", "/...", "/a..b", "/..a", "/a;..", "/%252e%252e", "/a/.", "/a/;/..x"] {
            assert!(!climbs(harmless), "{harmless}");
        }
    }

    proptest! {
        #[test]
        fn segments_and_the_rest_make_the_whole(path in "(/[a-z%.]{0,3}){1,6}", count in 0_usize..4) {
            let rest = skip_segments(&path, count);
            prop_assert!(path.ends_with(rest));
            let all = segments(&path).count();
            let left = if rest.is_empty() { 0 } else { rest.matches('/').count() };
            if path != "/" {
                prop_assert_eq!(left, all.saturating_sub(count));
            }
        }

        #[test]
        fn decoding_undoes_encoding(bytes: Vec<u8>) {
            let encoded: String = bytes.iter().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
            prop_assert_eq!(&*decode(&encoded), &bytes[..]);
        }
    }
}
