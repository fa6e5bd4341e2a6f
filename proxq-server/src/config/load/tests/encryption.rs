//! What files say of encryption at rest.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::{EncryptionConfig, read_keyring, warnings};

/// A key file that only its owner can read.
fn key_file(folder: &Path, name: &str, content: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

#[test]
fn keys_are_read_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["1", "2"].map(|digit| key_file(folder.path(), digit, &(digit.repeat(32) + "\r\n")));
    let read = config(&top(&format!("encryption: {{keyFile: '{one}', previousKeyFiles: ['{two}']}}")));
    let expected =
        EncryptionConfig { key_file: Some(one.clone().into()), previous_key_files: vec![two.clone().into()] };
    assert_eq!(read.encryption, Some(expected));
    assert!(read.seals());
    let keys = read_keyring(read.encryption.as_ref()).unwrap();
    assert_eq!(keys.ids().count(), 2);
    // A line break at the end is not a part of the key.
    fs::write(&one, "1".repeat(32)).unwrap();
    assert_eq!(read_keyring(read.encryption.as_ref()).unwrap().sealing_id(), keys.sealing_id());
    let former = config(&top(&format!("encryption: {{previousKeyFiles: ['{two}']}}")));
    assert!(!former.seals() && former.encryption.is_some());
    same(&top("encryption:"), &config(UPSTREAM));
}

#[test]
fn bad_keys_are_refused_with_what_would_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let short = key_file(folder.path(), "short", "0123456789abcdef0123456789abcde\n");
    let long = key_file(folder.path(), "long", &"x".repeat(5000));
    let missing = folder.path().join("missing").display().to_string();
    for (file, problem) in [
        (&short, "has 31 bytes, too few for a key: at least 32 random ones, as `openssl rand -base64 32` makes"),
        (&long, "has 5000 bytes, more than a key; is it another file?"),
        (&missing, "cannot be read: No such file or directory (os error 2)"),
    ] {
        refused(
            &top(&format!("encryption: {{keyFile: '{file}'}}")),
            &format!("encryption.keyFile: \"{file}\" {problem}"),
        );
        refused(
            &top(&format!("encryption: {{previousKeyFiles: ['{file}']}}")),
            &format!("encryption.previousKeyFiles[0]: \"{file}\" {problem}"),
        );
    }
    refused(&top("encryption: {}"), "encryption.keyFile: is required: without a key nothing can be sealed");
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(folder.path(), "key", &"k".repeat(32));
    let read = config(&top(&format!("encryption: {{keyFile: '{file}'}}")));
    assert_eq!(warnings(&read), [""; 0]);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let warning = format!("encryption: everybody on this machine can read the key in {file}; chmod 600 it");
    assert_eq!(warnings(&read), [warning]);
}
