//! The end of a server: what asks for it, and the order in which things stop.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::stop_signals::StopSignals;
use crate::store::StoreControl;
use crate::tasks::{Cores, Tasks};

/// How long aborted attempts may take to be settled, and connections to end, after the drain's time limit.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Every SIGTERM and SIGINT since this was created; none is missed.
#[derive(Debug)]
pub struct StopRequests {
    terminate: Signal,
    interrupt: Signal,
}

impl StopRequests {
    /// Installs the handlers; without them the operating system ends the process at once.
    ///
    /// # Panics
    /// Where it refuses a signal handler.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it installs signal handlers, which no default should")]
    pub fn new() -> Self {
        Self {
            terminate: signal(SignalKind::terminate()).expect("a handler for SIGTERM can be installed"),
            interrupt: signal(SignalKind::interrupt()).expect("a handler for SIGINT can be installed"),
        }
    }

    /// Returns at the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Everything that runs, grouped by when it has to stop.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    /// Client connections, the accept loop and what reads on for them.
    pub(crate) connections: Tasks,
    /// The dispatcher and the attempts.
    pub(crate) attempts: Tasks,
    /// Renewals and upkeep.
    pub(crate) upkeep: Tasks,
    /// The workers' signals; `draining` is for everybody.
    pub(crate) stop: StopSignals,
    /// Open connections are cut.
    pub(crate) cut: CancellationToken,
}

impl Phases {
    /// Nothing yet, on these cores.
    pub(crate) fn on(cores: &Cores) -> Self {
        Self { connections: Tasks::on(cores), attempts: Tasks::on(cores), ..Self::default() }
    }

    /// Stops everything at once when the guards are dropped; without effect after a drain.
    pub(crate) fn stop_when_dropped(&self) -> [DropGuard; 5] {
        let StopSignals { draining, abort, finished, crashed } = self.stop.clone();
        // The crash comes first: attempts must not see the abort and settle while the store goes away.
        [crashed, draining, abort, finished, self.cut.clone()].map(CancellationToken::drop_guard)
    }

    /// Stops everything, in order. Attempts and connections have `limit` to end by themselves.
    pub(crate) async fn drain(self, limit: Duration, store: &dyn StoreControl) {
        self.stop.draining.cancel();
        store.drain();
        tracing::info!(?limit, "draining: no new connections, no new attempts");
        let ended = async { tokio::join!(self.attempts.all_ended(), self.connections.all_ended()) };
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::warn!("the drain's time is up: aborting running attempts, cutting open connections");
        }
        self.stop.abort.cancel();
        self.cut.cancel();
        let settled = async { tokio::join!(self.attempts.all_ended(), self.connections.all_ended()) };
        if tokio::time::timeout(SETTLE_LIMIT, settled).await.is_err() {
            tracing::error!("some attempts could not be settled; their leases are found lost at the next start");
        }
        self.stop.finished.cancel();
        self.upkeep.all_ended().await;
        store.close().await;
        tracing::info!("drained");
    }
}
