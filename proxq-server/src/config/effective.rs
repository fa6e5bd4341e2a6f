//! A configuration as YAML that means the same: every supported key, with defaults filled in.
//!
//! Secrets do not appear: keys, certificates and password files are named only, and a password from the configuration is
//! masked. Whoever uses the text as a configuration has to write that password again.

use super::Config;
use super::listing::{Content, Entry, listing};
use super::yaml_value::YamlValue;

/// The text of a configuration.
pub(super) fn write(config: &Config) -> String {
    lines(&listing(config)).concat()
}

/// All settings of a configuration, in the order in which they are written.
pub(super) fn settings(config: &Config) -> Vec<Setting> {
    let mut settings = Vec::new();
    add_settings("", false, listing(config), &mut settings);
    settings
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its key, as `limits.idleTimeout` or `upstreams[/api].timeout`.
    pub(super) key: String,
    /// Its value; masked if it is secret.
    pub(super) value: YamlValue,
    /// Whether a change needs a restart.
    pub(super) is_fixed: bool,
    /// Whether a restart is needed where it comes or goes.
    pub(super) is_fixed_switch: bool,
}

/// The lines of a section, each with its end.
fn lines(entries: &[Entry]) -> Vec<String> {
    let mut lines = Vec::new();
    for Entry { key, content, .. } in entries.iter().filter(|entry| entry.applies) {
        let name = key.name;
        match content {
            Content::Value(_, YamlValue { text, remark: None, .. }) => lines.push(format!("{name}: {text}\n")),
            Content::Value(_, YamlValue { text, remark: Some(remark), .. }) => {
                lines.push(format!("{name}: {text} # {remark}\n"));
            }
            Content::Section(inside) => {
                lines.push(format!("{name}:\n"));
                lines.extend(self::lines(inside).iter().map(|line| format!("  {line}")));
            }
            Content::Sections(items) => {
                lines.push(format!("{name}:\n"));
                for (_, inside) in items {
                    let margins = std::iter::once("  - ").chain(std::iter::repeat("    "));
                    lines.extend(margins.zip(self::lines(inside)).map(|(margin, line)| format!("{margin}{line}")));
                }
            }
        }
    }
    lines
}

/// Adds the settings of a section. `path` is what their keys begin with.
fn add_settings(path: &str, is_fixed: bool, entries: Vec<Entry>, settings: &mut Vec<Setting>) {
    for Entry { key, content, .. } in entries.into_iter().filter(|entry| entry.applies) {
        let (path, is_fixed) = (format!("{path}{}", key.name), is_fixed || key.is_fixed);
        match content {
            Content::Value(_, value) => {
                settings.push(Setting { key: path, value, is_fixed, is_fixed_switch: key.is_fixed_switch });
            }
            Content::Section(inside) => add_settings(&format!("{path}."), is_fixed, inside, settings),
            Content::Sections(items) => {
                for (name, inside) in items {
                    add_settings(&format!("{path}[{name}]."), is_fixed, inside, settings);
                }
            }
        }
    }
}
