//! The keys of the configuration, each declared once: in [`globals`], [`store`], [`redis`], [`tls`], [`admin`], [`auth`],
//! [`telemetry`], [`upstreams`] and [`flow`].
//!
//! A declaration says what a key is called, what it is for, what may be written and which field it fills. It is run with
//! one of two implementations of [`Keys`]: [`Section`] reads the file into the fields, and [`super::listing`] lists the
//! fields. The list is the source of the effective configuration, the JSON Schema, the example and the rule for reloads.
//! The default is the value that the field has before it is read.
//!
//! To add a key: give its field and default to [`super::Config`] or a part of it, declare the key here, write its row in
//! `docs/configuration.md`, and run `make schema`.

pub(crate) mod admin;
pub(super) mod auth;
mod encryption;
mod flow;
pub(super) mod globals;
mod redis;
mod secret;
mod store;
mod telemetry;
mod tls;
pub(super) mod upstreams;

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use proxq_protocol::GoDuration;

use super::form::Form;
use super::section::Section;
use super::size;
use super::yaml_value::YamlValue;
use crate::job::QueueName;

/// The description of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The comment of the example, and the description in the schema; may be empty.
    pub(super) about: &'static str,
    /// Whether a change needs a restart; of a section, a change of any key in it.
    pub(super) is_fixed: bool,
    /// Whether a restart is needed where it is given a value, or has none any more; not for another value.
    pub(super) is_fixed_switch: bool,
    /// Whether the example has it as a comment.
    pub(super) is_commented_out: bool,
    /// What the example writes in place of the default as `proxq check` prints it.
    pub(super) example: Option<&'static str>,
    /// What the example has as a comment, because the default is no value at all.
    pub(super) suggestion: Option<&'static str>,
}

/// A key that a running server can take over.
pub(super) const fn key(name: &'static str, about: &'static str) -> Key {
    Key {
        name,
        about,
        is_fixed: false,
        is_fixed_switch: false,
        is_commented_out: false,
        example: None,
        suggestion: None,
    }
}

impl Key {
    /// A change needs a restart.
    pub(super) const fn fixed(self) -> Self {
        Self { is_fixed: true, ..self }
    }

    /// A running server can take another value over, but neither a first one nor none.
    pub(super) const fn fixed_switch(self) -> Self {
        Self { is_fixed_switch: true, ..self }
    }

    /// The example has it as a comment, because writing the default does more than leaving it out.
    pub(super) const fn commented_out(self) -> Self {
        Self { is_commented_out: true, ..self }
    }

    /// The example writes this, which means the default.
    pub(super) const fn example(self, text: &'static str) -> Self {
        Self { example: Some(text), ..self }
    }

    /// The example has it as a comment with this value, because the default is no value at all.
    pub(super) const fn suggested(self, text: &'static str) -> Self {
        Self { is_commented_out: true, suggestion: Some(text), ..self }
    }
}

/// A pass over all keys. The order of the declarations is that of the effective configuration and the example.
pub(super) trait Keys: Sized {
    /// A key with a value. `read` changes the field to what is written under this name, if anything is; `show` writes the
    /// field.
    fn key<T>(
        &mut self,
        key: Key,
        form: Form,
        field: &mut T,
        read: impl FnOnce(&mut Section<'_>, &'static str, &mut T),
        show: impl FnOnce(&T) -> YamlValue,
    );

    /// A mapping with keys of its own.
    fn section(&mut self, key: Key, inside: impl FnOnce(&mut Self));

    /// A mapping that is off unless it is written: an empty one turns it on with every default. Left out of the effective
    /// configuration where it is off.
    fn optional_section<T: Clone + Default>(
        &mut self,
        key: Key,
        field: &mut Option<T>,
        inside: impl FnOnce(&mut Self, &mut T),
    );

    /// A list of mappings. Reading adds an `empty` item for each; `missing` is the mistake of a list without any, `name`
    /// is what an item is known by.
    fn sections<T>(
        &mut self,
        key: Key,
        missing: &str,
        items: &mut Vec<T>,
        empty: impl Fn() -> T,
        inside: impl Fn(&mut Self, &mut T),
        name: impl Fn(&T) -> String,
    );

    /// The same for a list that need not be written. Left out of the effective configuration where it has no items.
    fn optional_sections<T>(
        &mut self,
        key: Key,
        items: &mut Vec<T>,
        empty: impl Fn() -> T,
        inside: impl Fn(&mut Self, &mut T),
        name: impl Fn(&T) -> String,
    );

    /// Keys that can always be written, but are left out of the effective configuration unless `applies`.
    fn only_if(&mut self, applies: bool, keys: impl FnOnce(&mut Self));

