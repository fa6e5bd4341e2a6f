//! The gate of one upstream.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use proxq_protocol::Waiting;
use tokio::sync::Notify;
use uuid::Uuid;

use super::drain::DrainRate;
use super::{Shared, random_part};
use crate::clock::Timestamp;
use crate::config::FlowControl;
use crate::current::Current;
use crate::failure::chain;
use crate::job::{CredentialHash, QueueName};
use crate::lock::lock;
use crate::metrics::{Held, UpstreamMetrics};
use crate::pacing::{
    Adaptive, Allowed, Breaker, Era, Hold, PARK_JITTER_MAX, PARK_JITTER_PARTS, QueueLimits, Rate, Terms, Turns, advice,
};
use crate::reply::LimitName;
use crate::slots::Slots;

/// What every attempt at an upstream passes.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(super) queue: QueueName,
    /// A slot for each attempt of this instance.
    pub(super) slots: Slots,
    settings: Current<Settings>,
    state: Mutex<GateState>,
    /// Told when an attempt has ended. One task waits for it: the dispatcher of the queue.
    ended: Notify,
    /// Told when other settings hold.
    reconfigured: Notify,
    /// Whether it was said in the log that the upstream's hints cannot be understood.
    nonsense_said: AtomicBool,
    pub(super) shared: Arc<Shared>,
}

/// What a gate goes by.
#[derive(Clone, Debug)]
struct Settings {
    flow: FlowControl,
    /// How many attempts this instance makes at once, at most.
    concurrency: usize,
    /// Whether this instance makes attempts at jobs; otherwise it only accepts them.
    works: bool,
    metrics: Arc<UpstreamMetrics>,
}

/// What a gate knows.
#[derive(Debug)]
pub(crate) struct GateState {
    pub(super) breaker: Option<Breaker>,
    pub(super) adaptive: Option<Adaptive>,
    /// Attempts that run, by credential.
    pub(super) running: HashMap<CredentialHash, u32>,
    /// What holds the whole queue back, as the store said last.
    held: Option<Hold>,
    /// The pace while the store does not answer.
    pub(super) alone: Turns,
    pub(super) drained: DrainRate,
    /// The places that direct attempts hold in the store.
    pub(super) places: HashMap<Uuid, CredentialHash>,
}

/// What the breaker of a gate allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) allowed: Allowed,
    /// `None` without a breaker.
    era: Option<Era>,
}

impl Grant {
    const ALL: Self = Self { allowed: Allowed::All, era: None };
}

/// The most attempts at once of a front, which only makes direct ones, where nothing says how many.
const FRONT_MAX: usize = 10;

impl Settings {
    fn new(flow: &FlowControl, concurrency: usize, metrics: Arc<UpstreamMetrics>) -> Self {
        let highest = flow.adaptive.and_then(|range| range.max);
        let own = flow.concurrency.or(highest).map(|limit| limit.get() as usize);
        Self {
            flow: flow.clone(),
            concurrency: own.unwrap_or(if concurrency == 0 { FRONT_MAX } else { concurrency }),
            works: concurrency > 0,
            metrics,
        }
    }
}

impl Gate {
    pub(super) fn new(
        queue: QueueName,
        flow: &FlowControl,
        (concurrency, metrics): (usize, Arc<UpstreamMetrics>),
        shared: Arc<Shared>,
    ) -> Self {
        let settings = Settings::new(flow, concurrency, metrics);
        let state = GateState {
            breaker: flow.circuit_breaker.map(Breaker::new),
            adaptive: flow.adaptive.map(|range| Adaptive::new(range, settings.concurrency)),
            running: HashMap::new(),
            held: None,
            alone: Turns::default(),
            drained: DrainRate::default(),
            places: HashMap::new(),
        };
        let gate = Self {
            queue,
            slots: Slots::new(settings.concurrency),
            settings: Current::new(settings),
            state: Mutex::new(state),
            ended: Notify::new(),
            reconfigured: Notify::new(),
            nonsense_said: AtomicBool::new(false),
            shared,
        };
        gate.set_slots(&gate.lock());
        gate
    }

