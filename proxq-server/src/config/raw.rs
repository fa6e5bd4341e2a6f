//! The YAML as it is written: a tree of values, each with its place and its spelling. The only file that knows the YAML
//! library, and serde with it.
//!
//! A tree and not a struct for each section: unknown keys, repeated keys and wrong types are then mistakes like any
//! other, found together with the rest and named by their key path ([`super::section`]).

mod unreadable;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Spanned};

use self::unreadable::unreadable;
use super::error::Place;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value as YAML sees it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the text. A repeated key is in it as often as it was written.
    Map(Vec<Entry>),
}

/// A single value: how it is spelled, and what YAML takes that for.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What YAML takes a scalar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool(bool),
    Integer(i128),
    Fraction,
}

/// A key of a mapping and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

/// Reads a text. What is not YAML ends it, with the place where it is not.
///
/// Documents (`---`) that say nothing count for nothing; of the others there may be one.
pub(super) fn parse(text: &str) -> Result<Node, (Option<Place>, String)> {
    let options = serde_saphyr::options! {
        // Generous for a configuration, and soon reached by aliases that multiply.
        budget: serde_saphyr::budget! { max_nodes: 100_000, max_depth: 32 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough, // `Section` reports them, both places and all
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString, // no key takes one, so let the key say so
        with_snippet: false,
    };
    let text = &*without_byte_order_marks(text);
    let documents: Vec<Spanned<Yaml>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| unreadable(&error, text))?;
    let mut documents = documents.into_iter().map(|document| node(document, text));
    let nothing = Node { value: Value::Null, place: Place { line: 1, column: 1, width: 1 } };
    let configuration = documents.next().unwrap_or(nothing);
    match documents.next() {
        None => Ok(configuration),
        Some(second) => {
            Err((Some(second.place), "a second document (---) begins here; the configuration is one".to_owned()))
        }
    }
}

/// The text without the marks (U+FEFF) that editors put at the beginning of a file, and that stand inside of one where files
/// were joined: at the beginning of a line, or behind `---`.
fn without_byte_order_marks(text: &str) -> Cow<'_, str> {
    const MARK: char = '\u{feff}';
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    let without_mark = |line: &str| {
        let line = line.trim_start_matches(MARK);
        match line.strip_prefix("---") {
            Some(behind) if behind.trim_start_matches(' ').starts_with(MARK) => {
                format!("---{}", behind.replace(MARK, ""))
            }
            _ => line.to_owned(),
        }
    };
    Cow::Owned(text.split_inclusive('\n').map(without_mark).collect())
}

fn place(location: serde_saphyr::Location) -> Place {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Place {
        line: number(location.line()),
        column: number(location.column()),
        width: number(location.span().len()).max(1),
    }
}

/// What serde makes of the text. Spellings are missing yet: a visitor sees `16` where `0x10` is written.
#[derive(Debug)]
enum Yaml {
    Null,
    Text(String),
    Typed(Kind, String),
    List(Vec<Spanned<Yaml>>),
    Map(Vec<(Spanned<String>, Spanned<Yaml>)>),
}

fn node(read: Spanned<Yaml>, source: &str) -> Node {
    let value = match read.value {
        Yaml::Null => Value::Null,
        Yaml::Text(text) => Value::Scalar(Scalar { text, kind: Kind::Text }),
        Yaml::Typed(kind, plain) => {
            let text = spelling(read.defined, source).unwrap_or(plain);
            Value::Scalar(Scalar { text, kind })
        }
        Yaml::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Yaml::Map(entries) => Value::Map(entries.into_iter().map(|(key, value)| entry(key, value, source)).collect()),
    };
    Node { value, place: place(read.referenced) }
}

fn entry(key: Spanned<String>, value: Spanned<Yaml>, source: &str) -> Entry {
    Entry { key_place: place(key.referenced), key: key.value, value: node(value, source) }
}

