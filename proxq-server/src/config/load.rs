//! From the text of a file to [`Config`]: reads every section, applies the rules between them, and reports all mistakes
//! together.

mod globals;
mod redis;
mod rules;
mod tls;
mod upstreams;

use std::collections::BTreeMap;

use self::globals::Globals;
use super::error::{ConfigErrors, Found};
use super::form::Key;
use super::section::{Reading, Section};
use super::{Config, UpstreamUrl, raw};

/// A configuration that may be run, and what its file says beyond it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to run on.
    pub config: Config,
    /// The file it was read from; `None` where there is none.
    pub file: Option<String>,
    /// Whether that file says where to listen.
    pub says_address: bool,
    /// Why the jobs are kept where they are kept, for the log.
    pub store_reason: &'static str,
    /// The environment file that variables were taken from, beside the environment; `None` for the server itself.
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
pub fn load(source_name: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let tree = raw::parse(text).map_err(|(place, message)| {
        ConfigErrors::in_text(source_name, text, vec![Found { place, path: String::new(), message }])
    })?;
    let reading = Reading::new(env);
    let Globals { config, says_address, store_reason } = read(&reading, &tree);
    let mistakes = reading.into_mistakes();
    if mistakes.is_empty() {
        Ok(Loaded { config, file: Some(source_name.to_owned()), says_address, store_reason, variables_from: None })
    } else {
        Err(ConfigErrors::in_text(source_name, text, mistakes))
    }
}

/// The whole tree. Not to be used after a mistake: what is missing has a stand-in.
fn read(reading: &Reading<'_>, tree: &raw::Node) -> Globals {
    let mut root = Section::root(reading, tree);
    let mut read = globals::read(&mut root, reading);
    let upstreams = upstreams::read(&mut root, reading);
    root.finish();
    rules::check(reading, &read.config, &upstreams);
    read.config.upstreams = upstreams.into_iter().map(|read| read.upstream).collect();
    read
}

/// The keys of every section that a file can have, by the path of the section.
pub(super) fn forms() -> BTreeMap<String, Vec<Key>> {
    let tree = raw::parse("upstreams: [{}]").expect("YAML");
    let reading = Reading::new(&|_| None);
    read(&reading, &tree);
    reading.into_forms().into_sections()
}

#[cfg(test)]
mod tests;
