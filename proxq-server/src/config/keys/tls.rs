//! The keys that name the files of TLS.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::{Keys, key};
use crate::config::ClientIdentity;
use crate::config::form::Form;
use crate::config::section::Section;
use crate::config::yaml_value::YamlValue;

/// `caFile`, about which `authorities` is said, `certFile` and `keyFile`.
pub(super) fn declare_files(
    keys: &mut impl Keys,
    authorities: &'static str,
    ca_file: &mut Option<PathBuf>,
    identity: &mut Option<ClientIdentity>,
) {
    let some_file = |text: &str| readable_file(text).map(Some);
    keys.text(key("caFile", authorities), ca_file, some_file, |file| YamlValue::path(file.as_deref()));
    keys.key(
        key("certFile", "A client certificate to present, and its key."),
        Form::Text,
        identity,
        read_identity,
        |identity| YamlValue::path(identity.as_ref().map(|identity| identity.cert_file.as_path())),
    );
    keys.read_already(key("keyFile", ""), Form::Text, identity, |identity| {
        YamlValue::path(identity.as_ref().map(|identity| identity.key_file.as_path()))
    });
}

/// Reads `certFile` and `keyFile`: both, or neither.
fn read_identity(section: &mut Section<'_>, name: &'static str, identity: &mut Option<ClientIdentity>) {
    match (section.text(name), section.text("keyFile")) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (section.check(cert, readable_file), section.check(key, readable_file));
            *identity = cert.zip(key).map(|(cert, key)| ClientIdentity { cert_file: cert.value, key_file: key.value });
        }
        (Some(cert), None) => section.note(&cert.at, "needs keyFile beside it"),
        (None, Some(key)) => section.note(&key.at, "needs certFile beside it"),
        (None, None) => {}
    }
}

pub(super) fn readable_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(&path).map_err(unreadable)?.is_file() {
        return Err("is not a file".to_owned());
    }
    File::open(&path).map_err(unreadable)?;
    Ok(path)
}
