//! The heartbeat: renews the leases of running attempts, of all lanes at once, and ends attempts whose lease is gone.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use super::Worker;
use crate::failure::chain;
use crate::store::RENEW_EVERY;

/// Runs until the `finished` signal.
pub(crate) async fn run(worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = worker.stop.finished.cancelled() => return,
        }
        let leases = worker.running.leases();
        if leases.is_empty() {
            continue;
        }
        match worker.store.renew(&leases).await {
            Ok(gone) => {
                for lease in gone {
                    worker.running.revoke(&lease);
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "renew leases"),
        }
    }
}
