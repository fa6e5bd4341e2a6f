//! A task that has the store wake what is due, take lost leases away and drop what is past its retention.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::failure::chain;
use crate::metrics::Metrics;
use crate::store::{StoreControl, UPKEEP_EVERY};

/// Runs until the `finished` signal, which comes after the last attempt.
pub(crate) async fn run(store: Arc<dyn StoreControl>, metrics: Arc<Metrics>, finished: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = finished.cancelled() => return,
        }
        match store.upkeep().await {
            Ok(done) => {
                metrics.jobs_recovered.inc_by(done.reclaimed as u64);
                metrics.jobs_overdue.inc_by(done.overdue as u64);
                if done.reclaimed > 0 {
                    tracing::warn!(jobs = done.reclaimed, "took over jobs whose workers were lost");
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "upkeep of the store"),
        }
    }
}
