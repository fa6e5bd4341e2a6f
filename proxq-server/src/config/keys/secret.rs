//! The keys of a secret, which is written in the configuration or in a file of its own.

use super::{Key, Keys, tls};
use crate::config::form::Form;
use crate::config::section::{At, Section, Written};
use crate::config::yaml_value::YamlValue;
use crate::config::{Password, Secret};

/// A key with the secret itself, and one with the name of a file. `check` says what is wrong with a secret.
pub(super) fn declare(
    keys: &mut impl Keys,
    [key, file_key]: [Key; 2],
    password: &mut Password,
    check: impl Fn(&str) -> Result<(), String>,
) {
    let file_name = file_key.name;
    keys.only_if(matches!(password, Password::Given(_)), |keys| {
        let read = |section: &mut Section<'_>, name, password: &mut Password| {
            if let Some((read, at)) = read(section, name, file_name) {
                // A file that cannot be read is a mistake that was noted already.
                if let Err(problem) = read.reveal().map_or(Ok(()), |secret| check(&secret)) {
                    section.note(&at, problem);
                }
                *password = read;
            }
        };
        keys.key(key, Form::Text, password, read, |password| match password {
            Password::Given(secret) => YamlValue::masked(secret),
            Password::None | Password::File(_) => YamlValue::quoted(""),
        });
    });
    keys.only_if(matches!(password, Password::File(_)), |keys| {
        keys.read_already(file_key, Form::Text, password, |password| match password {
            Password::File(file) => YamlValue::path(Some(file)),
            Password::None | Password::Given(_) => YamlValue::quoted(""),
        });
    });
}

fn read(section: &mut Section<'_>, name: &'static str, file_name: &'static str) -> Option<(Password, At)> {
    match (section.text(name), section.parsed(file_name, tls::readable_file)) {
        (Some(_), Some(file)) => {
            section.note(&file.at, format!("stands beside {name}; keep one of them"));
            None
        }
        (Some(Written { value, at }), None) => Some((Password::Given(Secret::new(value)), at)),
        (None, Some(Written { value, at })) => Some((Password::File(value), at)),
        (None, None) => None,
    }
}
