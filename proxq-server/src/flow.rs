//! The gates of upstreams with flow control: every attempt at such an upstream passes its gate, jobs and direct requests alike.
//! The rules are in `pacing`, what instances share is in the store; a gate has what this instance knows by itself: how many
//! attempts run here, whether the upstream is down, and how many it bears.

mod admission;
mod drain;
mod gate;
mod pass;
mod places;
mod signs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxq_protocol::Waiting;
use uuid::Uuid;

pub(crate) use self::gate::{Gate, Grant};
pub(crate) use self::pass::Pass;
pub(crate) use self::places::hold_places;
pub(crate) use self::signs::{Signs, Trouble, signs_of_status};
use crate::clock::Clock;
use crate::config::{Config, FlowControl};
use crate::job::{Job, QueueName, State};
use crate::lock::lock;
use crate::metrics::{Metrics, SHARED, UpstreamMetrics};
use crate::slots::Slots;
use crate::store::{HeldBack, LimitedQueues};
use crate::tasks::Tasks;

/// A random part of a span, so that not all act at the same moment who were told the same.
pub(crate) fn random_part(span: Duration) -> Duration {
    span.mul_f64(f64::from(Uuid::new_v4().as_bytes()[0]) / f64::from(u8::MAX))
}

/// The gates of all upstreams that have one, and the slots of all others together.
#[derive(Debug)]
pub(crate) struct Gates {
    home: QueueName,
    home_slots: Slots,
    known: Mutex<Known>,
    shared: Arc<Shared>,
}

/// The gates that there are.
#[derive(Debug, Default)]
struct Known {
    /// All of them. One whose upstream a reload has removed stays, without limits, until its queue is an upstream's again.
    by_queue: HashMap<QueueName, Arc<Gate>>,
    /// Those of upstreams.
    by_prefix: HashMap<String, Arc<Gate>>,
}

/// What all gates share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn LimitedQueues>,
    clock: Clock,
    /// What is told to the store after an attempt.
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

impl Gates {
    /// The gates of a configuration.
    pub(crate) fn new(
        config: &Config,
        store: Arc<dyn LimitedQueues>,
        clock: Clock,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
        let gates = Self {
            home: config.queue.clone(),
            home_slots: Slots::new(config.concurrency),
            known: Mutex::default(),
            shared: Arc::new(Shared { store, clock, tasks, metrics }),
        };
        gates.reconfigure(config);
        gates
    }

    /// Goes by another configuration. A gate whose queue is still that of an upstream keeps what it knows.
    pub(crate) fn reconfigure(&self, config: &Config) {
        self.shared.metrics.know_upstreams(config.upstreams.iter().map(|upstream| upstream.prefix.as_str()));
        self.home_slots.set_limit(config.concurrency);
        let mut known = lock(&self.known);
        known.by_prefix.clear();
        let mut without = known.by_queue.clone();
        for upstream in config.upstreams.iter().filter(|upstream| upstream.flow.is_some()) {
            let queue = config.queue_of(upstream);
            let metrics = self.metrics_of(upstream.prefix.as_str());
            let gate = match without.remove(&queue) {
                Some(gate) => {
                    gate.reconfigure(&upstream.flow, config.concurrency, metrics);
                    gate
                }
                None => self.add(&mut known, queue, &upstream.flow, config.concurrency, metrics),
            };
            known.by_prefix.insert(upstream.prefix.as_str().to_owned(), gate);
        }
        // Their jobs are worked on until there are none, without limits.
        for gate in without.into_values() {
            gate.reconfigure(&FlowControl::default(), config.concurrency, self.metrics_of(SHARED));
        }
    }

    fn add(
        &self,
        known: &mut Known,
        queue: QueueName,
        flow: &FlowControl,
        concurrency: usize,
        metrics: Arc<UpstreamMetrics>,
    ) -> Arc<Gate> {
        let gate = Arc::new(Gate::new(queue.clone(), flow, (concurrency, metrics), Arc::clone(&self.shared)));
        known.by_queue.insert(queue, Arc::clone(&gate));
        gate
    }

    /// Makes a gate without limits for a queue that may have jobs of a former configuration.
    pub(crate) fn add_leftover(&self, queue: QueueName, concurrency: usize) {
        let mut known = lock(&self.known);
        if !known.by_queue.contains_key(&queue) {
            self.add(&mut known, queue, &FlowControl::default(), concurrency, self.metrics_of(SHARED));
        }
    }

    /// What is counted for the upstream with this prefix.
    pub(crate) fn metrics_of(&self, prefix: &str) -> Arc<UpstreamMetrics> {
        self.shared.metrics.upstream(prefix)
    }

    /// The gate of the upstream with this prefix, if it has flow control.
    pub(crate) fn of(&self, prefix: &str) -> Option<Arc<Gate>> {
        lock(&self.known).by_prefix.get(prefix).map(Arc::clone)
    }

    /// All gates.
    pub(crate) fn all(&self) -> Vec<Arc<Gate>> {
        lock(&self.known).by_queue.values().map(Arc::clone).collect()
    }

    /// The queue of all upstreams without flow control.
    pub(crate) fn home(&self) -> &QueueName {
        &self.home
    }

    /// The slots of all upstreams without flow control.
    pub(crate) fn home_slots(&self) -> &Slots {
        &self.home_slots
    }

    /// Why a job waits, as far as this instance knows without asking anybody; `None` for one that does not wait, and for one that
    /// is about to begin.
    pub(crate) fn why_waits(&self, job: &Job) -> Option<Waiting> {
        let gate = self.of(&job.request.upstream);
        let credential = job.request.credential;
        let queue = gate.as_ref().map_or(&self.home, |gate| &gate.queue);
        let held_back = || self.shared.store.held_back(queue, credential);
        match job.state {
            State::Scheduled => Some(Waiting::Delayed),
            State::Retry if held_back() == Some(HeldBack::Parked) => Some(Waiting::Parked),
            State::Retry => Some(Waiting::Backoff),
            State::Pending => {
                let held_back = held_back().map(|why| match why {
                    HeldBack::Paused => Waiting::Paused,
                    HeldBack::Parked => Waiting::Parked,
                    HeldBack::Rate => Waiting::Rate,
                });
                held_back.or_else(|| match &gate {
                    Some(gate) => gate.why_waits(credential),
                    None => (self.home_slots.count_free() == 0).then_some(Waiting::Limit),
                })
            }
            State::Active | State::Completed | State::Archived => None,
        }
    }
}
