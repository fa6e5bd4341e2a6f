//! A mapping of the YAML, read key by key. A mistake is noted with its place, and the default is read instead, so that one
//! reading finds every mistake. [`Section::finish`] notes the unknown keys.
//!
//! `section/values.rs` reads the values.

mod values;

use std::cell::RefCell;
use std::collections::HashMap;

use super::error::{Found, Place};
use super::hiding::{hide_in_url, hide_in_urls, is_secret, is_url_key};
use super::raw::{Entry, Kind, Node, Scalar, Value};
use super::substitute::substitute;
use super::suggest;

/// What the keys at the top begin with that hold anchors for other keys, and mean nothing themselves.
pub(super) const EXTENSION: &str = "x-";

/// One reading of a text: where variables come from, and what has been found wrong so far.
pub(super) struct Reading<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    found: RefCell<Vec<Found>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, found: RefCell::default() }
    }

    /// Notes what is wrong with the value at a place.
    pub(super) fn note(&self, at: &At, message: impl Into<String>) {
        let mistake = Found { place: Some(at.place), path: at.path.clone(), message: message.into() };
        self.found.borrow_mut().push(mistake);
    }

    pub(super) fn into_mistakes(self) -> Vec<Found> {
        self.found.into_inner()
    }
}

/// Where a value stands: in the text, and in the tree of keys.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) path: String,
    pub(super) place: Place,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// A value as messages show it: in quotes, cut where it is very long, and without credentials.
pub(super) fn shown(text: &str) -> String {
    quoted(&hide_in_urls(text))
}

/// The value at a place as messages show it, or `the value` where it is secret.
pub(super) fn shown_at(at: &At, text: &str) -> String {
    if is_secret(&at.path) {
        "the value".to_owned()
    } else if is_url_key(&at.path) {
        shown_url(text)
    } else {
        shown(text)
    }
}

/// A URL as messages show it, valid or not.
pub(crate) fn shown_url(url: &str) -> String {
    quoted(&hide_in_url(url))
}

