//! The files that TLS needs, as a section names them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::config::ClientIdentity;
use crate::config::section::{Reading, Section};

/// The authorities to trust.
pub(super) fn ca_file(section: &mut Section<'_>) -> Option<PathBuf> {
    section.parsed("caFile", readable_file).map(|written| written.value)
}

/// What proxq shows as a client: both files, or neither.
pub(super) fn identity(section: &mut Section<'_>, reading: &Reading<'_>) -> Option<ClientIdentity> {
    match (section.text("certFile"), section.text("keyFile")) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (section.check(cert, readable_file), section.check(key, readable_file));
            cert.zip(key).map(|(cert, key)| ClientIdentity { cert_file: cert.value, key_file: key.value })
        }
        (Some(cert), None) => {
            reading.note(&cert.at, "needs keyFile beside it");
            None
        }
        (None, Some(key)) => {
            reading.note(&key.at, "needs certFile beside it");
            None
        }
        (None, None) => None,
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
