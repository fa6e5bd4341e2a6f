//! A lane of the workers: a queue, and how many attempts at its jobs are made at a time.

use std::sync::Arc;

use crate::flow::{Gate, Gates};
use crate::job::QueueName;
use crate::metrics::{Held, SHARED};
use crate::slots::Slots;

/// A queue that workers work on.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) queue: QueueName,
    /// One slot for each attempt.
    pub(super) slots: Slots,
    /// What the jobs of the queue pass, where it is that of one upstream.
    pub(super) gate: Option<Arc<Gate>>,
}

impl Lane {
    /// The lane of all upstreams without flow control.
    pub(super) fn home(gates: &Gates) -> Self {
        Self { queue: gates.home().clone(), slots: gates.home_slots().clone(), gate: None }
    }

    /// Counts that all slots are taken, and jobs may wait for one.
    pub(super) fn count_full(&self, gates: &Gates) {
        match &self.gate {
            Some(gate) => gate.count_held(Held::Limit),
            None => gates.metrics_of(SHARED).held(Held::Limit),
        }
    }

    /// The lane of an upstream with flow control.
    pub(super) fn of(gate: Arc<Gate>) -> Self {
        Self { queue: gate.queue().clone(), slots: gate.slots().clone(), gate: Some(gate) }
    }
}
