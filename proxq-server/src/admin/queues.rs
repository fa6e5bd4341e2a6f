//! How the queues and the upstreams stand: what the store says, and what this instance knows by itself.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::desk::Desk;
use super::filter::Filter;
use super::model::{Counts, Queue, Totals, Upstream};
use crate::config;
use crate::failure::chain;
use crate::job::{QueueName, State};
use crate::metrics;
use crate::store::{QueueStats, StoreError};

/// How long a page waits for the store at most: its reader rather learns that the store is slow.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the queues stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) queues: Vec<Queue>,
    /// Why the store did not say, if it did not: its numbers are 0 then.
    pub(crate) problem: Option<String>,
}

impl Standing {
    /// The jobs of all queues.
    pub(crate) fn jobs(&self) -> Counts {
        self.queues.iter().fold(Counts::default(), |sum, queue| sum.plus(queue.jobs))
    }

    /// For how long the job that waits longest could have begun, in seconds.
    pub(crate) fn oldest_age_seconds(&self) -> f64 {
        self.queues.iter().map(|queue| queue.oldest_age_seconds).fold(0.0, f64::max)
    }
}

impl Counts {
    fn of(stats: &QueueStats) -> Self {
        Self {
            pending: stats.count(State::Pending),
            scheduled: stats.count(State::Scheduled),
            active: stats.count(State::Active),
            retry: stats.count(State::Retry),
            completed: stats.count(State::Completed),
            failed: stats.count(State::Archived),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            scheduled: self.scheduled + other.scheduled,
            active: self.active + other.active,
            retry: self.retry + other.retry,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
        }
    }

    /// Each state with its count.
    pub(super) fn by_state(&self) -> [(&'static str, u64); 6] {
        [
            ("pending", self.pending),
            ("scheduled", self.scheduled),
            ("active", self.active),
            ("retry", self.retry),
            ("failed", self.failed),
            ("completed", self.completed),
        ]
    }

    /// Jobs that have not begun, or rest between attempts.
    pub(crate) fn waiting(&self) -> u64 {
        self.pending + self.scheduled + self.retry
    }
}

impl From<metrics::Totals> for Totals {
    fn from(counted: metrics::Totals) -> Self {
        let metrics::Totals { submitted, completed, failed, retried } = counted;
        Self { submitted, completed, failed, retried }
    }
}

impl Desk {
    /// How all queues stand. Where the store does not say in time, that is part of the answer.
    pub(crate) async fn standing(&self) -> Standing {
        let names = self.queue_names();
        let asking = try_join_all(names.iter().map(|name| self.store.stats(name)));
        let problem = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(stats)) => {
                let queues = names.iter().zip(stats).map(|(name, stats)| self.queue(name, &stats)).collect();
                return Standing { queues, problem: None };
            }
            Ok(Err(error)) => chain(&error),
            Err(_too_late) => format!("it did not answer within {} s", PATIENCE.as_secs()),
        };
        let queues = names.iter().map(|name| self.queue(name, &QueueStats::default())).collect();
        Standing { queues, problem: Some(problem) }
    }

    /// One queue.
    pub(crate) async fn one_queue(&self, name: &QueueName) -> Result<Option<Queue>, StoreError> {
        if !self.queue_names().contains(name) {
            return Ok(None);
        }
        Ok(Some(self.queue(name, &self.store.stats(name).await?)))
    }

    /// What the counters of the store say of a filter that has only a state and a queue.
    pub(super) async fn counted(&self, filter: &Filter) -> Result<u64, StoreError> {
        let mut jobs = 0;
        for queue in filter.queues(&self.queue_names()) {
            let stats = self.store.stats(queue).await?;
            jobs += filter.state.map_or(0, |state| stats.count(state));
        }
        Ok(jobs)
    }

    fn queue(&self, name: &QueueName, stats: &QueueStats) -> Queue {
        let upstreams = self.config.upstreams.iter().filter(|upstream| self.config.queue_of(upstream) == *name);
        let gate = self.gates.all().into_iter().find(|gate| gate.queue() == name);
        let slots = gate.as_ref().map_or(self.gates.home_slots(), |gate| gate.slots());
        Queue {
            name: name.to_string(),
            upstreams: upstreams.map(|upstream| upstream.prefix.to_string()).collect(),
            jobs: Counts::of(stats),
            oldest_age_seconds: stats.oldest.map_or(0.0, |age| age.as_secs_f64()),
            paused: stats.paused,
            running: slots.count_taken() as u64,
            limit: slots.limit() as u64,
            held: gate.and_then(|gate| gate.held_whole()),
        }
    }

    /// The upstreams, each with its queue.
    pub(crate) fn upstreams(&self, standing: &Standing) -> Vec<Upstream> {
        let upstream = |upstream: &config::Upstream| {
            let queue_name = self.config.queue_of(upstream);
            let queue = standing.queues.iter().find(|queue| queue.name == queue_name.as_str())?;
            let flow = &upstream.flow;
            let totals = self.gates.metrics_of(upstream.prefix.as_str()).totals();
            Some(Upstream {
                prefix: upstream.prefix.to_string(),
                url: upstream.url.to_string(),
                queue: queue.clone(),
                own_queue: flow.is_some(),
                rate_limit: flow.rate_limit.map(|rate| rate.to_string()),
                max_queued: flow.max_queued.map(Into::into),
                down: self.gates.of(upstream.prefix.as_str()).and_then(|gate| gate.is_down()),
                since_start: totals.into(),
                last_minute: self.memory.last_minute(upstream.prefix.as_str(), totals).into(),
            })
        };
        self.config.upstreams.iter().filter_map(upstream).collect()
    }
}
