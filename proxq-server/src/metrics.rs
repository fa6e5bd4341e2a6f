//! What a server counts. Comes in: each event, by the counter of its kind. Goes out: the counts so far, and for whoever shows
//! them the one table of their names (`metrics/table.rs`).

#[cfg_attr(not(test), expect(dead_code, reason = "no listener shows the table yet; its tests read it"))]
mod table;

use std::sync::atomic::{AtomicU64, Ordering};

/// What a server counts. One for each server of a process; a reload keeps it.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) cache_failures: CacheFailures,
    pub(crate) connections_displaced: Counter,
}

/// How often the response cache did not do as it should, by the step that failed.
#[derive(Debug, Default)]
pub(crate) struct CacheFailures {
    pub(crate) find: Counter,
    pub(crate) read: Counter,
    pub(crate) keep: Counter,
}

impl CacheFailures {
    /// Those of all steps.
    pub(crate) fn total(&self) -> u64 {
        self.find.get() + self.read.get() + self.keep.get()
    }
}

/// A number of events since the start.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one event.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
