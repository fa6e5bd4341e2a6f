//! A mapping of the YAML, read key by key. What is wrong is noted with its place, and a default read in its stead, so
//! that one reading finds every mistake. [`Section::finish`] notes the keys that nobody asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use proxq_protocol::GoDuration;

use super::error::{Found, Place, hide_userinfo};
use super::raw::{Entry, Kind, Node, Scalar, Value};
use super::substitute::substitute;
use super::{size, suggest};

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

/// A value as messages show it: in quotes, and without credentials.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", hide_userinfo(text))
}

/// A mapping, or the lack of one, which reads like an empty one.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    at: At,
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
                reading.note(&at, format!("expected a mapping (key: value), found {}", kind_of(other)));
                &[]
            }
        };
        let section = Self { reading, at, entries, supported: Vec::new(), later: Vec::new() };
        section.note_repeated_keys();
        section
    }

    fn note_repeated_keys(&self) {
        let mut first_lines = HashMap::new();
        for entry in self.entries {
            if let Some(line) = first_lines.insert(&entry.key, entry.key_place.line) {
                self.reading.note(&self.at_key(entry), format!("is written twice; the first is in line {line}"));
            }
        }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// Whether a key is written with a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && !matches!(entry.value.value, Value::Null))
    }

    /// The section under a key.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        match self.entry(key) {
            Some(entry) => Section::new(self.reading, self.at_value(entry), Some(&entry.value)),
            None => Section::new(self.reading, self.at_of(key), None),
        }
    }

    /// The sections in the list under a key; the list must have one at least.
    pub(super) fn required_sections(&mut self, key: &'static str, missing: &str) -> Vec<Section<'a>> {
        if !self.has(key) {
            self.reading.note(&self.at_of(key), missing);
        }
        let Some(items) = self.items(key) else { return Vec::new() };
        if items.is_empty() {
            self.reading.note(&self.at_of(key), missing);
        }
        let section = |(node, at): (&'a Node, At)| {
            let could_be_one = matches!(node.value, Value::Map(_) | Value::Null);
            let section = Section::new(self.reading, at, Some(node));
            could_be_one.then_some(section) // else it is noted already, and nothing can be missing from it
        };
        items.into_iter().filter_map(section).collect()
    }

    /// A text; `None` if there is none, or an empty one.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Written<String>> {
        let (scalar, at) = self.scalar(key, "a text")?;
        (!scalar.text.is_empty()).then_some(Written { value: scalar.text, at })
    }

    /// A text that must be there.
    pub(super) fn required_text(&mut self, key: &'static str) -> Option<Written<String>> {
        if !self.has(key) {
            self.entry(key);
            self.reading.note(&self.at_of(key), "is required");
            return None;
        }
        let (scalar, at) = self.scalar(key, "a text")?;
        if scalar.text.is_empty() {
            self.reading.note(&at, "is required, but empty");
            return None;
        }
        Some(Written { value: scalar.text, at })
    }

    /// The texts of a list; `None` if there is no list.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Written<String>>> {
        let items = self.items(key)?;
        let text = |(node, at): (&Node, At)| {
            let scalar = self.scalar_of(node, &at, "a text")?;
            Some(Written { value: scalar.text, at })
        };
        Some(items.into_iter().filter_map(text).collect())
    }

    /// A text that `check` turns into a value; `None` if there is none or it is wrong.
    pub(super) fn parsed<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Written<T>> {
        let written = self.text(key)?;
        self.check(written, check)
    }

    /// The value that `check` makes of a text; `None` if it is wrong.
    pub(super) fn check<T, E: fmt::Display>(
        &self,
        written: Written<String>,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Written<T>> {
        match check(&written.value) {
            Ok(value) => Some(Written { value, at: written.at }),
            Err(error) => {
                self.reading.note(&written.at, format!("{} {error}", shown(&written.value)));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<Written<T>> {
        let written = self.text(key)?;
        self.check(written, |word| {
            let chosen = choices.iter().find_map(|(name, value)| (*name == word).then_some(*value));
            chosen.ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                format!("is none of {}{}", names.join(", "), did_you_mean(word, names.iter().copied()))
            })
        })
    }

    /// A duration; 0 is the default.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        let Some((scalar, at)) = self.scalar(key, "a duration such as 30s") else { return default };
        let problem = match scalar.text.parse::<GoDuration>().map(GoDuration::to_std) {
            Ok(Some(Duration::ZERO)) => return default,
            Ok(Some(duration)) => return duration,
            Ok(None) => "must not be negative".to_owned(),
            Err(error) => format!("is not a duration: {error}"),
        };
        self.reading.note(&at, format!("{} {problem}", shown(&scalar.text)));
        default
    }

    /// A size in bytes; 0 is the default.
    pub(super) fn size(&mut self, key: &'static str, default: u64) -> u64 {
        let Some(Written { value, at }) = self.signed_size(key) else { return default };
        match u64::try_from(value) {
            Ok(0) => default,
            Ok(bytes) => bytes,
            Err(_) => {
                self.reading.note(&at, format!("{value} must not be negative"));
                default
            }
        }
    }

    /// A size in bytes as it is written, 0 and negative ones included.
    pub(super) fn signed_size(&mut self, key: &'static str) -> Option<Written<i64>> {
        let (scalar, at) = self.scalar(key, "a size such as 10485760 or 10MiB")?;
        let read = match scalar.kind {
            Kind::Integer(bytes) => i64::try_from(bytes).map_err(|_| size::SizeError::TooLarge),
            Kind::Text | Kind::Bool(_) | Kind::Fraction => size::parse(&scalar.text),
        };
        read.map(|value| Written { value, at: at.clone() })
            .map_err(|error| self.reading.note(&at, format!("{} is not a size: {error}", shown(&scalar.text))))
            .ok()
    }

    /// A whole number, `least` or more.
    pub(super) fn count(&mut self, key: &'static str, least: u32) -> Option<Written<u32>> {
        let (scalar, at) = self.scalar(key, "a whole number")?;
        let Kind::Integer(number) = scalar.kind else {
            self.reading.note(&at, format!("expected a whole number, found {}", scalar.describe()));
            return None;
        };
        let count = u32::try_from(number).ok().filter(|count| *count >= least);
        if count.is_none() {
            let problem = match number {
                ..0 => "must not be negative".to_owned(),
                _ if number < i128::from(least) => format!("must be at least {least}"),
                _ => format!("must be at most {}", u32::MAX),
            };
            self.reading.note(&at, format!("{number} {problem}"));
        }
        count.map(|value| Written { value, at })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some((scalar, at)) = self.scalar(key, "true or false") else { return default };
        if let Kind::Bool(value) = scalar.kind {
            return value;
        }
        self.reading.note(&at, format!("expected true or false, found {}", scalar.describe()));
        default
    }

    /// A key whose time has not come: with a value, it is refused with a hint at what to do without it.
    pub(super) fn later(&mut self, key: &'static str, hint: &str) {
        self.later_unless(key, hint, |value| matches!(value, Value::Null));
    }

    /// A key whose time has not come: refused, unless its value asks for nothing that is missing.
    pub(super) fn later_unless(&mut self, key: &'static str, hint: &str, is_harmless: impl Fn(&Value) -> bool) {
        self.later.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key);
        if let Some(entry) = entry.filter(|entry| !is_harmless(&entry.value.value)) {
            self.reading.note(&self.at_key(entry), format!("is not supported yet; {hint}"));
        }
    }

    /// Notes the keys that were not asked for.
    pub(super) fn finish(self) {
        for entry in self.entries {
            let mut known = self.supported.iter().chain(&self.later).copied();
            if known.clone().any(|key| key == entry.key) {
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
                self.reading.note(&at, format!("expected a list, found {}", kind_of(other)));
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
            self.reading.note(at, format!("expected {expected}, found {}", kind_of(&node.value)));
            return None;
        };
        if scalar.kind != Kind::Text {
            return Some(scalar.clone());
        }
        match substitute(&scalar.text, self.reading.env) {
            Ok(text) if text == scalar.text => Some(scalar.clone()),
            Ok(text) => Some(Scalar { kind: kind_of_substituted(&text), text: text.into_owned() }),
            Err(error) => {
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
        if self.at.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at.path) }
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

/// `; did you mean "…"?`, where something near is known.
fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    suggest::nearest(written, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

/// What a substituted text is taken for. YAML saw the name of the variable, not its value.
fn kind_of_substituted(text: &str) -> Kind {
    match text {
        "true" => Kind::Bool(true),
        "false" => Kind::Bool(false),
        _ => text.parse().map_or(Kind::Text, Kind::Integer),
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Scalar(scalar) => scalar.describe(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

impl Scalar {
    fn describe(&self) -> String {
        match self.kind {
            Kind::Text => format!("the text {}", shown(&self.text)),
            Kind::Bool(_) => self.text.clone(),
            Kind::Integer(_) | Kind::Fraction => format!("the number {}", self.text),
        }
    }
}
