//! What `config.yaml.example` says of each key: the comment above it, and the value it is shown with, which is its default.

use std::collections::BTreeMap;

use super::raw::{self, Node};

/// The file, every key of which is written down, explained and at its default.
pub(super) const EXAMPLE: &str = include_str!("../../config.yaml.example");

/// What is said of one key.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The comment above it, on one line; empty where there is none.
    pub(super) comment: String,
    /// The value behind it; `None` where a section or a list of sections follows.
    pub(super) value: Option<Node>,
}

/// What is said of all keys, by their paths, such as `limits.idleTimeout` and `upstreams[].timeout`.
pub(super) fn shown() -> BTreeMap<String, Shown> {
    let mut keys = BTreeMap::new();
    let mut comment = Vec::new();
    // The keys and lists around the present line, each with its column.
    let mut around: Vec<(usize, String)> = Vec::new();
    for line in uncommented() {
        let text = line.trim_start();
        if let Some(remark) = text.strip_prefix('#') {
            comment.push(remark.trim());
            continue;
        }
        let item = text.strip_prefix("- ");
        let column = line.len() - text.len();
        let Some((key, value)) = item.unwrap_or(text).split_once(':') else {
            comment.clear(); // an empty line: what stood above it was about no key
            continue;
        };
        around.retain(|(outer, _)| *outer < column);
        if item.is_some() {
            let list = around.last().map_or("", |(_, path)| path);
            around.push((column, format!("{list}[]")));
        }
        let path = match around.last() {
            Some((_, section)) => format!("{section}.{key}"),
            None => key.to_owned(),
        };
        around.push((if item.is_some() { column + 2 } else { column }, path.clone()));
        let value = Some(value.trim()).filter(|value| !value.is_empty());
        let value = value.and_then(|value| raw::parse(value).ok());
        keys.insert(path, Shown { comment: comment.join(" "), value });
        comment.clear();
    }
    keys
}

/// The lines of the file. A section that is commented out (`#redis:`) is one of them.
fn uncommented() -> impl Iterator<Item = &'static str> {
    let mut in_section = false;
    EXAMPLE.lines().map(move |line| {
        let Some(text) = line.strip_prefix('#') else {
            in_section = false;
            return line;
        };
        in_section = in_section || text.starts_with(char::is_alphabetic);
        if in_section { text } else { line }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::Value;

    #[test]
    fn keys_have_the_comment_above_them_and_the_value_behind_them() {
        let keys = shown();
        let shown = |path: &str| {
            let shown = keys.get(path).unwrap_or_else(|| panic!("{path} in {:?}", keys.keys()));
            let value = shown.value.as_ref().map(|node| match &node.value {
                Value::Scalar(scalar) => scalar.text.clone(),
                other @ (Value::Null | Value::List(_) | Value::Map(_)) => format!("{other:?}"),
            });
            (shown.comment.as_str(), value)
        };
        assert_eq!(
            shown("taskRetention"),
            ("How long completed and failed jobs, and their responses, can be fetched.", Some("1h".to_owned()))
        );
        assert_eq!(shown("limits"), ("", None));
        assert_eq!(
            shown("limits.maxConnections"),
            (
                "Client connections at once. Fewer are taken where the limit on open files (`ulimit -n`) leaves no room for more.",
                Some("16384".to_owned())
            )
        );
        assert_eq!(shown("redis.tls.caFile"), ("Authorities to trust instead of the system's.", Some(String::new())));
        assert_eq!(
            shown("upstreams[].url"),
            ("http or https, with a path if needed.", Some("http://127.0.0.1:3000".to_owned()))
        );
        assert_eq!(shown("upstreams[].pathFilter.patterns").1.as_deref(), Some("List([])"));
        assert!(
            shown("upstreams[].delivery").0.starts_with("What may be sent twice. `auto`: what the upstream has not")
        );
        assert!(!keys["listenAddress"].comment.contains("SIGHUP"), "the head of the file is about no key");
    }
}
