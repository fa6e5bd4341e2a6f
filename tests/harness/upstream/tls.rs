//! TLS with certificates of a private authority.

use std::io;
use std::sync::Arc;

use rcgen::{Certificate, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::serve::Transport;
use crate::authority::{Authority, Validity};

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

impl Tls {
    /// A fresh authority, and TLS with a certificate of its for these names.
    pub(super) fn new(names: &[&str], clients: Clients, versions: Versions) -> (Authority, Self) {
        let authority = Authority::new();
        let (leaf, leaf_key) = authority.issue(names);
        let tls = Self::showing(&leaf, &leaf_key, &authority, clients, versions);
        (authority, tls)
    }

    /// TLS with the certificate of a fresh authority itself.
    pub(super) fn self_signed(names: &[&str], validity: Validity) -> (Authority, Self) {
        let authority = Authority::of_server(names, validity);
        let tls = Self::showing(&authority.certificate, authority.key(), &authority, Clients::Any, Versions::One);
        (authority, tls)
    }

    fn showing(
        certificate: &Certificate,
        key: &KeyPair,
        authority: &Authority,
        clients: Clients,
        versions: Versions,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows them");
        let config = match clients {
            Clients::Any => config.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).expect("a certificate of our own making");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.expect("there is an authority"))
            }
        };
        let mut config = config
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .expect("key and certificate belong together");
        if versions == Versions::Both {
            config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        }
        Self(Arc::new(config).into())
    }

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
