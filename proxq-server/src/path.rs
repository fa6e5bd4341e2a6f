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

/// The rest of a raw path behind its first `count` segments, from the slash on; empty if nothing follows.
pub(crate) fn skip_segments(raw_path: &str, count: usize) -> &str {
    let mut rest = raw_path;
    for _ in 0..count {
        let inner = rest.strip_prefix('/').unwrap_or(rest);
        rest = inner.find('/').map_or("", |slash| &inner[slash..]);
    }
    rest
}

/// Decodes percent-encoding once. A `%` without two hexadecimal digits behind it stands for itself.
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

/// Why a path is refused: some servers read it as a different path than proxq does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPath {
    /// A segment is `..`. It could climb out of an upstream's base path.
    Climbs,
    /// It has a NUL byte, where the path ends for some servers.
    Nul,
    /// It has a character in more bytes than UTF-8 allows (RFC 3629 §3). A lenient decoder may read them as `.` or `/`.
    Overlong,
}

impl BadPath {
    /// Why a path in the configuration is refused.
    pub(crate) fn forbidden(self) -> &'static str {
        match self {
            Self::Climbs => "must not have a .. segment",
            Self::Nul => "must not have a NUL byte",
            Self::Overlong => "must not have an overlong UTF-8 sequence",
        }
    }
}

/// Refuses paths that some server could read as another path, after one round of percent-decoding: `%252e` is not a dot.
///
/// A segment counts as `..` between `/` or `\`, and also with parameters (`;…`). Of invalid UTF-8 only overlong sequences
/// are refused.
pub(crate) fn check(raw_path: &str) -> Result<(), BadPath> {
    let path = decode(raw_path);
    if path.contains(&0) {
        return Err(BadPath::Nul);
    }
    if (0..path.len()).any(|at| begins_overlong(&path[at..])) {
        return Err(BadPath::Overlong);
    }
    let mut names = path
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    if names.any(|name| name == b"..") { Err(BadPath::Climbs) } else { Ok(()) }
}

/// Whether bytes begin with an overlong sequence, of two to four bytes or of the five and six that UTF-8 once had.
fn begins_overlong(bytes: &[u8]) -> bool {
    // With a second byte below this one, a sequence with that first byte is overlong.
    let (more, second_min) = match bytes[0] {
        0xc0 | 0xc1 => (1, 0xc0),
        0xe0 => (2, 0xa0),
        0xf0 => (3, 0x90),
        0xf8 => (4, 0x88),
        0xfc => (5, 0x84),
        _ => return false,
    };
    let is_continuation = |byte: &u8| byte & 0xc0 == 0x80;
    bytes.get(1..=more).is_some_and(|rest| rest[0] < second_min && rest.iter().all(is_continuation))
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
            assert_eq!(check(climbing), Err(BadPath::Climbs), "{climbing}");
        }
        for harmless in ["/", "/...", "/a..b", "/..a", "/a;..", "/%252e%252e", "/a/.", "/a/;/..x", ""] {
            assert_eq!(check(harmless), Ok(()), "{harmless}");
        }
    }

    #[test]
    fn a_nul_and_overlong_characters_are_found_and_other_bytes_are_not() {
        for path in ["/%00", "/a%00.png", "/a/..%00/b"] {
            assert_eq!(check(path), Err(BadPath::Nul), "{path}");
        }
        for path in [
            "/%c0%ae%c0%ae/x",
            "/a%C0%AFb",
            "/%c1%9c",
            "/%c0%80",
            "/%e0%80%ae",
            "/%e0%9f%bf",
            "/%f0%80%80%af",
            "/%f0%8f%bf%bf",
            "/%f8%80%80%80%af",
            "/%fc%80%80%80%80%af",
        ] {
            assert_eq!(check(path), Err(BadPath::Overlong), "{path}");
        }
        for path in [
            "/%2500",
            "/%25c0%25ae",
            "/%C3%A4/%E2%82%AC/%F0%9F%98%80",
            "/%e0%a0%80",
            "/%f0%90%80%80",
            "/%FF",
            "/%C0",
            "/%C0%20la",
            "/%e0%80",
            "/%e0%80/x",
            "/%ed%a0%80",
            "/ä€",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
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
        fn no_valid_utf_8_is_overlong(text in "[^\\x00/\\\\.]*") {
            let encoded: String = text.bytes().fold("/".to_owned(), |path, byte| path + &format!("%{byte:02x}"));
            prop_assert_eq!(check(&encoded), Ok(()));
        }

        #[test]
        fn decoding_undoes_encoding(bytes: Vec<u8>) {
            let encoded: String = bytes.iter().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
            prop_assert_eq!(&*decode(&encoded), &bytes[..]);
        }
    }
}
