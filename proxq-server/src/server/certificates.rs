//! The TLS of both listeners, and what keeps it up to date while the server runs.
//!
//! Files are read again when they may have changed, and at a reload. What cannot be used changes nothing: the former
//! certificate stays, and the log says why.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::config::{AdminTls, Config};
use crate::failure::chain;
use crate::tasks::{self, Tasks};
use crate::tls::{FileWatch, ListenerTls, Renewal, TlsFileError};

/// How long after a first sign of a change files are read. A certificate and its key are replaced one after the other, as a rule
/// within milliseconds; a new certificate is to be in place within a second.
const SETTLE: Duration = Duration::from_millis(200);

/// The TLS of the listeners that speak it.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    clients: Option<Arc<ListenerTls>>,
    /// The same as that of clients where operators have none of their own.
    operators: Option<Arc<ListenerTls>>,
}

impl Certificates {
    /// Reads the files.
    pub(super) fn load(config: &Config) -> Result<Self, TlsFileError> {
        let load = |(files, section)| ListenerTls::load(files, section).map(Arc::new);
        let clients = config.tls_of_clients().map(load).transpose()?;
        let operators = match config.admin.as_ref().map(|admin| &admin.tls) {
            Some(AdminTls::AsClients) => clients.clone(),
            Some(AdminTls::Own(_)) => config.tls_of_operators().map(load).transpose()?,
            Some(AdminTls::Off) | None => None,
        };
        Ok(Self { clients, operators })
    }

    pub(super) fn of_clients(&self) -> Option<Arc<ListenerTls>> {
        self.clients.clone()
    }

    pub(super) fn of_operators(&self) -> Option<Arc<ListenerTls>> {
        self.operators.clone()
    }

    /// Each once.
    fn all(&self) -> impl Iterator<Item = &Arc<ListenerTls>> {
        let own =
            self.operators.iter().filter(|own| self.clients.as_ref().is_none_or(|other| !Arc::ptr_eq(own, other)));
        self.clients.iter().chain(own)
    }

    /// Keeps what the listeners show up to date until this is cancelled.
    pub(super) fn keep_renewed(&self, clock: Clock, tasks: &Tasks, finished: &CancellationToken) {
        for tls in self.all() {
            let (tls, finished) = (Arc::clone(tls), finished.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = finished.cancelled() => {}
                    () = keep_renewed(tls, clock) => {}
                }
            });
        }
    }

    /// What the files of another configuration give. That a listener speaks TLS at all does not change. Reads files.
    pub(super) fn renewals(&self, config: &Config, now: Timestamp) -> Result<Renewals, TlsFileError> {
        let mut renewals = Vec::new();
        for tls in self.all() {
            let configured = [config.tls_of_clients(), config.tls_of_operators()];
            let own = configured.into_iter().flatten().find(|(_, section)| *section == tls.section());
            let Some((files, _)) = own else { continue };
            renewals.extend(tls.renewal(files, now)?.map(|renewal| (Arc::clone(tls), renewal)));
        }
        Ok(Renewals(renewals))
    }
}

/// What listeners are to show from now on.
#[derive(Debug)]
pub(super) struct Renewals(Vec<(Arc<ListenerTls>, Renewal)>);

impl Renewals {
    /// What is renewed though the configuration names the same files.
    pub(super) fn with_other_contents(&self) -> impl Iterator<Item = String> {
        let same_files = self.0.iter().filter(|(tls, renewal)| *renewal.files() == tls.files());
        same_files.map(|(tls, _)| format!("{} (contents of files)", tls.section()))
    }

    /// Takes all of it over.
    pub(super) fn take_over(self) {
        for (tls, renewal) in self.0 {
            tls.take_over(renewal);
        }
    }
}

/// Takes a new certificate over whenever the files have one. Never returns.
async fn keep_renewed(tls: Arc<ListenerTls>, clock: Clock) {
    let mut complaint = None;
    loop {
        // Watched before they are read, so that no change is missed.
        let watch = watch(&tls).await;
        let problem = renew(&tls, clock).await.err();
        let mut change = pin!(change(&tls, watch.as_ref()));
        // What changes right now is read again before anybody complains: what was read may be half of the old and half of the new.
        if tokio::time::timeout(SETTLE, change.as_mut()).await.is_err() {
            if let Some(error) = problem.as_ref().filter(|_| problem != complaint) {
                tracing::error!(section = tls.section(), error, "certificate not renewed: the former one stays");
            }
            complaint = problem;
            change.await;
        }
        tokio::time::sleep(SETTLE).await;
    }
}

/// Returns when the files may have other contents, or others are to be read.
async fn change(tls: &ListenerTls, watch: Option<&FileWatch>) {
    let changed = async {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        changed = changed => if let Err(error) = changed {
            tracing::warn!(%error, "read what has changed of the files of certificates");
        },
        () = tls.moved() => {}
    }
}

async fn watch(tls: &ListenerTls) -> Option<FileWatch> {
    let files = tls.files();
    let watched = tasks::blocking(move || FileWatch::on(files.all().map(Path::new)));
    let watched = watched.await.expect("watching files does not panic");
    watched
        .inspect_err(|error| {
            let section = tls.section();
            tracing::warn!(%error, section, "the files of a certificate are not watched; SIGHUP has them read again");
        })
        .ok()
}

/// Takes over what the files have, or gives why it cannot.
async fn renew(tls: &Arc<ListenerTls>, clock: Clock) -> Result<(), String> {
    let (now, section, read) = (clock.wall(), tls.section(), Arc::clone(tls));
    let renewal = tasks::blocking(move || read.renewal(&read.files(), now));
    let renewal = renewal.await.expect("reading certificates does not panic").map_err(|error| chain(&error))?;
    let Some(renewal) = renewal else { return Ok(()) };
    let (from, until) = (renewal.not_before(now), renewal.not_after());
    tls.take_over(renewal);
    let until = until.map(tracing::field::display);
    tracing::info!(section, expires = until, "certificate renewed");
    if let Some(from) = from {
        tracing::warn!(section, %from, "the new certificate is not valid yet");
    }
    Ok(())
}
