//! PEM files: certificates and keys, and what is wrong with a file that should have some.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::Timestamp;

/// The largest file that is read. All public authorities together take less than 1 MiB.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// A file with a certificate or a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("use {} as {role}", file.display())]
pub struct TlsFileError {
    /// The file.
    file: PathBuf,
    /// What it should be: a key of the configuration, or a flag.
    role: String,
    /// Why it cannot be used.
    source: FileProblem,
}

/// What is wrong with a file; said behind its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileProblem {
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("is not a file")]
    NoFile,
    #[error("is larger than 8 MiB, so it is no PEM file of certificates")]
    TooLarge,
    #[error("is not a valid PEM file: {0}")]
    Pem(#[from] pem::Error),
    #[error("has no certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    #[error("has no private key (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")]
    NoKey,
    #[error("has an encrypted key, whose password proxq does not know; decrypt it with openssl pkey")]
    EncryptedKey,
    #[error("is not the key of the certificate in {}", certificate.display())]
    KeyOfAnother { certificate: PathBuf },
    #[error("has a certificate that expired at {since}")]
    Expired { since: Timestamp },
    #[error("cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl TlsFileError {
    pub(crate) fn new(file: &Path, role: impl Into<String>, problem: impl Into<FileProblem>) -> Self {
        Self { file: file.to_owned(), role: role.into(), source: problem.into() }
    }

    /// The file that cannot be used.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Why it cannot.
    pub(crate) fn problem(&self) -> &FileProblem {
        &self.source
    }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileProblem> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(FileProblem::NoFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(FileProblem::TooLarge) } else { Ok(bytes) }
}

/// The certificates of a file, one at least.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(FileProblem::NoCertificate) } else { Ok(certificates) }
}

/// The first key of a file.
pub(crate) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, FileProblem> {
    // `ENCRYPTED PRIVATE KEY`, or `Proc-Type: 4,ENCRYPTED` within one of the older forms.
    let is_encrypted = memchr::memmem::find(pem, b"ENCRYPTED").is_some();
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if is_encrypted {
            FileProblem::EncryptedKey
        } else if matches!(error, pem::Error::NoItemsFound) {
            FileProblem::NoKey
        } else {
            error.into()
        }
    })
}
