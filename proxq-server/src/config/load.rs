//! From the text of a file to [`Config`]: reads every section, applies the rules between them, and reports all mistakes
//! together.

mod globals;
mod redis;
mod rules;
mod tls;
mod upstreams;

use super::error::{ConfigErrors, Found};
use super::section::{Reading, Section};
use super::{Config, UpstreamUrl, raw};

/// A configuration that may be run, and what its file says beyond it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to run on.
    pub config: Config,
    /// The file it was read from; `None` where there is none.
    pub file: Option<String>,
    /// Why the jobs are kept where they are kept, for the log.
    pub store_reason: &'static str,
}

impl Loaded {
    /// One upstream under `/` and every default, without a file.
    #[must_use]
    pub fn for_upstream(url: UpstreamUrl) -> Self {
        Self { config: Config::for_upstream(url), file: None, store_reason: "no configuration file" }
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
    let mut root = Section::root(&reading, &tree);
    let globals = globals::read(&mut root, &reading);
    let upstreams = upstreams::read(&mut root, &reading);
    root.finish();
    rules::check(&reading, &globals.config.jobs_path, &upstreams);
    let loaded = Loaded {
        config: Config { upstreams: upstreams.into_iter().map(|read| read.upstream).collect(), ..globals.config },
        file: Some(source_name.to_owned()),
        store_reason: globals.store_reason,
    };
    let mistakes = reading.into_mistakes();
    if mistakes.is_empty() { Ok(loaded) } else { Err(ConfigErrors::in_text(source_name, text, mistakes)) }
}

#[cfg(test)]
mod tests;