/// The text of a plain scalar; `None` where the library does not know it.
fn spelling(at: serde_saphyr::Location, source: &str) -> Option<String> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(length)?)?.trim();
    let single_word = !text.is_empty() && !text.contains(char::is_whitespace);
    single_word.then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Typed(Kind::Bool(value), value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Typed(Kind::Integer(value.into()), value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Typed(Kind::Integer(value.into()), value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Typed(Kind::Fraction, value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Yaml::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar(scalar) => format!("{:?} {}", scalar.kind, scalar.text),
            Value::List(items) => format!("[{}]", items.iter().map(outline).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let entries = entries.iter().map(|entry| format!("{}: {}", entry.key, outline(&entry.value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn read(text: &str) -> String {
        parse(text).map_or_else(|(place, message)| format!("{place:?} {message}"), |root| outline(&root))
    }

    #[test]
    fn values_keep_their_kind_and_their_spelling() {
        assert_eq!(read("a: 0x10"), "{a: Integer(16) 0x10}");
        assert_eq!(read("a: -7"), "{a: Integer(-7) -7}");
        assert_eq!(read("a: 1.50"), "{a: Fraction 1.50}");
        assert_eq!(read("a: yes # really"), "{a: Bool(true) yes}");
        assert_eq!(read("a: '5'"), "{a: Text 5}");
        assert_eq!(read("a: 1h30m"), "{a: Text 1h30m}");
        assert_eq!(read("a: ~\nb:\nc: []"), "{a: null, b: null, c: []}");
        assert_eq!(read("ä: &x 7\nb: *x"), "{ä: Integer(7) 7, b: Integer(7) 7}");
        assert_eq!(read(""), "null");
        assert_eq!(read("# nothing\n"), "null");
        assert_eq!(read("---\n---\n"), "null");
        assert_eq!(read("1: .inf"), "{1: Text .inf}");
    }

    #[test]
    fn repeated_and_merged_keys_are_all_there() {
        assert_eq!(read("a: 1\na: 2"), "{a: Integer(1) 1, a: Integer(2) 2}");
        assert_eq!(
            read("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  x: 3"),
            "{base: {x: Integer(1) 1, y: Integer(2) 2}, use: {x: Integer(3) 3, y: Integer(2) 2}}"
        );
    }

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let root = parse("a: 1\nüb: [x,\n  yy]\n").unwrap();
        let Value::Map(entries) = root.value else { panic!("not a map") };
        assert_eq!(entries[1].key_place, Place { line: 2, column: 1, width: 2 });
        let Value::List(items) = &entries[1].value.value else { panic!("not a list") };
        assert_eq!(items[1].place, Place { line: 3, column: 3, width: 2 });
    }

    #[test]
    fn documents_that_say_nothing_and_byte_order_marks_do_not_count() {
        let one = "{a: Integer(1) 1, b: Text x}";
        for text in [
            "a: 1\nb: x\n---\n",
            "a: 1\nb: x\n--- # the end\n# of it\n",
            "a: 1\nb: x\n...\n---\n...\n",
            "---\n---\na: 1\nb: x\n",
            "\u{feff}a: 1\nb: x\n",
            "\u{feff}---\na: 1\nb: x\n",
            "---\n\u{feff}a: 1\nb: x\n",
            "---\u{feff}\na: 1\nb: x\n",
            "--- \u{feff}\r\na: 1\r\nb: x\r\n",
            "# a head\n\u{feff}# and a file\na: 1\n\u{feff}b: x\n",
            "%YAML 1.2\n---\n{a: 1, b: x}\n---",
        ] {
            assert_eq!(read(text), one, "{text:?}");
        }
        assert_eq!(read("a: 'x\u{feff}y'"), "{a: Text x\u{feff}y}", "inside of a value it is a character");
        let root = parse("\u{feff}a: 1\n\u{feff}b: 2\n").unwrap();
        let Value::Map(entries) = root.value else { panic!("not a map") };
        assert_eq!(entries[1].key_place, Place { line: 2, column: 1, width: 1 });
    }

    #[test]
    fn aliases_that_multiply_are_refused_soon() {
        let tenfold = |level: usize| {
            let below = format!("*a{}", level - 1);
            format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "))
        };
        let bomb: String = (1..12).map(tenfold).collect();
        assert!(parse(&format!("a0: &a0 x\n{bomb}")).is_err());
        assert!(parse("a: &a [*a]").is_err());
        assert!(parse(&"[".repeat(10_000)).is_err());
    }
}
