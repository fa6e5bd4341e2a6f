//! From when to when a certificate is valid.
//!
//! The library that verifies certificates tells the dates only in its refusals. So it is asked about the two ends of time,
//! at which it refuses every certificate. A parser of certificates, for two dates, would be one more dependency that reads
//! what others have written.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

use super::provider;
use crate::clock::Timestamp;

/// From when to when a certificate is valid, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Validity {
    /// The dates of a certificate. `None` where they cannot be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).ok()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()?;
        let name = ServerName::try_from("proxq.invalid").expect("it is a name");
        let refusal = |at| verifier.verify_server_cert(certificate, &[], &name, &[], at).err();
        let not_before = match refusal(UnixTime::since_unix_epoch(Duration::ZERO)) {
            Some(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => not_before,
            _ => UnixTime::since_unix_epoch(Duration::ZERO), // valid since before there was an epoch
        };
        let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
        let Some(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) = refusal(end) else {
            return None;
        };
        Some(Self { not_before: timestamp(not_before), not_after: timestamp(not_after) })
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        // The last second is a part of it.
        now >= self.not_after.after(Duration::from_secs(1))
    }

    /// Whether its time has not come.
    pub(super) fn is_to_come(&self, now: Timestamp) -> bool {
        now < self.not_before
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}
