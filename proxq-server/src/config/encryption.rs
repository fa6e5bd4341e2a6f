//! Encryption at rest: where its keys are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sealing::Keyring;

/// The fewest bytes of a key: 32 random ones are a key of AES-256.
const KEY_BYTES_MIN: usize = 32;
/// The longest file that is read as a key. Whatever is longer is something else.
const KEY_BYTES_MAX: u64 = 4096;

/// The files of the keys with which jobs are sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// The key that seals; `None` where nothing new is sealed.
    pub key_file: Option<PathBuf>,
    /// Keys with which older jobs were sealed.
    pub previous_key_files: Vec<PathBuf>,
}

impl EncryptionConfig {
    /// All files, first that of the key that seals.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.key_file.iter().chain(&self.previous_key_files).map(PathBuf::as_path)
    }
}

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("use {} as a key: it {problem}", file.display())]
pub struct KeyFileError {
    file: PathBuf,
    problem: String,
}

/// Reads the keys; there are none where nothing is configured.
///
/// # Errors
/// The first file that cannot be used.
pub(crate) fn read_keyring(config: Option<&EncryptionConfig>) -> Result<Keyring, KeyFileError> {
    let Some(config) = config else { return Ok(Keyring::default()) };
    let read = |file: &PathBuf| read_key_file(file).map_err(|problem| KeyFileError { file: file.clone(), problem });
    let sealing = config.key_file.as_ref().map(read).transpose()?;
    let previous = config.previous_key_files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Keyring::new(sealing.as_deref(), &previous))
}

/// The key in a file: all its bytes but line breaks at the end.
///
/// # Errors
/// Says why it cannot be a key.
pub(crate) fn read_key_file(file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > KEY_BYTES_MAX {
        return Err(format!("has {length} bytes, more than a key; is it another file?"));
    }
    let mut bytes = fs::read(file).map_err(unreadable)?;
    while bytes.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        bytes.pop();
    }
    if bytes.len() < KEY_BYTES_MIN {
        return Err(format!(
            "has {} bytes, too few for a key: at least {KEY_BYTES_MIN} random ones, as `openssl rand -base64 32` makes",
            bytes.len()
        ));
    }
    Ok(bytes)
}
