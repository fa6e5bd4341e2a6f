//! What is read from files, and what is wrong with others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::failure::chain;
use crate::tls::ListenerTls;

/// A folder with the files of a listener.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.issue((2020, 2999));
        folder
    }

    /// Writes a new certificate and its key, valid between the first days of these years.
    fn issue(&self, (from, until): (i32, i32)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        self.write("cert.pem", params.self_signed(&key).unwrap().pem());
        self.write("key.pem", key.serialize_pem());
        fs::set_permissions(self.path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn files(&self) -> ServerTls {
        ServerTls { cert_file: self.path("cert.pem"), key_file: self.path("key.pem"), client_ca_file: None }
    }

    /// What is wrong with its files, without the folder's name.
    fn problem(&self) -> String {
        let error = Identity::load(&self.files(), "tls").unwrap_err();
        chain(&error).replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn now() -> Timestamp {
    Clock::new().wall()
}

#[test]
fn the_dates_of_a_certificate_are_read() {
    let folder = Folder::new();
    folder.issue((2001, 2030));
    let validity = Identity::load(&folder.files(), "tls").unwrap().validity.unwrap();
    assert_eq!(validity.not_before.to_string(), "2001-01-01T00:00:00.000Z");
    assert_eq!(validity.not_after.to_string(), "2030-01-01T00:00:00.000Z");
    let end = validity.not_after;
    assert!(!validity.is_over(end) && validity.is_over(end.after(Duration::from_secs(1))));
    assert!(!validity.is_to_come(validity.not_before) && validity.is_to_come(validity.not_before.shifted(-1)));
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let folder = Folder::new();
    let (cert, key) = (folder.read("cert.pem"), folder.read("key.pem"));
    folder.write("cert.pem", "nothing");
    assert_eq!(folder.problem(), "use cert.pem as tls.certFile: has no certificate (BEGIN CERTIFICATE)");
    folder.write("cert.pem", &cert[..cert.len() / 2]);
    assert!(folder.problem().starts_with("use cert.pem as tls.certFile: is not a valid PEM file: "));
    folder.write("cert.pem", &cert);
    folder.write("key.pem", &cert);
    let no_key = "has no private key (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)";
    assert_eq!(folder.problem(), format!("use key.pem as tls.keyFile: {no_key}"));
    folder.write("key.pem", key.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    assert!(folder.problem().starts_with("use key.pem as tls.keyFile: has an encrypted key"), "{}", folder.problem());
    folder.write("key.pem", KeyPair::generate().unwrap().serialize_pem());
    assert_eq!(folder.problem(), "use key.pem as tls.keyFile: is not the key of the certificate in cert.pem");
    fs::remove_file(folder.path("key.pem")).unwrap();
    assert!(folder.problem().starts_with("use key.pem as tls.keyFile: cannot be read: No such file"));
    fs::create_dir(folder.path("key.pem")).unwrap();
    assert_eq!(folder.problem(), "use key.pem as tls.keyFile: is not a file");
}

#[test]
fn one_file_may_have_both_and_authorities_are_checked_too() {
    let folder = Folder::new();
    folder.write("both.pem", folder.read("key.pem") + &folder.read("cert.pem"));
    let both = folder.path("both.pem");
    let files = ServerTls { cert_file: both.clone(), key_file: both, client_ca_file: Some(folder.path("cert.pem")) };
    let identity = Identity::load(&files, "tls").unwrap();
    assert_eq!(identity.config.send_tls13_tickets, 0, "each client is verified anew");
    let files = ServerTls { client_ca_file: Some(folder.path("key.pem")), ..files };
    let error = chain(&Identity::load(&files, "admin.tls").unwrap_err());
    assert!(error.contains("as admin.tls.clientCaFile: has no certificate"), "{error}");
}

#[test]
fn what_is_likely_not_meant_is_warned_of() {
    let folder = Folder::new();
    let warned = |years| {
        folder.issue(years);
        warnings(&folder.files(), "tls", now()).join("\n")
    };
    assert_eq!(warned((2020, 2999)), "");
    assert!(warned((2001, 2002)).contains("expired at 2002-01-01T00:00:00.000Z; clients refuse it"));
    assert!(warned((2998, 2999)).contains("is not valid before 2998-01-01T00:00:00.000Z"));
    folder.issue((2020, 2999));
    fs::set_permissions(folder.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let warning = warnings(&folder.files(), "tls", now()).join("\n");
    assert!(warning.starts_with("tls.keyFile: everybody on this machine can read the key in "), "{warning}");
    assert!(warning.ends_with("; chmod 600 it"), "{warning}");
}

#[test]
fn a_renewal_is_what_differs_and_can_be_used() {
    let folder = Folder::new();
    let tls = ListenerTls::load(&folder.files(), "tls").unwrap();
    let first = tls.config();
    assert!(tls.renewal(&folder.files(), now()).unwrap().is_none(), "nothing has changed");
    folder.issue((2001, 2002));
    let error = chain(&tls.renewal(&folder.files(), now()).unwrap_err());
    assert!(error.ends_with("has a certificate that expired at 2002-01-01T00:00:00.000Z"), "{error}");
    folder.issue((2998, 2999));
    let renewal = tls.renewal(&folder.files(), now()).unwrap().unwrap();
    assert!(renewal.not_before(now()).is_some(), "its clock may be ahead of ours");
    assert!(Arc::ptr_eq(&first, &tls.config()));
    tls.take_over(renewal);
    assert!(!Arc::ptr_eq(&first, &tls.config()));
    assert!(tls.renewal(&folder.files(), now()).unwrap().is_none());
}

#[test]
fn other_authorities_are_taken_over_though_the_certificate_has_expired_meanwhile() {
    let folder = Folder::new();
    folder.write("authorities.pem", folder.read("cert.pem"));
    folder.issue((2001, 2002));
    let files = ServerTls { client_ca_file: Some(folder.path("authorities.pem")), ..folder.files() };
    let tls = ListenerTls::load(&files, "tls").unwrap();
    folder.write("authorities.pem", folder.read("cert.pem"));
    let renewal = tls.renewal(&files, now()).unwrap().unwrap();
    tls.take_over(renewal);
    assert!(tls.renewal(&files, now()).unwrap().is_none());
    folder.write("chain.pem", folder.read("cert.pem") + &folder.read("authorities.pem"));
    let with_chain = ServerTls { cert_file: folder.path("chain.pem"), ..files.clone() };
    assert!(tls.renewal(&with_chain, now()).unwrap().is_some(), "it is the same certificate");
    folder.issue((2001, 2002));
    assert!(tls.renewal(&files, now()).is_err(), "it is another one");
}

#[test]
fn a_key_is_never_written_to_a_log() {
    let folder = Folder::new();
    let shown = format!("{:?}", ListenerTls::load(&folder.files(), "tls").unwrap());
    assert!(shown.contains("validity") && shown.len() < 1000, "{shown}");
}
