//! The keys of the section `encryption`.

use std::path::PathBuf;

use super::{Keys, key, tls};
use crate::config::EncryptionConfig;
use crate::config::encryption::read_key_file;
use crate::config::form::Form;
use crate::config::section::Section;
use crate::config::yaml_value::YamlValue;

const PREVIOUS: &str = "previousKeyFiles";

pub(super) fn declare(keys: &mut impl Keys, encryption: &mut EncryptionConfig) {
    let about = "The file of the key that seals requests and results before they are stored: at least 32 random bytes, as \
                 `openssl rand -base64 32` makes. Without it, they are stored as they are.";
    keys.optional(
        key("keyFile", about).suggested("/etc/proxq/encryption.key"),
        Form::Text,
        &mut encryption.key_file,
        read_key,
        |file| YamlValue::path(Some(file)),
    );
    let about = "Keys that sealed before. They open what they sealed, and seal nothing.";
    let previous = key(PREVIOUS, about);
    keys.key(previous, Form::Texts, &mut encryption.previous_key_files, read_previous, |files| {
        YamlValue::list(files.iter().map(|file| file.to_string_lossy()))
    });
}

fn read_key(section: &mut Section<'_>, name: &'static str) -> Option<PathBuf> {
    if section.stands() && !section.has(name) && !section.has(PREVIOUS) {
        section.note(&section.at_of(name), "is required: without a key nothing can be sealed");
    }
    section.parsed(name, key_file).map(|written| written.value)
}

fn key_file(text: &str) -> Result<PathBuf, String> {
    let file = tls::readable_file(text)?;
    read_key_file(&file).map(|_key| file)
}

fn read_previous(section: &mut Section<'_>, name: &'static str, files: &mut Vec<PathBuf>) {
    for written in section.texts(name).unwrap_or_default() {
        if let Some(file) = section.check(written, key_file) {
            files.push(file.value);
        }
    }
}
