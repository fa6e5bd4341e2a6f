//! The TLS settings of connections to upstreams.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};
use sha2::{Digest, Sha256};

use crate::config::{TlsVerification, UpstreamTls};
use crate::tls::{self, FileProblem, TlsFileError};

/// What messages call the files of `caFile`, `certFile` and `keyFile`.
type Roles = [&'static str; 3];

/// Those of an upstream.
const OF_UPSTREAM: Roles = ["an upstream's caFile", "an upstream's certFile", "an upstream's keyFile"];

/// An upstream's `tls` settings, with the contents of the files that they name.
pub(super) struct TlsMaterial<'a> {
    settings: &'a UpstreamTls,
    roles: Roles,
    authorities: Vec<u8>,
    certificates: Vec<u8>,
    key: Vec<u8>,
}

/// A fingerprint of a [`TlsMaterial`], to compare it with another without keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsDigest([u8; 32]);

impl<'a> TlsMaterial<'a> {
    /// Reads the files of an upstream.
    pub(super) fn read(settings: &'a UpstreamTls) -> Result<Self, TlsFileError> {
        Self::read_as(settings, OF_UPSTREAM)
    }

    fn read_as(settings: &'a UpstreamTls, roles: Roles) -> Result<Self, TlsFileError> {
        let (identity, [ca, cert, key]) = (settings.identity.as_ref(), roles);
        Ok(Self {
            settings,
            roles,
            authorities: read(settings.ca_file.as_deref(), ca)?,
            certificates: read(identity.map(|identity| &*identity.cert_file), cert)?,
            key: read(identity.map(|identity| &*identity.key_file), key)?,
        })
    }

    pub(super) fn digest(&self) -> TlsDigest {
        let files = [&self.authorities, &self.certificates, &self.key].map(Sha256::digest);
        let settings = Sha256::new_with_prefix(format!("{:?}", self.settings));
        TlsDigest(files.iter().fold(settings, Sha256::chain_update).finalize().into())
    }
}

/// The bytes of a file; none if no file is named.
fn read(file: Option<&Path>, role: &'static str) -> Result<Vec<u8>, TlsFileError> {
    let Some(file) = file else { return Ok(Vec::new()) };
    tls::read(file).map_err(|problem| TlsFileError::new(file, role, problem))
}

/// The TLS settings of a client of any server. `roles` is what messages call the files. Reads them.
pub(crate) fn client_tls(settings: &UpstreamTls, roles: Roles) -> Result<ClientConfig, TlsFileError> {
    client_config(&TlsMaterial::read_as(settings, roles)?)
}

/// The TLS settings of connections to one upstream. The connector sets the application protocols.
pub(super) fn client_config(material: &TlsMaterial<'_>) -> Result<ClientConfig, TlsFileError> {
    let (settings, [ca, cert, key]) = (material.settings, material.roles);
    let provider = tls::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions");
    let trusting = match (settings.verification, &settings.ca_file) {
        (TlsVerification::None, _) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification { provider }))
        }
        (TlsVerification::Full, Some(file)) => {
            let problem = |problem: FileProblem| TlsFileError::new(file, ca, problem);
            let trusted = Trusted::new(tls::certificates(&material.authorities).map_err(problem)?, provider)
                .map_err(|error| problem(error.into()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(trusted))
        }
        (TlsVerification::Full, None) => with_public_roots(builder),
    };
    let Some(identity) = &settings.identity else { return Ok(trusting.with_no_client_auth()) };
    let chain = tls::certificates(&material.certificates)
        .map_err(|problem| TlsFileError::new(&identity.cert_file, cert, problem))?;
    let problem = |problem: FileProblem| TlsFileError::new(&identity.key_file, key, problem);
    let key = tls::key(&material.key).map_err(problem)?;
    trusting.with_client_auth_cert(chain, key).map_err(|error| problem(error.into()))
}

type WantsIdentity = ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// The system's authorities, or Mozilla's if the system has none (as in a minimal container).
fn with_public_roots(builder: ConfigBuilder<ClientConfig, WantsVerifier>) -> WantsIdentity {
    match builder.clone().with_native_roots() {
        Ok(trusting) => trusting,
        Err(error) => {
            tracing::debug!(%error, "no system certificates; trusting the bundled ones");
            builder.with_webpki_roots()
        }
    }
}

/// Trusts the authorities in a file, and servers whose own certificate is in it. As with curl and nginx, a self-signed
/// certificate is its own authority, even if it is marked as one (`CA:TRUE`, as `openssl req -x509` makes it).
#[derive(Debug)]
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    by_authority: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    /// `certificates` must not be empty.
    fn new(certificates: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        let by_authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { certificates, by_authority: by_authority.expect("there is an authority") })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.by_authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The library refuses an authority's certificate as a server's after checking its dates and before its name.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// Accepts any certificate, for `insecureSkipVerify`. Signatures are still checked.
#[derive(Debug)]
struct NoVerification {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
