//! Parameters of a field value: `multipart/form-data; boundary="x"`, `form-data; name=stream`.

use std::borrow::Cow;

/// A field value of the shape `word; name=value; name="value"` (RFC 9110 §5.6.6).
#[derive(Debug)]
pub(crate) struct Parametrized<'a> {
    /// What stands before the first parameter: a media type, a disposition.
    pub(crate) word: &'a [u8],
    parameters: Vec<(&'a [u8], Cow<'a, [u8]>)>,
}

impl<'a> Parametrized<'a> {
    /// `None` if it is malformed. A value without quotes may hold all but `;` and `"`: clients forget to quote.
    pub(crate) fn parse(field: &'a [u8]) -> Option<Self> {
        let end = field.iter().position(|byte| *byte == b';').unwrap_or(field.len());
        let (word, mut rest) = field.split_at(end);
        let mut parameters = Vec::new();
        while let Some(after) = rest.strip_prefix(b";") {
            rest = after.trim_ascii_start();
            if rest.is_empty() || rest.starts_with(b";") {
                continue; // an empty one is allowed
            }
            let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';' | b'"'))?;
            let (name, after) = (&rest[..equals], rest[equals..].strip_prefix(b"=")?);
            let (value, after) = match after.strip_prefix(b"\"") {
                Some(quoted) => unquote(quoted)?,
                None => bare(after)?,
            };
            parameters.push((name.trim_ascii_end(), value));
            rest = after.trim_ascii_start();
        }
        // What follows a closing quote must be another parameter.
        rest.is_empty().then_some(Self { word: word.trim_ascii(), parameters })
    }

    /// The value of the parameter with this name. `None` as well if there are several.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.parameters.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }

    /// The names and values of all parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.parameters.iter().map(|(name, value)| (*name, &**value))
    }
}

/// A value up to its closing quote, and what follows.
fn unquote(quoted: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut unescaped = Vec::new();
    let mut rest = quoted;
    loop {
        let (run, after) = rest.split_at(memchr::memchr2(b'"', b'\\', rest)?);
        let (special, after) = after.split_first()?;
        if *special == b'"' {
            let value = if unescaped.is_empty() { Cow::Borrowed(run) } else { Cow::Owned([&unescaped, run].concat()) };
            return Some((value, after));
        }
        let (escaped, after) = after.split_first()?;
        unescaped.extend_from_slice(run);
        unescaped.push(*escaped);
        rest = after;
    }
}

/// A value up to the next parameter, and what follows.
fn bare(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (value, after) = text.split_at(memchr::memchr(b';', text).unwrap_or(text.len()));
    (!value.contains(&b'"')).then_some((Cow::Borrowed(value.trim_ascii_end()), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(field: &str, name: &str) -> Option<String> {
        let parsed = Parametrized::parse(field.as_bytes())?;
        parsed.get(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn values_are_read_with_and_without_quotes() {
        for (field, expected) in [
            ("a; b=c", "c"),
            ("a;B=c", "c"),
            ("a ; x=\"y;b=z\" ;; b = ", ""),
            ("a; b=\"c\";", "c"),
            ("a; b=\"\\\"c\\\\\\d\"", "\"c\\d"),
            ("a; b=\"\"; c=\"x\"", ""),
            ("a; b=--x=/?: ; c=d", "--x=/?:"),
        ] {
            assert_eq!(value(field, "b").as_deref(), Some(expected), "{field}");
        }
        assert_eq!(Parametrized::parse(b" Text/Plain ;").unwrap().word, b"Text/Plain");
    }

    #[test]
    fn a_malformed_or_repeated_parameter_has_no_value() {
        for field in ["a; b", "a; b=\"c", "a; b=\"c\\", "a; b=\"c\"d", "a; b=c\"d\"", "a; b\"=c", "a; b=c; b=d", "a; x"]
        {
            assert_eq!(value(field, "b"), None, "{field}");
        }
    }
}
