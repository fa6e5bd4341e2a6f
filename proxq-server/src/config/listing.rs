//! All keys of a configuration with their values, as a tree: what the effective configuration, its comparison with
//! another, the JSON Schema and the example are made from.

use super::form::Form;
use super::keys::globals::{self, Globals};
use super::keys::{Key, Keys};
use super::section::Section;
use super::yaml_value::YamlValue;
use super::{Config, UpstreamUrl};

/// A key and what is under it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) content: Content,
    /// Whether it belongs in the effective configuration; what is under it may not, all the same.
    pub(super) applies: bool,
}

/// What is under a key.
#[derive(Debug)]
pub(super) enum Content {
    /// A value.
    Value(Form, YamlValue),
    /// Keys.
    Section(Vec<Entry>),
    /// Sections, each with the name that tells it from the others.
    Sections(Vec<(String, Vec<Entry>)>),
}

/// The keys of a configuration.
pub(super) fn listing(config: &Config) -> Vec<Entry> {
    let mut listing = Listing::default();
    globals::declare(&mut listing, &mut Globals::of(config.clone()));
    listing.entries
}

/// Every key with its default, and one upstream.
pub(super) fn defaults() -> Vec<Entry> {
    listing(&Config::for_upstream(UpstreamUrl::new("http://127.0.0.1:3000").expect("a scheme and a host")))
}

impl Entry {
    /// The value as the example has it; `None` where sections follow.
    pub(super) fn example(&self) -> Option<String> {
        self.key.suggestion.map(str::to_owned).or_else(|| self.default())
    }

    /// The default as people write it; `None` where sections follow.
    pub(super) fn default(&self) -> Option<String> {
        let Content::Value(form, value) = &self.content else { return None };
        Some(match (self.key.example, form) {
            (Some(text), _) => text.to_owned(),
            (None, Form::Duration) => without_zeros(&value.text).to_owned(),
            (None, _) => value.text.clone(),
        })
    }
}

/// A duration as people write it: `1h0m0s` is `1h`.
fn without_zeros(duration: &str) -> &str {
    let minutes = duration.strip_suffix("0s").filter(|rest| rest.ends_with('m')).unwrap_or(duration);
    minutes.strip_suffix("0m").filter(|rest| rest.ends_with('h')).unwrap_or(minutes)
}

/// Collects the keys.
#[derive(Default)]
struct Listing {
    entries: Vec<Entry>,
    is_left_out: bool,
}

impl Listing {
    fn push(&mut self, key: Key, content: Content) {
        self.entries.push(Entry { key, content, applies: !self.is_left_out });
    }
}

fn listed(inside: impl FnOnce(&mut Listing)) -> Vec<Entry> {
    let mut listing = Listing::default();
    inside(&mut listing);
    listing.entries
}

impl Keys for Listing {
    fn key<T>(
        &mut self,
        key: Key,
        form: Form,
        field: &mut T,
        _: impl FnOnce(&mut Section<'_>, &'static str, &mut T),
        show: impl FnOnce(&T) -> YamlValue,
    ) {
        self.push(key, Content::Value(form, show(field)));
    }

    fn section(&mut self, key: Key, inside: impl FnOnce(&mut Self)) {
        self.push(key, Content::Section(listed(inside)));
    }

    fn optional_section<T: Clone + Default>(
        &mut self,
        key: Key,
        field: &mut Option<T>,
        inside: impl FnOnce(&mut Self, &mut T),
    ) {
        let mut value = field.clone().unwrap_or_default();
        self.only_if(field.is_some(), |listing| listing.section(key, |listing| inside(listing, &mut value)));
    }

    fn sections<T>(
        &mut self,
        key: Key,
        _: &str,
        items: &mut Vec<T>,
        _: impl Fn() -> T,
        inside: impl Fn(&mut Self, &mut T),
        name: impl Fn(&T) -> String,
    ) {
        let sections = items.iter_mut().map(|item| (name(item), listed(|listing| inside(listing, item)))).collect();
        self.push(key, Content::Sections(sections));
    }

    fn optional_sections<T>(
        &mut self,
        key: Key,
        items: &mut Vec<T>,
        empty: impl Fn() -> T,
        inside: impl Fn(&mut Self, &mut T),
        name: impl Fn(&T) -> String,
    ) {
        // One item shows which keys there are.
        let mut shown = if items.is_empty() { vec![empty()] } else { Vec::new() };
        self.only_if(!items.is_empty(), |listing| {
            let items = if items.is_empty() { &mut shown } else { items };
            listing.sections(key, "", items, empty, inside, name);
        });
    }

    fn only_if(&mut self, applies: bool, keys: impl FnOnce(&mut Self)) {
        let outside = std::mem::replace(&mut self.is_left_out, !applies);
        keys(self);
        self.is_left_out = outside;
    }

    fn later(&mut self, _: &[(&'static str, &str)]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (duration, short) in [
            ("1h0m0s", "1h"),
            ("720h0m0s", "720h"),
            ("5m0s", "5m"),
            ("30s", "30s"),
            ("1h0m30s", "1h0m30s"),
            ("0s", "0s"),
        ] {
            assert_eq!(without_zeros(duration), short);
        }
    }

    #[test]
    fn keys_are_listed_with_what_is_said_of_them_and_their_defaults() {
        let root = defaults();
        let shown = |path: &str| {
            let (mut entries, mut found) = (&root, None);
            for step in path.split('.') {
                let entry = entries.iter().find(|entry| entry.key.name == step).unwrap_or_else(|| panic!("{path}"));
                match &entry.content {
                    Content::Section(inside) => entries = inside,
                    Content::Sections(items) => entries = &items[0].1,
                    Content::Value(..) => {}
                }
                found = Some(entry);
            }
            let entry = found.unwrap();
            (entry.key.about, entry.example())
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
        let empty = Some("\"\"".to_owned());
        assert_eq!(shown("redis.tls.caFile"), ("Authorities to trust instead of the system's.", empty));
        assert_eq!(
            shown("upstreams.url"),
            ("http or https, with a path if needed.", Some("\"http://127.0.0.1:3000\"".to_owned()))
        );
        assert_eq!(shown("upstreams.pathFilter.patterns").1.as_deref(), Some("[]"));
        assert!(shown("upstreams.delivery").0.starts_with("What may be sent twice. `auto`: what the upstream has not"));
    }
}
