//! The places that direct attempts hold among those of all instances: renewed while the attempts run, as leases are.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Gates;
use crate::failure::chain;
use crate::store::RENEW_EVERY;

/// Runs until the server has finished.
pub(crate) async fn hold_places(gates: Arc<Gates>, finished: CancellationToken) {
    let mut ticks = tokio::time::interval(RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = finished.cancelled() => return,
        }
        for gate in gates.all() {
            let places: Vec<_> = gate.lock().places.iter().map(|(place, credential)| (*place, *credential)).collect();
            if places.is_empty() {
                continue;
            }
            if let Err(error) = gate.shared.store.hold_places(&gate.queue, &places).await {
                tracing::warn!(error = chain(&error), "hold the places of direct attempts");
            }
        }
    }
}
