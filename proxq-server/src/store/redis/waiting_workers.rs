//! The workers of this process that wait for work, by queue. Lives in memory; `wait.rs` asks Redis for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::lock::lock;

/// The workers that wait, by queue.
#[derive(Debug, Default)]
pub(super) struct WaitingWorkers {
    queues: Mutex<HashMap<String, Arc<QueueWorkers>>>,
}

impl WaitingWorkers {
    /// Those of a queue.
    pub(super) fn of(&self, queue: &str) -> Arc<QueueWorkers> {
        let mut queues = lock(&self.queues);
        if let Some(workers) = queues.get(queue) {
            return Arc::clone(workers);
        }
        let workers = Arc::new(QueueWorkers::default());
        queues.insert(queue.to_owned(), Arc::clone(&workers));
        workers
    }
}

/// The workers that wait for one queue.
#[derive(Debug, Default)]
pub(super) struct QueueWorkers {
    served: AtomicBool,
    paused: AtomicBool,
    demand: watch::Sender<Demand>,
}

/// How many wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) waiting: usize,
    /// How often somebody began to wait.
    pub(super) entries: u64,
}

impl QueueWorkers {
    /// True for the first caller, who is to begin waiting for pushes for all of them.
    pub(super) fn begin_to_serve(&self) -> bool {
        !self.served.swap(true, Ordering::AcqRel)
    }

    /// Notes whether the queue is paused. A paused queue hands out nothing, whatever its list has.
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// How many wait, now and later.
    pub(super) fn demand(&self) -> watch::Receiver<Demand> {
        self.demand.subscribe()
    }

    /// One more waits, until what this gives is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Waiting {
        self.demand.send_modify(|demand| {
            demand.waiting += 1;
            demand.entries += 1;
        });
        Waiting(Arc::clone(self))
    }
}

/// Somebody waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Arc<QueueWorkers>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.demand.send_modify(|demand| demand.waiting -= 1);
    }
}
