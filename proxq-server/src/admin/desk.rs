//! What the answers to operators are made from.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::history::Memory;
use super::orders::Orders;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::flow::Gates;
use crate::intake::Submitter;
use crate::job::{Job, QueueName};
use crate::metrics::Metrics;
use crate::store::JobStore;

/// What the answers are made from. A reload makes another one with the same memory.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) submitter: Arc<Submitter>,
    pub(crate) clock: Clock,
    pub(crate) memory: Arc<Memory>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) instance: String,
    pub(crate) started_at: Timestamp,
    /// Cancelled when the server stops: it is not ready any more, and what goes on in the background ends.
    pub(crate) draining: CancellationToken,
}

impl Desk {
    /// The queues that this instance works on, or feeds.
    pub(crate) fn queue_names(&self) -> Vec<QueueName> {
        let mut names = vec![self.gates.home().clone()];
        let mut others: Vec<_> = self.gates.all().iter().map(|gate| gate.queue().clone()).collect();
        others.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.extend(others.into_iter().filter(|name| *name != names[0]).collect::<Vec<_>>());
        names
    }

    /// The time of day, in seconds since 1970.
    pub(super) fn unix_seconds(&self) -> i64 {
        i64::try_from(self.clock.wall().since_epoch().as_secs()).unwrap_or(i64::MAX)
    }

    /// The queue of a job's upstream.
    pub(super) fn queue_of(&self, job: &Job) -> QueueName {
        match self.config.upstream(&job.request.upstream) {
            Some(upstream) => self.config.queue_of(upstream),
            None => self.config.queue.clone(),
        }
    }
}
