//! A private certificate authority, and TLS with certificates of its making.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::serve::Transport;

/// The authority's certificate, in a file for whoever should trust it, and the client's that it vouches for.
#[derive(Debug)]
pub(super) struct Authority {
    folder: TempDir,
}

/// Whom an upstream lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clients {
    /// Everybody.
    Any,
    /// Those with a certificate of its authority.
    Known,
}

/// The versions of HTTP that an upstream offers (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1.1, without saying so.
    One,
    /// HTTP/2 first, and HTTP/1.1.
    Both,
}

/// What HTTP/2 is called in the handshake.
const HTTP_2: &[u8] = b"h2";

/// Takes TLS connections.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Authority {
    /// A fresh authority, and TLS with a certificate of its for these names.
    pub(super) fn new(names: &[&str], clients: Clients, versions: Versions) -> (Self, Tls) {
        let key = key();
        let mut params = CertificateParams::new(Vec::new()).expect("no names are no bad names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a key of a kind that signs");
        let issuer = Issuer::new(params, key);
        let authority = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        authority.write("ca.pem", &certificate.pem());
        let (client, client_key) = issue(&issuer, &["client"]);
        authority.write("client.pem", &client.pem());
        authority.write("client-key.pem", &client_key.serialize_pem());

        let (leaf, leaf_key) = issue(&issuer, names);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows them");
        let config = match clients {
            Clients::Any => config.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate.der().clone()).expect("a certificate of our own making");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.expect("there is an authority"))
            }
        };
        let mut config = config
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()))
            .expect("key and certificate belong together");
        if versions == Versions::Both {
            config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        }
        (authority, Tls(Arc::new(config).into()))
    }

    /// The file with this name: `ca.pem`, `client.pem` or `client-key.pem`.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, pem: &str) {
        fs::write(self.file(name), pem).expect("the temporary folder is ours");
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

/// A certificate for these names, and its key.
fn issue(issuer: &Issuer<'_, KeyPair>, names: &[&str]) -> (Certificate, KeyPair) {
    let key = key();
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let params = CertificateParams::new(names).expect("good names");
    (params.signed_by(&key, issuer).expect("the authority signs"), key)
}

impl Tls {
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

/// Whether both sides agreed on HTTP/2.
pub(super) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
}

impl Transport for TlsStream<TcpStream> {
    fn end_with_reset(&self) {
        self.get_ref().0.end_with_reset();
    }
}
