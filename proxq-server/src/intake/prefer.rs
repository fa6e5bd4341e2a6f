//! The preferences `wait` and `respond-async` of a `Prefer` header (RFC 7240).

use http::{HeaderMap, HeaderValue};
use proxq_protocol::header as proxq;

/// For how many seconds the client would wait for its answer (§4.3). The first well-formed `wait` counts (§2); everything
/// else is no error, only no preference of which this server knows.
pub(super) fn wait_seconds(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(proxq::PREFER).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| unquoted_split(line, b',')).find_map(wait_in)
}

/// Whether the client would rather have an answer at once than the response (§4.1).
pub(super) fn responds_async(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(proxq::PREFER).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| unquoted_split(line, b',')).any(is_respond_async)
}

/// Removes the preference `respond-async`, which is not the upstream's once it is applied here.
pub(super) fn remove_respond_async(headers: &mut HeaderMap) {
    let lines: Vec<_> = headers.get_all(proxq::PREFER).iter().map(|line| line.as_bytes().to_vec()).collect();
    headers.remove(proxq::PREFER);
    for line in lines {
        let others: Vec<_> = unquoted_split(&line, b',').filter(|preference| !is_respond_async(preference)).collect();
        if others.iter().any(|preference| !preference.trim_ascii().is_empty()) {
            let rest = HeaderValue::from_bytes(others.join(&b","[..]).trim_ascii());
            headers.append(proxq::PREFER, rest.expect("it is a part of a header value"));
        }
    }
}

fn is_respond_async(preference: &[u8]) -> bool {
    let word = unquoted_split(preference, b';').next().unwrap_or_default();
    word.trim_ascii().eq_ignore_ascii_case(b"respond-async")
}

fn wait_in(preference: &[u8]) -> Option<u64> {
    // Parameters say more about a preference. None is defined for this one.
    let word = unquoted_split(preference, b';').next()?;
    let (name, value) = word.split_at(word.iter().position(|byte| *byte == b'=')?);
    let value = value[1..].trim_ascii();
    let is_wait = name.trim_ascii().eq_ignore_ascii_case(b"wait");
    if !is_wait || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More seconds than a number holds are capped like any other wait that is too long.
    Some(value.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// The parts of a text between separators that stand outside quoted strings (RFC 9110 §5.6.4).
fn unquoted_split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|byte| {
            let is_literal = std::mem::take(&mut escaped);
            match byte {
                b'\\' if quoted && !is_literal => escaped = true,
                b'"' if !is_literal => quoted = !quoted,
                _ => return *byte == separator && !quoted,
            }
            false
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(proxq::PREFER, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        wait_seconds(&headers)
    }

    #[test]
    fn a_wait_is_found_wherever_it_stands() {
        for lines in [
            &["wait=20"][..],
            &["respond-async, wait=20"],
            &["return=minimal; foo=\"a, wait=7; b\"", "WAIT = 20"],
            &["wait=20; x=y, wait=30"],
            &["wait=\"9\", wait=, wait, wait=-1, wait=1.5, wait=20"],
            &[r#"a="\"", wait=20"#, "wait=30"],
            &[", ,wait=20,"],
        ] {
            assert_eq!(read(lines), Some(20), "{lines:?}");
        }
        assert_eq!(read(&["wait=99999999999999999999999"]), Some(u64::MAX));
        assert_eq!(read(&["wait=0"]), Some(0));
    }

    #[test]
    fn respond_async_is_found_and_removed() {
        for (lines, rest) in [
            (&["respond-async"][..], &[][..]),
            (&["wait=5, Respond-Async ;x=1 , a=\"b, respond-async\""], &["wait=5, a=\"b, respond-async\""]),
            (&["x", "respond-async,"], &["x"]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(proxq::PREFER, HeaderValue::from_static(line));
            }
            assert!(responds_async(&headers), "{lines:?}");
            remove_respond_async(&mut headers);
            let left: Vec<_> = headers.get_all(proxq::PREFER).iter().collect();
            assert_eq!(left, rest, "{lines:?}");
        }
        for line in ["respond-async=1", "\"respond-async\"", "x; respond-async"] {
            let headers = HeaderMap::from_iter([(
                http::header::HeaderName::from_static(proxq::PREFER),
                HeaderValue::from_static(line),
            )]);
            assert!(!responds_async(&headers), "{line}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_preference() {
        for line in
            ["", "wait", "wait=", "wait=\"20", "waits=20", "x=\"wait=20", "x; wait=20", "wait=20s", "\"wait=20\""]
        {
            assert_eq!(read(&[line]), None, "{line}");
        }
    }

    proptest! {
        /// Whatever stands before it, quoted or not, with parameters or without.
        #[test]
        fn well_formed_neighbours_do_not_matter(
            before in prop::collection::vec("[a-v]{1,8}(=([a-z0-9]{1,5}|\"([ a-z,;=]|\\\\[\",a])*\"))?(; ?[a-z]{1,5}(=\"[ a-z,;]*\")?)?", 0..5),
            seconds in any::<u32>(),
            spaces in " {0,2}",
            one_line in any::<bool>(),
        ) {
            let mut lines = before;
            lines.push(format!("wait{spaces}={spaces}{seconds}"));
            let joined = lines.join(&format!("{spaces},{spaces}"));
            let lines: Vec<&str> = if one_line { vec![&joined] } else { lines.iter().map(String::as_str).collect() };
            prop_assert_eq!(read(&lines), Some(seconds.into()));
        }

        /// Nothing that a client sends is an error, and only digits make a wait.
        #[test]
        fn anything_is_read(line in prop::collection::vec(prop::sample::select(&b"wait=0123456789,;\"\\ \tx"[..]), 0..60)) {
            let mut headers = HeaderMap::new();
            headers.append(proxq::PREFER, HeaderValue::from_bytes(&line).unwrap());
            let text = String::from_utf8(line).unwrap();
            if wait_seconds(&headers).is_some() {
                prop_assert!(text.contains("wait") && text.contains('='), "{}", text);
            }
        }
    }
}
