//! What a listener shows of itself by TLS, as it is read from files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use super::file::{self, FileProblem, TlsFileError};
use super::validity::Validity;
use super::{ServerTls, provider};
use crate::clock::Timestamp;
use crate::key_file;

/// What is spoken on top (RFC 7301), the preferred first. A client that names nothing is understood all the same.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The settings of TLS with a certificate and its key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// The certificate without its chain.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// When the certificate is valid, where that can be read.
    pub(super) validity: Option<Validity>,
    /// A fingerprint of the contents of all files.
    pub(super) digest: [u8; 32],
}

/// Without the key, which is in the settings.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// The files of a listener with their contents.
struct Material<'a> {
    files: &'a ServerTls,
    /// What the keys of the configuration begin with that name the files.
    section: &'a str,
    certificates: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

impl<'a> Material<'a> {
    fn read(files: &'a ServerTls, section: &'a str) -> Result<Self, TlsFileError> {
        let read = |file: &Path, key: &str| {
            file::read(file).map_err(|problem| TlsFileError::new(file, format!("{section}.{key}"), problem))
        };
        Ok(Self {
            files,
            section,
            certificates: read(&files.cert_file, "certFile")?,
            key: read(&files.key_file, "keyFile")?,
            client_authorities: files.client_ca_file.as_ref().map(|file| read(file, "clientCaFile")).transpose()?,
        })
    }

    fn error(&self, file: &Path, key: &str, problem: impl Into<FileProblem>) -> TlsFileError {
        TlsFileError::new(file, format!("{}.{key}", self.section), problem)
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [Some(&self.certificates), Some(&self.key), self.client_authorities.as_ref()];
        let hashes = parts.map(|part| part.map(Sha256::digest).unwrap_or_default());
        hashes.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
    }

    /// The certificate with its chain.
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
        file::certificates(&self.certificates).map_err(|problem| self.error(&self.files.cert_file, "certFile", problem))
    }

    /// The certificate with its chain, and its key.
    fn certified_key(&self) -> Result<CertifiedKey, TlsFileError> {
        let ServerTls { cert_file, key_file, .. } = self.files;
        let chain = self.chain()?;
        let key = file::key(&self.key).map_err(|problem| self.error(key_file, "keyFile", problem))?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                self.error(key_file, "keyFile", FileProblem::KeyOfAnother { certificate: cert_file.clone() })
            } else if matches!(error, Error::InvalidCertificate(_)) {
                self.error(cert_file, "certFile", error)
            } else {
                self.error(key_file, "keyFile", error)
            }
        })
    }

    /// Who verifies the certificates of clients, where they need one.
    fn client_verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFileError> {
        let (Some(file), Some(pem)) = (&self.files.client_ca_file, &self.client_authorities) else { return Ok(None) };
        let problem = |problem: FileProblem| self.error(file, "clientCaFile", problem);
        let mut roots = RootCertStore::empty();
        for certificate in file::certificates(pem).map_err(problem)? {
            roots.add(certificate).map_err(|error| problem(error.into()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Some(verifier.expect("there is an authority, and no list of revoked certificates")))
    }
}

impl Identity {
    /// Reads the files.
    pub(super) fn load(files: &ServerTls, section: &str) -> Result<Self, TlsFileError> {
        let material = Material::read(files, section)?;
        let certified = material.certified_key()?;
        let certificate = certified.cert.first().cloned();
        let validity = certificate.as_ref().and_then(Validity::of);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions");
        let verifier = material.client_verifier()?;
        let verifies_clients = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        if verifies_clients {
            // A resumed session would let a client in whose certificate has expired meanwhile.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // A client keeps its session itself: nothing grows here with the number of clients.
            config.ticketer =
                Ticketer::new().map_err(|error| material.error(&files.key_file, "keyFile", FileProblem::Tls(error)))?;
        }
        Ok(Self { config: Arc::new(config), certificate, validity, digest: material.digest() })
    }
}

/// Says what is wrong with the files of a listener.
pub(crate) fn check(files: &ServerTls, section: &str) -> Result<(), TlsFileError> {
    Identity::load(files, section).map(drop)
}

/// What is probably not intended about files that can be used: a line each, which begins with the key.
pub(crate) fn warnings(files: &ServerTls, section: &str, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    let certificate = file::read(&files.cert_file).and_then(|pem| file::certificates(&pem));
    let validity = certificate.ok().and_then(|chain| Validity::of(chain.first()?));
    if let Some(validity) = validity {
        let file = files.cert_file.display();
        if validity.is_over(now) {
            let since = validity.not_after;
            warnings
                .push(format!("{section}.certFile: the certificate in {file} expired at {since}; clients refuse it"));
        } else if validity.is_to_come(now) {
            let from = validity.not_before;
            warnings.push(format!("{section}.certFile: the certificate in {file} is not valid before {from}"));
        }
    }
    warnings.extend(key_file::warning(&files.key_file).map(|warning| format!("{section}.keyFile: {warning}")));
    warnings
}

#[cfg(test)]
mod tests;
