//! TLS as a client of a server on the same configuration speaks it: of such a server it is known which certificate it shows.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

use super::file::{self, FileProblem, TlsFileError};
use super::{ServerTls, provider};

/// The settings of a client that accepts the certificate of these files, and no other. Its name and its dates do not matter.
/// `own` are the files of a certificate that the client shows, and of its key.
pub(crate) fn client_of_server(
    files: &ServerTls,
    section: &str,
    own: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsFileError> {
    let chain = read_chain(&files.cert_file, &format!("{section}.certFile"))?;
    let certificate = chain.into_iter().next().expect("a file without certificates was refused");
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions");
    let verifier = Arc::new(OneCertificate { certificate, provider });
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some((cert_file, key_file)) = own else { return Ok(builder.with_no_client_auth()) };
    let chain = read_chain(cert_file, "--cert")?;
    let problem = |problem: FileProblem| TlsFileError::new(key_file, "--key", problem);
    let key = file::read(key_file).and_then(|pem| file::key(&pem)).map_err(problem)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| problem(error.into()))
}

/// Whether a client was refused because the server shows another certificate.
pub(crate) fn is_another_certificate(error: &io::Error) -> bool {
    let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) = inside else { return false };
    reason.is::<AnotherCertificate>()
}

/// Whether the server has ended the connection because it wants a certificate.
pub(crate) fn is_certificate_required(error: &io::Error) -> bool {
    let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<Error>());
    matches!(inside, Some(Error::AlertReceived(AlertDescription::CertificateRequired)))
}

fn read_chain(file: &Path, role: &str) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let chain = file::read(file).and_then(|pem| file::certificates(&pem));
    chain.map_err(|problem| TlsFileError::new(file, role, problem))
}

/// The server shows a certificate, but not the one that is expected.
#[derive(thiserror::Error)]
#[error("it is not the one in the configuration's certFile")]
struct AnotherCertificate;

/// The library shows this in its own message.
impl fmt::Debug for AnotherCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Accepts one certificate, whose key the server must have.
#[derive(Debug)]
struct OneCertificate {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(AnotherCertificate)))))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
