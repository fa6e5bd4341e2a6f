//! The keys that name the files of TLS.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::{Keys, key};
use crate::config::ClientIdentity;
use crate::config::form::Form;
use crate::config::section::{Section, Written, shown};
use crate::config::yaml_value::YamlValue;
use crate::tls::{self, ServerTls};

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

/// `certFile`, `keyFile` and `clientCaFile` of a listener. `section` is the path of the section that they are in.
pub(super) fn declare_server(keys: &mut impl Keys, section: &'static str, files: &mut Option<ServerTls>) {
    let certificate =
        "The certificate to show, and behind it those of the authorities between it and a root, from PEM files.";
    keys.key(
        key("certFile", certificate).fixed_switch(),
        Form::Text,
        files,
        |written, _, files| *files = read_server(written, section),
        |files| YamlValue::path(files.as_ref().map(|files| &*files.cert_file)),
    );
    keys.read_already(key("keyFile", "Its key."), Form::Text, files, |files| {
        YamlValue::path(files.as_ref().map(|files| &*files.key_file))
    });
    let authorities = "Require of each client a certificate of one of these authorities.";
    keys.read_already(key("clientCaFile", authorities), Form::Text, files, |files| {
        YamlValue::path(files.as_ref().and_then(|files| files.client_ca_file.as_deref()))
    });
}

/// Reads the files of a listener, contents included: `certFile` and `keyFile`, or none.
fn read_server(section: &mut Section<'_>, path: &'static str) -> Option<ServerTls> {
    section.note_if_empty("needs certFile and keyFile");
    let written = ["certFile", "keyFile", "clientCaFile"].map(|key| section.text(key));
    let [cert, key, ca] = match written {
        [Some(cert), Some(key), ca] => [Some(cert), Some(key), ca],
        [None, None, None] => return None,
        [Some(cert), None, _] => {
            section.note(&cert.at, "needs keyFile beside it");
            return None;
        }
        [None, Some(key), _] => {
            section.note(&key.at, "needs certFile beside it");
            return None;
        }
        [None, None, Some(ca)] => {
            section.note(&ca.at, "needs certFile and keyFile beside it");
            return None;
        }
    };
    let has_authorities = ca.is_some();
    let [cert, key, ca] = [cert, key, ca].map(|file| section.check(file?, readable_file));
    let (cert, key) = (cert?, key?);
    if has_authorities && ca.is_none() {
        return None;
    }
    let client_ca_file = ca.as_ref().map(|ca| ca.value.clone());
    let files = ServerTls { cert_file: cert.value.clone(), key_file: key.value.clone(), client_ca_file };
    if let Err(error) = tls::check(&files, path) {
        let bad = [Some(&cert), Some(&key), ca.as_ref()].into_iter().flatten().find(|file| file.value == error.file());
        if let Some(Written { value, at }) = bad {
            section.note(at, format!("{} {}", shown(&value.to_string_lossy()), error.problem()));
        }
        return None;
    }
    Some(files)
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
