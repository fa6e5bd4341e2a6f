//! The pace of queues with limits. It is in memory: a restart forgets it, which costs a refusal here and there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::pacing::Turns;

/// The pace of each queue.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Arc<Mutex<QueuePace>>>>);

/// The pace of one queue.
#[derive(Debug, Default)]
pub(super) struct QueuePace {
    pub(super) turns: Turns,
    /// Whether `turns` knows which credentials have filed jobs.
    pub(super) knows_files: bool,
}

impl Paces {
    /// Forgets which jobs are filed, for a transaction that may have changed that was rolled back.
    pub(super) fn forget_files(&self) {
        let paces: Vec<_> = lock(&self.0).values().map(Arc::clone).collect();
        for pace in paces {
            let mut pace = lock(&pace);
            pace.turns.forget_files();
            pace.knows_files = false;
        }
    }

    /// That of a queue.
    pub(super) fn of(&self, queue: &str) -> Arc<Mutex<QueuePace>> {
        let mut paces = lock(&self.0);
        if let Some(pace) = paces.get(queue) {
            return Arc::clone(pace);
        }
        Arc::clone(paces.entry(queue.to_owned()).or_default())
    }
}
