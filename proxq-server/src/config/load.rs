//! From the text of a file to [`Config`]: reads every key, applies the rules between them, and reports all mistakes
//! together.

mod rules;

use super::error::{ConfigErrors, Found};
use super::form::Form;
use super::keys::globals::{self, Globals};
use super::keys::{Key, Keys};
use super::section::{Reading, Section};
use super::yaml_value::YamlValue;
use super::{Config, UpstreamUrl, raw};

/// A configuration without mistakes, and where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it was read from; `None` where there is none.
    pub file: Option<String>,
    /// Whether that file has `listenAddress`.
    pub says_address: bool,
    /// Why this store is used, for the log.
    pub store_reason: &'static str,
    /// The environment file that variables were taken from, in addition to the environment; `None` for the server itself.
    pub variables_from: Option<String>,
}

impl Loaded {
    /// One upstream under `/` and every default, without a file.
    #[must_use]
    pub fn for_upstream(url: UpstreamUrl) -> Self {
        Self {
            config: Config::for_upstream(url),
            file: None,
            says_address: false,
            store_reason: "no configuration file",
            variables_from: None,
        }
    }
}

/// Reads a configuration. `source_name` is what messages call the text; `env` looks up environment variables.
///
/// # Errors
/// Everything that is wrong with the text. Only text that is not YAML hides mistakes after the first.
pub(crate) fn load(
    source_name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let tree = raw::parse(text).map_err(|(place, message)| {
        ConfigErrors::in_text(source_name, text, vec![Found { place, path: String::new(), message }])
    })?;
    let reading = Reading::new(env);
    let globals = read(&reading, &tree);
    let mistakes = reading.into_mistakes();
    if !mistakes.is_empty() {
        return Err(ConfigErrors::in_text(source_name, text, mistakes));
    }
    let Globals { mut config, says_address, admin_open_at: _, store, tokens, upstreams } = globals;
    config.auth.tokens = tokens.into_iter().map(|read| read.token).collect();
    let (store, store_reason) = store.into_store();
    let upstreams = upstreams.into_iter().map(|read| read.upstream).collect();
    let config = Config { store, upstreams, ..config };
    Ok(Loaded { config, file: Some(source_name.to_owned()), says_address, store_reason, variables_from: None })
}

/// Reads the whole tree. After a mistake the result is not to be used: stand-ins fill what is missing.
fn read(reading: &Reading<'_>, tree: &raw::Node) -> Globals {
    let mut root = Section::root(reading, tree);
    let mut read = Globals::of(Config::without_upstreams());
    globals::declare(&mut root, &mut read);
    root.finish();
    rules::check(reading, &read);
    read
}

impl Keys for Section<'_> {
    fn key<T>(
        &mut self,
        key: Key,
        _: Form,
        field: &mut T,
        read: impl FnOnce(&mut Section<'_>, &'static str, &mut T),
        _: impl FnOnce(&T) -> YamlValue,
    ) {
        read(self, key.name, field);
    }

    fn section(&mut self, key: Key, inside: impl FnOnce(&mut Self)) {
        let mut section = self.section_under(key.name);
        inside(&mut section);
        section.finish();
    }

    fn optional_section<T: Clone + Default>(
        &mut self,
        key: Key,
        field: &mut Option<T>,
        inside: impl FnOnce(&mut Self, &mut T),
    ) {
        let is_on = self.has(key.name);
        let mut value = T::default();
        self.section(key, |section| inside(section, &mut value));
        *field = is_on.then_some(value);
    }

    fn sections<T>(
        &mut self,
        key: Key,
        missing: &str,
        items: &mut Vec<T>,
        empty: impl Fn() -> T,
        inside: impl Fn(&mut Self, &mut T),
        _: impl Fn(&T) -> String,
    ) {
        for mut section in self.required_sections(key.name, missing) {
            let mut item = empty();
            inside(&mut section, &mut item);
            section.finish();
            items.push(item);
        }
    }

    fn optional_sections<T>(
        &mut self,
        key: Key,
        items: &mut Vec<T>,
        empty: impl Fn() -> T,
        inside: impl Fn(&mut Self, &mut T),
        _: impl Fn(&T) -> String,
    ) {
        for mut section in self.sections(key.name) {
            let mut item = empty();
            inside(&mut section, &mut item);
            section.finish();
            items.push(item);
        }
    }

    fn only_if(&mut self, _: bool, keys: impl FnOnce(&mut Self)) {
        keys(self);
    }

    fn later(&mut self, keys: &[(&'static str, &str)]) {
        for (key, hint) in keys {
            self.refuse_for_now(key, hint);
        }
    }
}

#[cfg(test)]
mod tests;