    /// Goes by other settings, and keeps what it knows.
    pub(super) fn reconfigure(&self, flow: &FlowControl, concurrency: usize, metrics: Arc<UpstreamMetrics>) {
        let settings = Settings::new(flow, concurrency, metrics);
        let mut state = self.lock();
        state.breaker = match (state.breaker.take(), flow.circuit_breaker) {
            (Some(mut breaker), Some(policy)) => {
                breaker.set_policy(policy);
                Some(breaker)
            }
            (_, policy) => policy.map(Breaker::new),
        };
        state.adaptive = match (state.adaptive.take(), flow.adaptive) {
            (Some(mut adaptive), Some(range)) => {
                adaptive.set_range(range, settings.concurrency);
                Some(adaptive)
            }
            (_, range) => range.map(|range| Adaptive::new(range, settings.concurrency)),
        };
        state.held = None;
        self.settings.replace(settings);
        self.set_slots(&state);
        drop(state);
        self.reconfigured.notify_one();
    }

    /// The queue of the upstream's jobs.
    pub(crate) fn queue(&self) -> &QueueName {
        &self.queue
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Whether this instance works on the queue.
    pub(crate) fn works(&self) -> bool {
        self.settings.get().works
    }

    /// How many jobs may wait.
    pub(crate) fn max_queued(&self) -> Option<NonZeroU32> {
        self.settings.get().flow.max_queued
    }

    /// Returns when an attempt has ended since the last call. Cancel safe.
    pub(crate) async fn attempt_ended(&self) {
        self.ended.notified().await;
    }

    /// Returns when other settings hold since the last call. Cancel safe.
    pub(crate) async fn reconfigured(&self) {
        self.reconfigured.notified().await;
    }

    /// Whether credentials have limits of their own on attempts at once.
    pub(crate) fn limits_each_credential(&self) -> bool {
        self.settings.get().flow.per_credential.concurrency.is_some()
    }

    /// How many attempts may begin as far as the breaker goes.
    pub(crate) fn allowed(&self) -> Grant {
        let now = self.now();
        self.lock().breaker.as_mut().map_or(Grant::ALL, |breaker| {
            let (allowed, era) = breaker.allowed(now);
            Grant { allowed, era: Some(era) }
        })
    }

    /// How many attempts at jobs may begin by a grant.
    pub(crate) fn most(&self, grant: Grant) -> usize {
        match grant.allowed {
            _ if !self.works() => 0,
            Allowed::All => usize::MAX,
            Allowed::Some(count) => count,
            Allowed::Probe => 1,
            Allowed::NoneUntil(_) => 0,
        }
    }

    /// Whether a connection should be tried from time to time.
    pub(crate) fn wants_connection(&self) -> bool {
        self.lock().breaker.as_ref().is_some_and(Breaker::wants_connection)
    }

    /// Notes that a connection was made.
    pub(crate) fn connected(&self) {
        let now = self.now();
        if let Some(breaker) = &mut self.lock().breaker {
            breaker.connected(now);
        }
    }

    /// Whether direct attempts count among those at once.
    pub(super) fn counts_direct(&self) -> bool {
        let flow = &self.settings.get().flow;
        flow.concurrency.is_some() || flow.adaptive.is_some()
    }

    /// The limits that the store keeps.
    pub(super) fn limits(&self) -> QueueLimits {
        self.settings.get().flow.queue_limits()
    }

    /// By which terms up to `max` jobs are leased.
    pub(crate) fn terms(&self, max: usize) -> Terms {
        let limits = self.limits();
        let counted = limits.per_credential.concurrency.is_some();
        let running = if counted { self.lock().running.clone() } else { HashMap::new() };
        Terms { max, limits, running }
    }

    /// Notes what holds the whole queue back.
    pub(crate) fn note_held(&self, held: Option<Hold>) {
        self.lock().held = held;
        if let Some(held) = held {
            self.count_held(held.into());
        }
    }

    /// Counts something that does not go on at once.
    pub(crate) fn count_held(&self, why: Held) {
        self.settings.get().metrics.held(why);
    }

    /// Notes that so many attempts begin of those that were granted. Gives what marks them.
    pub(crate) fn begin(&self, count: usize, grant: Grant) -> Option<Era> {
        let (era, now) = (grant.era?, self.now());
        self.lock().breaker.as_mut().map(|breaker| breaker.begin(count, (grant.allowed, era), now))
    }

    /// The limit that is in the way of an attempt, as its client is told; `None` where it changes by itself.
    pub(crate) fn limit_behind(&self, by: Hold) -> Option<LimitName> {
        let flow = &self.settings.get().flow;
        match by {
            Hold::Rate(_) | Hold::Parked(_) => flow.rate_limit.or(flow.per_credential.rate).map(LimitName::Rate),
            Hold::Limit => flow.concurrency.or(flow.per_credential.concurrency).map(LimitName::Concurrency),
        }
    }

    /// Reads what a response says of its upstream's limits. Gives for how long its credential is to be parked, if it is.
    pub(super) fn read_advice(&self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let advice = advice(status, headers, self.shared.clock.wall());
        if let Some(name) = advice.nonsense
            && !self.nonsense_said.swap(true, Ordering::Relaxed)
        {
            let value = headers.get(&name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let problem = "the upstream says when to come again, but not so that it could be understood";
            tracing::warn!(queue = %self.queue, %name, value, "{problem}");
        }
        // Not all instances, and not all credentials, at the same moment.
        advice.wait.map(|wait| {
            let most = wait.div_f64(PARK_JITTER_PARTS).min(PARK_JITTER_MAX);
            wait.saturating_add(random_part(most))
        })
    }

    /// Whether a status counts as a failed attempt.
    pub(crate) fn counts_as_failure(&self, status: StatusCode) -> bool {
        self.settings.get().flow.retry_on.contains(&status)
    }

    /// Whether jobs of this credential are parked, or the upstream counts as down, as far as this instance knows.
    pub(crate) fn holds_back(&self, credential: CredentialHash) -> bool {
        let is_down = self.lock().breaker.as_ref().is_some_and(Breaker::is_open);
        is_down || self.shared.store.held_back(&self.queue, credential).is_some()
    }

    /// Has no job of a credential begin for so long.
    pub(crate) async fn park(&self, credential: CredentialHash, span: Duration) {
        if let Err(error) = self.shared.store.park(&self.queue, credential, span).await {
            tracing::debug!(error = chain(&error), "park a credential");
        }
    }

    /// Why a pending job of this credential waits; `None` if it is about to begin.
    pub(super) fn why_waits(&self, credential: CredentialHash) -> Option<Waiting> {
        let settings = self.settings.get();
        let (state, now) = (self.lock(), self.now());
        if state.breaker.as_ref().is_some_and(Breaker::is_open) {
            return Some(Waiting::Breaker);
        }
        match state.held {
            Some(Hold::Rate(until)) if until > now => return Some(Waiting::Rate),
            Some(Hold::Limit) => return Some(Waiting::Limit),
            Some(Hold::Rate(_) | Hold::Parked(_)) | None => {}
        }
        let runs = state.running.get(&credential).copied().unwrap_or_default();
        let own = settings.flow.per_credential.concurrency.is_some_and(|limit| runs >= limit.get());
        (own || self.slots.count_free() == 0).then_some(Waiting::Limit)
    }

    /// What holds the whole queue back, as far as this instance knows.
    pub(crate) fn held_whole(&self) -> Option<Waiting> {
        let (state, now) = (self.lock(), self.now());
        if state.breaker.as_ref().is_some_and(Breaker::is_open) {
            return Some(Waiting::Breaker);
        }
        match state.held? {
            Hold::Rate(until) => (until > now).then_some(Waiting::Rate),
            Hold::Parked(until) => (until > now).then_some(Waiting::Parked),
            Hold::Limit => Some(Waiting::Limit),
        }
    }

    /// Whether the upstream counts as down; `None` without a circuit breaker.
    pub(crate) fn is_down(&self) -> Option<bool> {
        self.lock().breaker.as_ref().map(Breaker::is_open)
    }

    /// About how long it takes until so many jobs have ended; `None` where nothing is known of that.
    pub(crate) fn time_to_end(&self, jobs: f64) -> Option<Duration> {
        let now = self.now();
        let ended = self.lock().drained.per_second(now);
        let rate = self.settings.get().flow.rate_limit.map(Rate::per_second);
        let per_second = ended.or(rate)?;
        Some(Duration::try_from_secs_f64(jobs / per_second).unwrap_or(Duration::MAX))
    }

    /// Has as many attempts run as are found to be borne.
    pub(super) fn set_slots(&self, state: &GateState) {
        let highest = self.settings.get().concurrency;
        let limit = state.adaptive.as_ref().map_or(highest, |adaptive| adaptive.limit().min(highest));
        if self.slots.limit() != limit {
            self.slots.set_limit(limit);
        }
    }

    /// Lets the dispatcher know that an attempt has ended.
    pub(super) fn tell_ended(&self) {
        self.ended.notify_one();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, GateState> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.steady()
    }
}
