//! A private certificate authority, and certificates of its making.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, with its certificate in a file for whoever should trust it, and those that it vouches for.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: Certificate,
}

/// Whether a certificate is valid now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Now,
    /// It was.
    Over,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A fresh authority, and a client's certificate of its making.
    pub fn new() -> Self {
        Self::with(CertificateParams::new(Vec::new()).expect("no names are no bad names"))
    }

    /// A fresh authority whose own certificate is that of a server with these names, as `openssl req -x509` makes one.
    pub(crate) fn of_server(names: &[&str], validity: Validity) -> Self {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        if validity == Validity::Over {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        Self::with(params)
    }

    fn with(mut params: CertificateParams) -> Self {
        let key = key();
        // OpenSSL takes what bears its issuer's name for self-signed, and rcgen gives everybody the same one.
        params.distinguished_name.push(DnType::CommonName, "an authority of proxq's tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a key of a kind that signs");
        let issuer = Issuer::new(params, key);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let authority = Self { folder, issuer, certificate };
        authority.write("ca.pem", &authority.certificate.pem());
        authority.issue_files("client", &["client"]);
        authority
    }

    /// The key of its own certificate.
    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// A certificate for these names, and its key.
    pub fn issue(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = key();
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).expect("good names");
        (params.signed_by(&key, &self.issuer).expect("the authority signs"), key)
    }

    /// The same, in files: `WHO.pem` and `WHO-key.pem`. Gives the certificate as it is sent.
    pub fn issue_files(&self, who: &str, names: &[&str]) -> Vec<u8> {
        let (certificate, key) = self.issue(names);
        self.write_both(who, &certificate, &key);
        certificate.der().to_vec()
    }

    /// The same, of a certificate whose time is over.
    pub fn issue_expired(&self, who: &str, names: &[&str]) {
        let key = key();
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        self.write_both(who, &params.signed_by(&key, &self.issuer).expect("the authority signs"), &key);
    }

    fn write_both(&self, who: &str, certificate: &Certificate, key: &KeyPair) {
        self.write(&format!("{who}.pem"), &certificate.pem());
        self.write(&format!("{who}-key.pem"), &key.serialize_pem());
    }

    /// The file with this name: `ca.pem`, `client.pem`, `client-key.pem`, or what was issued since.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, pem: &str) {
        // Nobody else may read a key.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.file(name));
        file.and_then(|mut file| file.write_all(pem.as_bytes())).expect("the temporary folder is ours");
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}
