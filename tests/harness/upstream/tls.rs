//! A private certificate authority, and TLS with a certificate of its making.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Transport;

/// The authority's certificate, in a file for whoever should trust it.
#[derive(Debug)]
pub(super) struct Authority {
    _folder: TempDir,
    file: PathBuf,
}

/// Takes TLS connections.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Authority {
    /// A fresh authority, and TLS with a certificate of its for this machine.
    pub(super) fn new() -> (Self, Tls) {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are no bad names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a key of a kind that signs");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("ca.pem");
        fs::write(&file, certificate.pem()).expect("the temporary folder is ours");

        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().expect("a key can be made");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).expect("good names").signed_by(&leaf_key, &issuer);
        let leaf = leaf.expect("the authority signs");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()))
            .expect("key and certificate belong together");
        (Self { _folder: folder, file }, Tls(Arc::new(config).into()))
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

impl Tls {
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

impl Transport for TlsStream<TcpStream> {
    fn end_with_reset(&self) {
        self.get_ref().0.end_with_reset();
    }
}