    /// Keys whose features come later, each with what to do without it.
    fn later(&mut self, keys: &[(&'static str, &str)]);

    /// A key that is read together with the one before it.
    fn read_already<T>(&mut self, key: Key, form: Form, field: &mut T, show: impl FnOnce(&T) -> YamlValue) {
        self.key(key, form, field, |_, _, _| {}, show);
    }

    /// A key that may have no value. Left out of the effective configuration where it has none.
    fn optional<T>(
        &mut self,
        key: Key,
        form: Form,
        field: &mut Option<T>,
        read: impl FnOnce(&mut Section<'_>, &'static str) -> Option<T>,
        show: impl FnOnce(&T) -> YamlValue,
    ) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut Option<T>| *field = read(section, name);
        let show = |field: &Option<T>| field.as_ref().map_or_else(|| YamlValue::plain("null"), show);
        self.only_if(field.is_some(), |keys| keys.key(key, form, field, read, show));
    }

    /// A text that `parse` makes a value of.
    fn text<T, E: fmt::Display>(
        &mut self,
        key: Key,
        field: &mut T,
        parse: impl FnOnce(&str) -> Result<T, E>,
        show: impl FnOnce(&T) -> YamlValue,
    ) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut T| {
            if let Some(written) = section.parsed(name, parse) {
                *field = written.value;
            }
        };
        self.key(key, Form::Text, field, read, show);
    }

    /// One of a few words.
    fn choice<T: Copy + PartialEq>(&mut self, key: Key, field: &mut T, words: &[(&'static str, T)]) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut T| {
            if let Some(written) = section.choice(name, words) {
                *field = written.value;
            }
        };
        self.key(key, choice_of(words), field, read, |field| YamlValue::plain(word_of(words, *field)));
    }

    /// `true` or `false`, which stand for `on` and for `off`.
    fn switch<T: Copy + PartialEq>(&mut self, key: Key, field: &mut T, off: T, on: T) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut T| {
            *field = if section.boolean(name, *field == on) { on } else { off };
        };
        self.key(key, Form::Boolean, field, read, |field| YamlValue::plain(*field == on));
    }

    /// A whole number, `least` or more.
    fn count<T: TryFrom<u32> + fmt::Display>(&mut self, key: Key, field: &mut T, least: u32) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut T| {
            if let Some(number) = section.count(name, least).and_then(|written| T::try_from(written.value).ok()) {
                *field = number;
            }
        };
        self.key(key, Form::Count(least), field, read, |field| YamlValue::plain(field));
    }

    /// A whole number from 1 on, or none.
    fn optional_count(&mut self, key: Key, field: &mut Option<NonZeroU32>) {
        let read = |section: &mut Section<'_>, name: &'static str| NonZeroU32::new(section.count(name, 1)?.value);
        self.optional(key, Form::Count(1), field, read, |count| YamlValue::plain(count));
    }

    /// A number above 0, at most 1.
    fn fraction(&mut self, key: Key, field: &mut f64) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut f64| {
            if let Some(fraction) = section.fraction(name) {
                *field = fraction;
            }
        };
        self.key(key, Form::Fraction, field, read, |field| YamlValue::plain(field));
    }

    /// A duration; 0 is the default.
    fn duration(&mut self, key: Key, field: &mut Duration) {
        let default = *field;
        self.duration_or(key, field, default);
    }

    /// A duration; 0 is `default`.
    fn duration_or(&mut self, key: Key, field: &mut Duration, default: Duration) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut Duration| {
            *field = section.duration(name, default);
        };
        self.key(key, Form::Duration, field, read, |field| YamlValue::plain(GoDuration::from(*field)));
    }

    /// A size in bytes; 0 is the default.
    fn size(&mut self, key: Key, field: &mut u64) {
        let read = |section: &mut Section<'_>, name: &'static str, field: &mut u64| *field = section.size(name, *field);
        self.key(key, Form::Size, field, read, |field| YamlValue::plain(size::display(*field)));
    }
}

/// A text that may be any.
#[expect(clippy::unnecessary_wraps, reason = "it stands where others may refuse a text")]
fn as_written(text: &str) -> Result<String, Infallible> {
    Ok(text.to_owned())
}

/// The name of a queue.
fn queue_name(text: &str) -> Result<QueueName, &'static str> {
    QueueName::new(text).ok_or("is not a queue name: letters, digits and . _ : - make one")
}

/// The form of a key with these words.
fn choice_of<T>(words: &[(&'static str, T)]) -> Form {
    Form::Choice(words.iter().map(|(word, _)| *word).collect())
}

/// The word for a value.
fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, of)| *of == value).expect("every value has a word").0
}
