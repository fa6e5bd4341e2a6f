//! The HTTP listener: accepts connections, reads requests, and hands each to its [`Handler`]. What the requests are about,
//! and who answers them, is left to the handler: one for clients and one for operators are served alike.

mod answer;
mod capacity;
mod connection;
mod crowd;
mod exchange;
mod handshake;
mod head;
mod host;
mod http2;
mod linger;
mod protocol;
mod socket;
#[cfg(test)]
mod tests;
mod watchdog;
mod watched;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::crowd::Crowd;
use crate::arrival::Arrival;
use crate::config::{Config, Limits};
use crate::current::Current;
use crate::metrics::ListenerMetrics;
use crate::process::file_limit;
use crate::reply::body::Body;
use crate::shortage::Shortage;
use crate::slots::{Slot, Slots};
use crate::tasks::{Tasks, processors};
use crate::tls::ListenerTls;
use crate::upload::DiscardBounds;

/// The pause after a failed `accept`: it fails for want of descriptors or memory, which connections that end give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long an idle connection stays open while the server drains, so that a request that is on its way is still
/// served, with `Connection: close`, rather than met by a reset.
const DRAIN_LINGER: Duration = Duration::from_secs(1);

/// The most connections of operators at once: browsers, scrapers and scripts.
const OPERATORS_MAX: usize = 256;

/// Answers the requests that a listener reads.
pub(crate) trait Handler: fmt::Debug + Send + Sync {
    /// Answers a request. `None` where the client broke off: there is nobody to answer.
    ///
    /// Its path is one that all servers read alike, its `Host` the host that it is for.
    fn handle(&self, arrival: Arrival) -> BoxFuture<'_, Option<Response<Body>>>;
}

/// What a listener serves. A reload replaces it as a whole; a request keeps what it began with.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) settings: ListenSettings,
    pub(crate) handler: Box<dyn Handler>,
}

/// The settings of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenSettings {
    /// Limits on connections; `max_connections` is already lowered to what the limit on open files allows.
    limits: Limits,
    /// How much is read of an upload that nobody wants.
    discard: DiscardBounds,
}

impl ListenSettings {
    /// Those of the listener for operators, who are few.
    pub(crate) fn for_operators(config: &Config) -> Self {
        let limits = Limits { max_connections: OPERATORS_MAX, ..config.limits };
        Self { limits, discard: DiscardBounds::of(config) }
    }

    pub(crate) fn of(config: &Config) -> Self {
        let limits = Limits { max_connections: connections_for(config), ..config.limits };
        Self { limits, discard: DiscardBounds::of(config) }
    }
}

/// A listener's connections, and what all of them share.
#[derive(Debug)]
pub(crate) struct Surface {
    served: Current<Served>,
    /// What is shown of this listener by TLS, if it speaks that.
    tls: Option<Arc<ListenerTls>>,
    /// One for each connection that is allowed at a time.
    places: Slots,
    /// All connections: an idle one makes room for another.
    crowd: Arc<Crowd>,
    metrics: ListenerMetrics,
    /// The tasks that handle the requests of HTTP/2 connections, and those that read uploads which were answered.
    requests: Tasks,
    /// Cancelled when no new connections are accepted, and open ones end with their present request.
    draining: CancellationToken,
    /// Cancelled when open connections are cut.
    cut: CancellationToken,
}

/// The client is gone, or sent what cannot be answered: its connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(crate) struct BrokenOff;

impl Surface {
    pub(crate) fn new(
        served: Served,
        tls: Option<Arc<ListenerTls>>,
        metrics: ListenerMetrics,
        requests: Tasks,
        draining: CancellationToken,
        cut: CancellationToken,
    ) -> Self {
        let places = Slots::new(served.settings.limits.max_connections);
        let crowd = Arc::new(Crowd::new(metrics.displaced.clone()));
        Self { served: Current::new(served), tls, places, crowd, metrics, requests, draining, cut }
    }

    /// Serves this to the requests that begin from now on, and allows as many connections as it says.
    pub(crate) fn replace(&self, served: Served) {
        self.places.set_limit(served.settings.limits.max_connections);
        self.served.replace(served);
    }

    /// Returns when the server has been draining for this long.
    async fn drained_for(&self, span: Duration) {
        self.draining.cancelled().await;
        tokio::time::sleep(span).await;
    }

    /// Accepts connections until the server drains.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, connections: Tasks) {
        tokio::select! {
            () = self.draining.cancelled() => {}
            () = self.accept_all(&listener, &connections) => {}
        }
    }

    async fn accept_all(self: &Arc<Self>, listener: &TcpListener, connections: &Tasks) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // While this one waits for its place, others wait in the kernel's backlog.
                    let (surface, place) = (Arc::clone(self), self.place().await);
                    let stream = stream.into_std();
                    connections.spawn_on_core(async move {
                        // It belongs to the runtime that it is read by.
                        match stream.and_then(TcpStream::from_std) {
                            Ok(stream) => connection::run(surface, stream, peer, place).await,
                            Err(error) => tracing::warn!(%error, %peer, "take over a connection"),
                        }
                    });
                }
                Err(error) => self.cannot_accept(&error).await,
            }
        }
    }

    /// Takes a place for a connection as soon as there is one. Where all are taken, idle connections give way.
    async fn place(&self) -> Slot {
        loop {
            tokio::select! {
                biased;
                _ = self.places.free() => return self.places.take(),
                () = self.crowd.one_gives_way() => {}
            }
        }
    }

    /// Waits until it is worth trying again.
    async fn cannot_accept(&self, error: &io::Error) {
        let pause = tokio::time::sleep(ACCEPT_PAUSE);
        let Some(shortage) = Shortage::behind(error) else {
            tracing::warn!(%error, "accept a connection");
            return pause.await;
        };
        shortage.report("accept a connection", error);
        tokio::select! {
            () = pause => {}
            () = self.crowd.one_gives_way() => {}
        }
    }
}

/// How many connections this configuration and the limit on open files allow. Fewer than configured are a warning where
/// somebody asked for a number. The default is more than most machines allow, so there it is only information.
fn connections_for(config: &Config) -> usize {
    const FEWER: &str = "fewer client connections than limits.maxConnections are taken: \
                         the limit on open files has to leave room for upstream connections and the store";
    let (configured, file_limit, concurrency) = (config.limits.max_connections, file_limit(), config.concurrency);
    let allowed = capacity::connections(configured, concurrency, processors(), file_limit);
    if allowed < configured {
        if configured == Limits::default().max_connections {
            tracing::info!(configured, allowed, file_limit, concurrency, "{FEWER}");
        } else {
            tracing::warn!(configured, allowed, file_limit, concurrency, "{FEWER}");
        }
    }
    allowed
}
