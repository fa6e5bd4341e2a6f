//! TLS as proxq speaks it to whoever connects: what a listener shows of itself, read from files, and how a change of these
//! files is noticed. The handshake itself is the listener's; to renew what it shows is left to the server.

mod client;
mod file;
#[cfg(target_os = "linux")]
mod folders;
mod identity;
mod listener;
mod validity;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub(crate) use self::client::{client_of_server, is_another_certificate, is_certificate_required};
pub use self::file::TlsFileError;
pub(crate) use self::file::{FileProblem, certificates, key, read};
pub(crate) use self::identity::{check, warnings};
pub(crate) use self::listener::{ListenerTls, Renewal};
pub(crate) use self::watch::FileWatch;

/// The PEM files of a listener that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate to show, and those of the authorities between it and a root.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The authorities of whose clients a certificate is required; `None` where clients need none.
    pub client_ca_file: Option<PathBuf>,
}

impl ServerTls {
    /// All its files.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert_file, &self.key_file].into_iter().chain(&self.client_ca_file)
    }
}

/// What all cryptography of TLS is done by.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
