//! A client that speaks TLS, on one connection: bytes in and bytes out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::Authority;
use crate::message::{Framed, Head, Reply};
use crate::waiting::within;

/// The name that it asks for.
const NAME: &str = "localhost";

/// Makes connections by TLS to servers that an authority vouches for.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: ClientConfig,
}

impl TlsClient {
    /// Trusts this authority. Offers no protocol.
    pub fn of(authority: &Authority) -> Self {
        Self { config: Self::trusting(authority).with_no_client_auth() }
    }

    /// The same with the certificate of a client, from the files `WHO.pem` and `WHO-key.pem` of an authority.
    pub fn with_certificate(authority: &Authority, of: &Authority, who: &str) -> Self {
        let certificate = CertificateDer::from_pem_file(of.file(&format!("{who}.pem"))).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(of.file(&format!("{who}-key.pem"))).expect("a key");
        let config = Self::trusting(authority).with_client_auth_cert(vec![certificate], key);
        Self { config: config.expect("they belong together") }
    }

    fn trusting(authority: &Authority) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).expect("a certificate of our own making");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        builder.expect("the provider knows them").with_root_certificates(roots)
    }

    /// Offers these protocols (RFC 7301).
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Opens a connection.
    pub async fn connect(&self, address: SocketAddr) -> TlsWire {
        self.try_connect(address).await.unwrap_or_else(|e| panic!("connect to {address} by TLS: {e}"))
    }

    /// The same, where the server may refuse.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn try_connect(&self, address: SocketAddr) -> io::Result<TlsWire> {
        let stream = within("a connection", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).expect("it is a name");
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let stream = within("a handshake", connector.connect(name, stream)).await?;
        Ok(TlsWire { framed: Framed::new(stream) })
    }

    /// The certificate that the server shows to those who connect now.
    pub async fn certificate_at(&self, address: SocketAddr) -> Vec<u8> {
        self.connect(address).await.certificate()
    }
}

/// A raw connection to a server, by TLS.
#[derive(Debug)]
pub struct TlsWire {
    framed: Framed<TlsStream<TcpStream>>,
}

impl TlsWire {
    /// The certificate that the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        let (_, session) = self.framed.stream.get_ref();
        session.peer_certificates().expect("a server shows one")[0].to_vec()
    }

    /// The protocol that was agreed on.
    pub fn protocol(&self) -> Option<String> {
        let (_, session) = self.framed.stream.get_ref();
        session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Writes bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("bytes are sent", self.framed.send(bytes.as_ref())).await.expect("the server reads");
    }

    /// The same, to a server that may have closed the connection.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("bytes are sent", self.framed.send(bytes.as_ref())).await
    }

    /// Reads one reply to a `GET`.
    pub async fn reply(&mut self) -> Reply {
        self.try_reply().await.unwrap_or_else(|e| panic!("no reply: {e}"))
    }

    /// The same, if one comes.
    ///
    /// # Errors
    /// When the connection ended or broke before it was complete.
    pub async fn try_reply(&mut self) -> io::Result<Reply> {
        within("a reply", self.framed.reply("GET")).await
    }

    /// Reads a head and nothing of what follows it.
    pub async fn head(&mut self) -> Head {
        let head = within("a head", self.framed.head()).await.unwrap_or_else(|e| panic!("no head: {e}"));
        head.expect("the connection goes on")
    }

    /// Asserts that these bytes come next.
    pub async fn comes(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let came = within("bytes come", self.framed.bytes(bytes.len())).await.expect("the connection goes on");
        assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(bytes));
    }

    /// Tells the server that nothing more will be sent.
    pub async fn finish(&mut self) {
        self.framed.stream.shutdown().await.expect("the connection is open");
    }

    /// What comes before the server ends the connection as TLS wants it.
    ///
    /// # Errors
    /// When it ends in another way, so that what came may have been cut short.
    pub async fn to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        within("the connection ends", self.framed.stream.read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    /// Breaks the connection off, as a crashed client would.
    pub fn reset(self) {
        self.framed.stream.get_ref().0.set_zero_linger().expect("a socket takes options");
    }
}
