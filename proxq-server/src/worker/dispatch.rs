//! The dispatcher of a lane: leases as many jobs as there are free slots, and starts an attempt at each.

use std::sync::Arc;

use super::Worker;
use super::backlog::Backlog;
use super::lane::Lane;
use crate::failure::chain;
use crate::store::{BATCH_LIMIT, StorePauses};

impl Worker {
    /// Runs until the server stops.
    pub(super) async fn dispatch(self: Arc<Self>, lane: Arc<Lane>) {
        let mut pauses = StorePauses::new();
        let mut backlog = Backlog::new(self.pace);
        loop {
            let free = tokio::select! {
                biased;
                () = self.stop.draining.cancelled() => return,
                // Checked before the slots: with short attempts one is nearly always free, and this branch would never
                // run.
                () = backlog.time_to_look() => {
                    match lane.slots.limit() {
                        0 => backlog.not_all_busy(),
                        concurrency => backlog.look(&*self.store, &lane.queue, concurrency).await,
                    }
                    continue;
                }
                free = lane.slots.free() => free,
            };
            match self.store.lease(&lane.queue, free.min(BATCH_LIMIT)).await {
                Ok(jobs) => {
                    pauses = StorePauses::new();
                    let nothing_due = jobs.is_empty();
                    if jobs.len() == free {
                        backlog.all_busy();
                    } else if jobs.len() < free.min(BATCH_LIMIT) {
                        backlog.not_all_busy();
                    }
                    for job in jobs {
                        // Boxed: it is large, and the runtime would move it several times.
                        let work = Box::pin(Arc::clone(&self).work(Arc::clone(&lane), job, lane.slots.take()));
                        let crashed = self.stop.crashed.clone();
                        self.tasks.spawn_on_core(async move {
                            tokio::select! {
                                biased;
                                () = crashed.cancelled() => {}
                                () = work => {}
                            }
                        });
                    }
                    if nothing_due {
                        tokio::select! {
                            () = self.store.due(&lane.queue) => {}
                            // A reload has removed the free slots: what is due is for other instances.
                            () = lane.slots.full() => backlog.all_busy(),
                            () = self.stop.draining.cancelled() => return,
                        }
                    }
                }
                Err(error) => {
                    let pause = pauses.next();
                    tracing::warn!(error = chain(&error), ?pause, "lease jobs");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.draining.cancelled() => return,
                    }
                }
            }
        }
    }
}
