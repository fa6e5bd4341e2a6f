//! A lane of the workers: a queue, and how many attempts at its jobs are made at a time.

use std::sync::Arc;

use crate::config::Config;
use crate::job::QueueName;
use crate::slots::Slots;

/// A queue that workers work on.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) queue: QueueName,
    /// One slot for each attempt.
    pub(super) slots: Slots,
}

impl Lane {
    /// The lanes of a configuration: one queue, and all workers for it.
    pub(super) fn all_of(config: &Config) -> Vec<Arc<Self>> {
        vec![Arc::new(Self { queue: config.queue.clone(), slots: Slots::new(config.concurrency) })]
    }

    /// Goes by another configuration: queues stay, numbers of slots may change.
    pub(super) fn reconfigure(&self, config: &Config) {
        self.slots.set_limit(config.concurrency);
    }
}
