//! Has the store wake what is due, take lost leases away and drop what is past its retention.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use super::Worker;
use crate::failure::chain;
use crate::store::UPKEEP_EVERY;

/// Runs until nothing runs any more.
pub(crate) async fn run(worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = worker.stop.finished.cancelled() => return,
        }
        match worker.store.upkeep().await {
            Ok(done) if done.reclaimed > 0 => {
                tracing::warn!(jobs = done.reclaimed, "took over jobs whose workers were lost");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "upkeep of the store"),
        }
    }
}
