//! Flags that say where the running server is.

use std::path::{Path, PathBuf};

use clap::Args;

/// Where operators are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AtOperators {
    /// Where the server listens for operators, `http://host:port`. Without this, `PROXQ_ADMIN_URL` says it, or the
    /// configuration's admin.listenAddress [default: `http://127.0.0.1:9090`].
    #[arg(long, value_name = "URL")]
    pub admin_url: Option<String>,

    /// File with the token that the server asks for. Without this, `PROXQ_ADMIN_TOKEN` is the token, or the configuration's
    /// where the address is the configuration's.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// How TLS is spoken to it.
    #[command(flatten)]
    pub tls: TlsFlags,
}

/// Where clients are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AtClients {
    /// Where the server listens, `http://host:port`. Without this, `PROXQ_URL` says it, or the configuration's
    /// listenAddress [default: `http://127.0.0.1:8080`].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// How TLS is spoken to it.
    #[command(flatten)]
    pub tls: TlsFlags,
}

/// How TLS is spoken to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct TlsFlags {
    /// PEM file of the authorities to trust for https, instead of the system's, or of the server's self-signed certificate.
    /// Without this, a server that is found by the configuration is known by the configuration's certificate.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// What the server is shown.
    #[command(flatten)]
    pub own: OwnCertificate,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct OwnCertificate {
    /// PEM file of a certificate to show, for a server with a clientCaFile.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// PEM file of its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

impl OwnCertificate {
    /// Both files, where they are given.
    pub(crate) fn files(&self) -> Option<(&Path, &Path)> {
        self.cert.as_deref().zip(self.key.as_deref())
    }
}
