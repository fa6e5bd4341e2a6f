//! The items of header fields that are comma-separated lists.

use http::{HeaderMap, HeaderName};

/// The comma-separated items of every field with this name, without white space around them. A comma in a quoted string
/// separates nothing (RFC 9110 §5.6.1).
pub(crate) fn list_items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| split_list(value.as_bytes()))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Splits a list at its commas, in linear time. A quote that is never closed encloses nothing; the quotes behind it are
/// not closed either.
fn split_list(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut quotes_close) = (Some(list), true);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut end = 0;
        while let Some(byte) = text.get(end) {
            end += match byte {
                b',' => break,
                b'"' if quotes_close => quoted_bytes(&text[end..]).unwrap_or_else(|| {
                    quotes_close = false;
                    1
                }),
                _ => 1,
            };
        }
        rest = text.get(end + 1..);
        Some(&text[..end])
    })
}

/// The length of the quoted string at the beginning of a text, quotes included (RFC 9110 §5.6.4). `None` if it never ends.
fn quoted_bytes(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => 2,
            _ => 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn fields(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_list_is_split_at_commas_outside_of_quoted_strings() {
        for (value, items) in [
            ("", &[][..]),
            (" , ,", &[]),
            ("a, b ,c", &["a", "b", "c"]),
            (r#"a/b;p=", text/event-stream, ", c"#, &[r#"a/b;p=", text/event-stream, ""#, "c"]),
            (r#"p="a\",b",c"#, &[r#"p="a\",b""#, "c"]),
            (r#"p="a\\",b"#, &[r#"p="a\\""#, "b"]),
            (r#""",a"#, &[r#""""#, "a"]),
            (r#""a","b,c""#, &[r#""a""#, r#""b,c""#]),
            (r#"a;p=", b, c"#, &[r#"a;p=""#, "b", "c"]),
            (r#"a;p="x\", b, \"c"#, &[r#"a;p="x\""#, "b", r#"\"c"#]),
            (r#"a,""#, &["a", r#"""#]),
            (r"a\,b", &[r"a\", "b"]),
        ] {
            let headers = fields(&[value]);
            let split: Vec<_> = list_items(&headers, &header::ACCEPT).collect();
            assert_eq!(split, items.iter().map(|item| item.as_bytes()).collect::<Vec<_>>(), "{value}");
        }
        let headers = fields(&["a\"", "b\", c"]);
        assert_eq!(list_items(&headers, &header::ACCEPT).count(), 3, "no quoted string goes on in another field");
    }
}
