//! The value of a key as YAML.

use std::fmt::Display;
use std::path::Path;

use super::Secret;

/// A value as the effective configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlValue {
    /// The YAML; a mask if the value is secret.
    pub(super) text: String,
    /// What a comment behind it says.
    pub(super) remark: Option<&'static str>,
    /// What is behind the mask.
    pub(super) secret: Option<Secret>,
}

impl YamlValue {
    /// A word or a number, which needs no quotes.
    pub(super) fn plain(value: impl Display) -> Self {
        Self { text: value.to_string(), remark: None, secret: None }
    }

    /// A text, in quotes.
    pub(super) fn quoted(text: &str) -> Self {
        Self::plain(quoted(text))
    }

    /// A path, in quotes; empty where there is none.
    pub(super) fn path(path: Option<&Path>) -> Self {
        Self::quoted(&path.unwrap_or(Path::new("")).to_string_lossy())
    }

    /// A list of texts, on one line.
    pub(super) fn list(items: impl IntoIterator<Item = impl ToString>) -> Self {
        let items: Vec<_> = items.into_iter().map(|item| quoted(&item.to_string())).collect();
        Self::plain(format!("[{}]", items.join(", ")))
    }

    /// A mask in place of a secret.
    pub(super) fn masked(secret: &Secret) -> Self {
        Self { secret: Some(secret.clone()), ..Self::quoted("***") }.with_remark("not shown")
    }

    pub(super) fn with_remark(self, remark: &'static str) -> Self {
        Self { remark: Some(remark), ..self }
    }
}

/// A double-quoted YAML scalar, its `${` escaped.
fn quoted(text: &str) -> String {
    let escaped = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    let inner: String = text.replace("${", "$${").chars().map(escaped).collect();
    format!("\"{inner}\"")
}
