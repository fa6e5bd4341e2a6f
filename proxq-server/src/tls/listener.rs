//! What a running listener shows of itself, and how another certificate takes the place of the present one. A connection
//! keeps what it began with.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::Notify;

use super::ServerTls;
use super::file::{FileProblem, TlsFileError};
use super::identity::Identity;
use crate::clock::Timestamp;
use crate::current::Current;

/// The TLS of a listener.
#[derive(Debug)]
pub(crate) struct ListenerTls {
    /// What the keys of the configuration begin with that name its files.
    section: &'static str,
    shown: Current<Shown>,
    /// Other files are to be watched.
    moved: Notify,
}

#[derive(Debug)]
struct Shown {
    files: ServerTls,
    identity: Identity,
}

/// What is to be shown from now on.
#[derive(Debug)]
pub(crate) struct Renewal(Shown);

impl Renewal {
    /// Where it is from.
    pub(crate) fn files(&self) -> &ServerTls {
        &self.0.files
    }

    /// Until when the certificate is valid, where that is known.
    pub(crate) fn not_after(&self) -> Option<Timestamp> {
        self.0.identity.validity.map(|validity| validity.not_after)
    }

    /// From when on it is valid, where that is still to come.
    pub(crate) fn not_before(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.identity.validity.filter(|validity| validity.is_to_come(now)).map(|validity| validity.not_before)
    }
}

impl ListenerTls {
    /// Reads the files.
    pub(crate) fn load(files: &ServerTls, section: &'static str) -> Result<Self, TlsFileError> {
        let shown = Shown { files: files.clone(), identity: Identity::load(files, section)? };
        Ok(Self { section, shown: Current::new(shown), moved: Notify::new() })
    }

    /// The settings for a connection that begins.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shown.get().identity.config)
    }

    /// The section of the configuration that it is from.
    pub(crate) fn section(&self) -> &'static str {
        self.section
    }

    /// Its files.
    pub(crate) fn files(&self) -> ServerTls {
        self.shown.get().files.clone()
    }

    /// What these files give; `None` where it is what is shown already. Another certificate that has expired is refused:
    /// the present one is hardly worse. With the present one, expired or not, other authorities are taken over. Reads files.
    pub(crate) fn renewal(&self, files: &ServerTls, now: Timestamp) -> Result<Option<Renewal>, TlsFileError> {
        let (present, identity) = (self.shown.get(), Identity::load(files, self.section)?);
        if identity.digest == present.identity.digest && *files == present.files {
            return Ok(None);
        }
        if identity.certificate != present.identity.certificate
            && let Some(validity) = identity.validity.filter(|validity| validity.is_over(now))
        {
            let problem = FileProblem::Expired { since: validity.not_after };
            return Err(TlsFileError::new(&files.cert_file, format!("{}.certFile", self.section), problem));
        }
        Ok(Some(Renewal(Shown { files: files.clone(), identity })))
    }

    /// Shows this to the connections that begin from now on.
    pub(crate) fn take_over(&self, renewal: Renewal) {
        let is_moved = renewal.0.files != self.shown.get().files;
        self.shown.replace(renewal.0);
        if is_moved {
            self.moved.notify_one();
        }
    }

    /// Returns when it has other files than before.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }
}
