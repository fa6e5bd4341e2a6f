//! Files with keys: who can read them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The permission to read of those who are neither the owner nor of the group.
const OTHERS_READ: u32 = 0o004;

/// What there is to warn of about a file with a key, as a sentence.
pub(crate) fn warning(file: &Path) -> Option<String> {
    let is_open = file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & OTHERS_READ != 0);
    is_open.then(|| format!("everybody on this machine can read the key in {}; chmod 600 it", file.display()))
}
