//! The orders for many jobs that this instance remembers. One runs at a time.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::model::{Bulk, BulkOrder};
use crate::clock::Timestamp;
use crate::lock::lock;

/// How many orders are remembered.
const REMEMBERED: usize = 20;

/// The orders of this instance.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: u64,
    orders: VecDeque<Running>,
}

#[derive(Debug)]
struct Running {
    bulk: Bulk,
    stop: CancellationToken,
}

const RUNNING: &str = "running";

impl Orders {
    /// All that are remembered, the latest first.
    pub(crate) fn all(&self) -> Vec<Bulk> {
        lock(&self.0).orders.iter().rev().map(|running| running.bulk.clone()).collect()
    }

    /// The one with this number.
    pub(crate) fn get(&self, number: u64) -> Option<Bulk> {
        lock(&self.0).orders.iter().find(|running| running.bulk.number == number).map(|running| running.bulk.clone())
    }

    /// Has an order end after the jobs that it is at.
    pub(crate) fn stop(&self, number: u64) -> Option<Bulk> {
        let known = lock(&self.0);
        let running = known.orders.iter().find(|running| running.bulk.number == number)?;
        running.stop.cancel();
        Some(running.bulk.clone())
    }

    /// Notes an order as running until `stop`, unless one runs: then that one, and whether it is the same.
    pub(super) fn begin(
        &self,
        order: BulkOrder,
        now: Timestamp,
        stop: CancellationToken,
    ) -> Result<Bulk, Box<(Bulk, bool)>> {
        let mut known = lock(&self.0);
        if let Some(other) = known.orders.iter().find(|running| running.bulk.status == RUNNING) {
            let is_same = other.bulk.order == order;
            return Err(Box::new((other.bulk.clone(), is_same)));
        }
        known.last += 1;
        let bulk = Bulk {
            number: known.last,
            order,
            status: RUNNING.to_owned(),
            started_at: now.to_string(),
            ended_at: None,
            looked_at: 0,
            done: 0,
            skipped: 0,
            error: None,
        };
        if known.orders.len() == REMEMBERED {
            known.orders.pop_front();
        }
        known.orders.push_back(Running { bulk: bulk.clone(), stop });
        Ok(bulk)
    }

    pub(super) fn note(&self, number: u64, change: impl FnOnce(&mut Bulk)) {
        if let Some(running) = lock(&self.0).orders.iter_mut().find(|running| running.bulk.number == number) {
            change(&mut running.bulk);
        }
    }
}