fn quoted(text: &str) -> String {
    /// Longer than any value that a person writes.
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A mapping. Where the key is not written, it is empty.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    at: At,
    /// Whether there is a mapping, if only an empty one.
    stands: bool,
    entries: &'a [Entry],
    supported: Vec<&'static str>,
    later: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole text.
    pub(super) fn root(reading: &'a Reading<'a>, node: &'a Node) -> Self {
        let at = At { path: String::new(), place: node.place };
        Self::new(reading, at, Some(node))
    }

    fn new(reading: &'a Reading<'a>, at: At, node: Option<&'a Node>) -> Self {
        let entries: &[Entry] = match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries,
            None | Some(Value::Null) => &[],
            Some(other) => {
                reading.note(&at, format!("expected a mapping (key: value), found {}", kind_of(other, &at)));
                &[]
            }
        };
        let stands = node.is_some_and(|node| matches!(node.value, Value::Map(_)));
        let section = Self { reading, at, stands, entries, supported: Vec::new(), later: Vec::new() };
        section.note_repeated_keys();
        section
    }

    /// Notes what is wrong with the value at a place.
    pub(super) fn note(&self, at: &At, message: impl Into<String>) {
        self.reading.note(at, message);
    }

    fn note_repeated_keys(&self) {
        let mut first_lines = HashMap::new();
        for entry in self.entries {
            if let Some(line) = first_lines.insert(&entry.key, entry.key_place.line) {
                self.reading.note(&self.at_key(entry), format!("is written twice; the first is in line {line}"));
            }
        }
    }

    /// Whether the mapping is written, if only an empty one.
    pub(super) fn stands(&self) -> bool {
        self.stands
    }

    /// Whether a key is written with a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && !matches!(entry.value.value, Value::Null))
    }

    /// Notes what is wrong with a mapping that has no keys, if it is one.
    pub(super) fn note_if_empty(&self, message: &str) {
        if self.stands && self.entries.is_empty() {
            self.note(&self.at, message);
        }
    }

    /// Whether a key is written, with or without a value.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The section under a key.
    pub(super) fn section_under(&mut self, key: &'static str) -> Section<'a> {
        match self.entry(key) {
            Some(entry) => Section::new(self.reading, self.at_value(entry), Some(&entry.value)),
            None => Section::new(self.reading, self.at_of(key), None),
        }
    }

    /// The sections in the list under a key; the list must have one at least.
    pub(super) fn required_sections(&mut self, key: &'static str, missing: &str) -> Vec<Section<'a>> {
        let is_empty = self
            .entries
            .iter()
            .any(|entry| entry.key == key && matches!(&entry.value.value, Value::List(items) if items.is_empty()));
        if is_empty || !self.has(key) {
            self.reading.note(&self.at_of(key), missing);
        }
        self.sections(key)
    }

    /// The sections in the list under a key; none where there is no list.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(items) = self.items(key) else { return Vec::new() };
        let section = |(node, at): (&'a Node, At)| {
            let could_be_one = matches!(node.value, Value::Map(_) | Value::Null);
            let section = Section::new(self.reading, at, Some(node));
            could_be_one.then_some(section) // else it is noted already, and nothing can be missing from it
        };
        items.into_iter().filter_map(section).collect()
    }

    /// A key whose feature comes later: with a value, it is refused with a hint at what to do without it.
    pub(super) fn refuse_for_now(&mut self, key: &'static str, hint: &str) {
        self.later.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key);
        if let Some(entry) = entry.filter(|entry| !matches!(entry.value.value, Value::Null)) {
            self.reading.note(&self.at_key(entry), format!("is not supported yet; {hint}"));
        }
    }

    /// Notes the unknown keys: those that were not read.
    pub(super) fn finish(self) {
        for entry in self.entries {
            let mut known = self.supported.iter().chain(&self.later).copied();
            let is_extension = self.at.path.is_empty() && entry.key.starts_with(EXTENSION);
            if is_extension || known.clone().any(|key| key == entry.key) {
                continue;
            }
            let hint = match suggest::nearest(&entry.key, &mut known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", self.supported.join(", ")),
            };
            self.reading.note(&self.at_key(entry), format!("unknown key; {hint}"));
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.supported.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The items of a list; `None` if there is no list.
    fn items(&mut self, key: &'static str) -> Option<Vec<(&'a Node, At)>> {
        let entry = self.entry(key)?;
        let at = self.at_value(entry);
        match &entry.value.value {
            Value::Null => None,
            Value::List(items) => {
                let at_item = |(index, node): (usize, &'a Node)| {
                    (node, At { path: format!("{}[{index}]", at.path), place: node.place })
                };
                Some(items.iter().enumerate().map(at_item).collect())
            }
            other @ (Value::Scalar(_) | Value::Map(_)) => {
                self.reading.note(&at, format!("expected a list, found {}", kind_of(other, &at)));
                None
            }
        }
    }

    /// A single value with its variables replaced; `None` if there is none, or it is wrong.
    fn scalar(&mut self, key: &'static str, expected: &str) -> Option<(Scalar, At)> {
        let entry = self.entry(key)?;
        if matches!(entry.value.value, Value::Null) {
            return None;
        }
        let at = self.at_value(entry);
        let scalar = self.scalar_of(&entry.value, &at, expected)?;
        Some((scalar, at))
    }

    fn scalar_of(&self, node: &Node, at: &At, expected: &str) -> Option<Scalar> {
        let Value::Scalar(scalar) = &node.value else {
            self.reading.note(at, format!("expected {expected}, found {}", kind_of(&node.value, at)));
            return None;
        };
        if scalar.kind != Kind::Text {
            return Some(scalar.clone());
        }
        match substitute(&scalar.text, self.reading.env) {
            Ok(text) if text == scalar.text => Some(scalar.clone()),
            Ok(text) => Some(Scalar { kind: kind_of_substituted(&text), text: text.into_owned() }),
            Err(error) => {
                let error = if is_secret(&at.path) { error.without_values() } else { error };
                self.reading.note(at, error.to_string());
                None
            }
        }
    }

    /// Where a key stands; the whole section where it does not.
    pub(super) fn at_of(&self, key: &str) -> At {
        match self.entries.iter().find(|entry| entry.key == key) {
            Some(entry) => self.at_value(entry),
            None => At { path: self.path_of(key), place: self.at.place },
        }
    }

    fn path_of(&self, key: &str) -> String {
        let key = key.escape_debug(); // an unknown key may be anything
        if self.at.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.at.path) }
    }

    fn at_key(&self, entry: &Entry) -> At {
        At { path: self.path_of(&entry.key), place: entry.key_place }
    }

    fn at_value(&self, entry: &Entry) -> At {
        // Where a value is missing, or a block begins on the next line, its key is what there is to show.
        let own = matches!(entry.value.value, Value::Scalar(_) | Value::List(_));
        At { path: self.path_of(&entry.key), place: if own { entry.value.place } else { entry.key_place } }
    }
}

/// The kind of a text after its variables were replaced: YAML saw the name of the variable, not its value.
fn kind_of_substituted(text: &str) -> Kind {
    match text {
        "true" => Kind::Bool(true),
        "false" => Kind::Bool(false),
        _ if text.parse::<f64>().is_ok_and(f64::is_finite) => text.parse().map_or(Kind::Fraction, Kind::Integer),
        _ => Kind::Text,
    }
}

fn kind_of(value: &Value, at: &At) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Scalar(scalar) => scalar.describe(at),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

impl Scalar {
    fn describe(&self, at: &At) -> String {
        match self.kind {
            _ if is_secret(&at.path) => "a single value".to_owned(),
            Kind::Text => format!("the text {}", shown(&self.text)),
            Kind::Bool(_) => self.text.clone(),
            Kind::Integer(_) | Kind::Fraction => format!("the number {}", self.text),
        }
    }
}
