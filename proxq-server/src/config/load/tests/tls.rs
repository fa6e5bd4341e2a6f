//! The TLS of listeners: what it means, what is wrong with it, and what a running server takes over.

use std::fs;
use std::path::PathBuf;

use rcgen::KeyPair;
use tempfile::TempDir;

use super::*;
use crate::config::{AdminTls, Changes, changes, effective};
use crate::tls::ServerTls;

/// A folder with `cert.pem`, `key.pem`, and `other-key.pem`, which is not the certificate's.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("cert.pem", made.cert.pem());
    write("key.pem", made.signing_key.serialize_pem());
    write("other-key.pem", KeyPair::generate().unwrap().serialize_pem());
    write("text", "nothing".to_owned());
    folder
}

/// A file with these keys, in which `@` stands for the folder.
fn with(folder: &TempDir, keys: &str) -> String {
    top(&keys.replace('@', &folder.path().display().to_string()))
}

/// The mistakes in it, in which `@` stands for the folder.
fn mistakes_with(folder: &TempDir, keys: &str) -> Vec<String> {
    let found = mistakes(&with(folder, keys));
    found.iter().map(|mistake| mistake.replace(&folder.path().display().to_string(), "@")).collect()
}

#[test]
fn a_certificate_turns_tls_on_for_clients_and_operators() {
    let folder = folder();
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    let pair = "certFile: @/cert.pem, keyFile: @/key.pem";
    let files = ServerTls { cert_file: file("cert.pem"), key_file: file("key.pem"), client_ca_file: None };
    let read = config(&with(&folder, &format!("admin: {{}}\ntls: {{{pair}}}")));
    assert_eq!(read.tls_of_clients(), Some((&files, "tls")));
    assert_eq!(read.tls_of_operators(), Some((&files, "tls")));
    let read = config(&with(&folder, &format!("admin: {{tls: {{enabled: false}}}}\ntls: {{{pair}}}")));
    assert_eq!(read.tls_of_operators(), None);
    assert_eq!(read.admin.unwrap().tls, AdminTls::Off);
    let read = config(&with(&folder, &format!("admin: {{tls: {{{pair}, clientCaFile: @/cert.pem}}}}")));
    let own = ServerTls { client_ca_file: Some(file("cert.pem")), ..files };
    assert_eq!((read.tls_of_clients(), read.tls_of_operators()), (None, Some((&own, "admin.tls"))));
    for nothing in ["tls:", "tls: {certFile: '', keyFile: '', clientCaFile: ''}", "admin: {tls: {enabled: true}}"] {
        let read = config(&top(nothing));
        assert_eq!((read.tls_of_clients(), read.tls_of_operators()), (None, None), "{nothing}");
    }
}

#[test]
fn files_of_a_listener_must_be_there_complete_and_belong_together() {
    let folder = folder();
    for (keys, mistake) in [
        ("{}", ": needs certFile and keyFile"),
        ("{certFile: @/cert.pem}", ".certFile: needs keyFile beside it"),
        ("{keyFile: @/key.pem}", ".keyFile: needs certFile beside it"),
        ("{keyFile: @/key.pem, clientCaFile: @/cert.pem}", ".keyFile: needs certFile beside it"),
        ("{clientCaFile: @/cert.pem}", ".clientCaFile: needs certFile and keyFile beside it"),
        (
            "{certFile: @/cert.pem, keyFile: @/other-key.pem}",
            ".keyFile: \"@/other-key.pem\" is not the key of the certificate in @/cert.pem",
        ),
        (
            "{certFile: @/key.pem, keyFile: @/key.pem}",
            ".certFile: \"@/key.pem\" has no certificate (BEGIN CERTIFICATE)",
        ),
        (
            "{certFile: @/cert.pem, keyFile: @/text}",
            ".keyFile: \"@/text\" has no private key (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)",
        ),
        (
            "{certFile: @/cert.pem, keyFile: @/key.pem, clientCaFile: @/text}",
            ".clientCaFile: \"@/text\" has no certificate (BEGIN CERTIFICATE)",
        ),
        ("{certFile: @/cert.pem, keyFile: @}", ".keyFile: \"@\" is not a file"),
        ("{certfile: @/cert.pem, keyFile: @/key.pem}", ".certfile: unknown key; did you mean certFile?"),
    ] {
        assert!(mistakes_with(&folder, &format!("tls: {keys}")).contains(&format!("tls{mistake}")), "{keys}");
        let of_operators = mistakes_with(&folder, &format!("admin: {{tls: {keys}}}"));
        assert!(of_operators.contains(&format!("admin.tls{mistake}")), "{keys}: {of_operators:?}");
    }
    let missing = mistakes_with(&folder, "tls: {certFile: @/1, keyFile: @/2, clientCaFile: @/3}");
    assert_eq!(missing.len(), 3);
    assert!(missing[1].starts_with("tls.keyFile: \"@/2\" cannot be read: "), "{missing:?}");
    let off = "admin: {tls: {enabled: false, certFile: @/cert.pem, keyFile: @/key.pem}}";
    assert_eq!(mistakes_with(&folder, off), ["admin.tls.certFile: stands beside enabled: false; keep one of them"]);
}

#[test]
fn other_files_are_taken_over_and_a_first_certificate_needs_a_restart() {
    let folder = folder();
    fs::copy(folder.path().join("cert.pem"), folder.path().join("copy.pem")).unwrap();
    let off = config(UPSTREAM);
    let on = config(&with(&folder, "tls: {certFile: @/cert.pem, keyFile: @/key.pem}"));
    let moved = config(&with(&folder, "tls: {certFile: @/copy.pem, keyFile: @/key.pem, clientCaFile: @/cert.pem}"));
    let fixed = |from, to| match changes(from, to) {
        Changes::NeedRestart(settings) => settings.into_iter().map(|setting| setting.key).collect::<Vec<_>>(),
        Changes::Possible(keys) => panic!("{keys:?}"),
    };
    assert_eq!(fixed(&off, &on), ["tls.certFile"]);
    assert_eq!(fixed(&on, &off), ["tls.certFile"]);
    match changes(&on, &moved) {
        Changes::Possible(keys) => assert_eq!(keys, ["tls.certFile", "tls.clientCaFile"]),
        Changes::NeedRestart(settings) => panic!("{settings:?}"),
    }
}

#[test]
fn the_effective_configuration_names_the_files() {
    let folder = folder();
    let keys = "admin: {tls: {enabled: false}}\ntls: {certFile: @/cert.pem, keyFile: @/key.pem}";
    let read = config(&with(&folder, keys));
    let text = effective(&read);
    let cert = folder.path().join("cert.pem");
    assert!(text.contains(&format!("tls:\n  certFile: \"{}\"\n  keyFile: ", cert.display())), "{text}");
    assert!(!text.contains("PRIVATE"), "{text}");
    same(&text, &read);
    assert!(!effective(&config(UPSTREAM)).contains("clientCaFile"));
}
