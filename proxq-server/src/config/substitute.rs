//! Variables of the environment in values: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`.

use std::borrow::Cow;

/// Replaces the variables in a value. What they stand for is taken as it is, not searched for variables again.
///
/// A default stands in for a variable that is unset or empty, as in a shell; it ends at the first `}`.
pub(super) fn substitute<'a>(
    value: &'a str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'a, str>, SubstituteError> {
    let mut done = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            done += before;
            done += "${";
            rest = &rest[start + 2..];
            continue;
        }
        done += &rest[..start];
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or(SubstituteError::Unclosed)?;
        done += &look_up(&inner[..end], env)?;
        rest = &inner[end + 1..];
    }
    if done.is_empty() && rest.len() == value.len() {
        return Ok(Cow::Borrowed(value));
    }
    Ok(Cow::Owned(done + rest))
}

fn look_up(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, SubstituteError> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let name_like = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(name_like) {
        return Err(SubstituteError::BadName { name: name.to_owned() });
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(SubstituteError::Unset { name: name.to_owned() }),
    }
}

/// Why variables could not be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SubstituteError {
    #[error("the environment variable {name} is not set; set it, or write ${{{name}:-default}}")]
    Unset { name: String },
    #[error("{name:?} is not the name of an environment variable; a literal ${{ is written as $${{")]
    BadName { name: String },
    #[error("${{ is not closed by }}; a literal ${{ is written as $${{")]
    Unclosed,
}

impl SubstituteError {
    /// The same without what is no name, and may be part of a secret.
    pub(super) fn without_values(self) -> Self {
        match self {
            Self::BadName { .. } => Self::BadName { name: "…".to_owned() },
            Self::Unset { .. } | Self::Unclosed => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_env(value: &str) -> Result<String, SubstituteError> {
        let env = |name: &str| match name {
            "HOST" => Some("api".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        substitute(value, &env).map(Cow::into_owned)
    }

    #[test]
    fn variables_are_replaced_once() {
        for (value, expected) in [
            ("http://${HOST}:3000", "http://api:3000"),
            ("${HOST}${HOST}", "apiapi"),
            ("${PORT:-8080}", "8080"),
            ("${HOST:-other}", "api"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${PORT:-}", ""),
            ("${PORT:-a:-b}", "a:-b"),
            ("${NESTED}", "${HOST}"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("a$${", "a${"),
            ("^/api/health$", "^/api/health$"),
            ("$HOST $$", "$HOST $$"),
            ("", ""),
        ] {
            assert_eq!(with_env(value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_named() {
        let bad = |name: &str| SubstituteError::BadName { name: name.to_owned() };
        assert_eq!(with_env("x${PORT}y"), Err(SubstituteError::Unset { name: "PORT".to_owned() }));
        assert_eq!(with_env("${}"), Err(bad("")));
        assert_eq!(with_env("${1A}"), Err(bad("1A")));
        assert_eq!(with_env("${A B}"), Err(bad("A B")));
        assert_eq!(with_env("${HOST"), Err(SubstituteError::Unclosed));
        assert_eq!(
            with_env("${PORT}").unwrap_err().to_string(),
            "the environment variable PORT is not set; set it, or write ${PORT:-default}"
        );
    }

    proptest! {
        #[test]
        fn a_text_without_references_stays_as_it_is(text in "[^{]{0,30}") {
            prop_assert_eq!(with_env(&text), Ok(text));
        }

        #[test]
        fn an_escaped_text_is_literal(text in "[a-z${}:-]{0,12}") {
            // `$` before `${` would double the escape, so it is not among what an escape can express.
            prop_assume!(!text.contains("$${"));
            prop_assert_eq!(with_env(&text.replace("${", "$${")), Ok(text));
        }

        #[test]
        fn no_text_panics(text in "[$ {}A-C:é-]{0,24}") {
            let _ = with_env(&text);
        }
    }
}
