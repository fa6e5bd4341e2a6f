//! What is counted for each upstream.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::register::Register;
use crate::job::{Outcome, Reach};
use crate::pacing::Hold;

/// Stands in the place of upstreams that were never configured here: jobs of other configurations.
const OTHER: &str = "(other)";
/// Stands in the place of an upstream for what all upstreams without flow control share.
pub(crate) const SHARED: &str = "(shared)";

/// How long an attempt takes: from a cache on the same machine to an LLM call of half an hour.
const ATTEMPT_SECONDS: [f64; 19] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0, 300.0, 1800.0];
/// How long a job waits: from no time to a day.
const QUEUE_SECONDS: [f64; 19] = [
    0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0,
    43200.0, 86400.0,
];

/// Why requests bypass the queue, in the words of admission. Their counts are there from the start.
const BYPASSES: [&str; 7] =
    ["websocket", "path_filter", "unknown_length", "large_body", "cors_preflight", "streaming", "mode"];

/// Why jobs or requests do not go on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Its client asked for a delay.
    Delayed,
    /// As many run as may.
    Limit,
    /// The rate is used up.
    Rate,
    /// The upstream asked to wait.
    Parked,
    /// The upstream counts as down.
    Breaker,
    /// An attempt failed, and the next is later.
    Backoff,
}

impl From<Hold> for Held {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Limit => Self::Limit,
            Hold::Rate(_) => Self::Rate,
            Hold::Parked(_) => Self::Parked,
        }
    }
}

impl Held {
    const ALL: [Self; 6] = [Self::Delayed, Self::Limit, Self::Rate, Self::Parked, Self::Breaker, Self::Backoff];

    fn word(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Limit => "limit",
            Self::Rate => "rate",
            Self::Parked => "parked",
            Self::Breaker => "breaker",
            Self::Backoff => "backoff",
        }
    }
}

/// The families of all upstreams.
#[derive(Debug)]
pub(super) struct UpstreamFamilies {
    submitted: IntCounterVec,
    ended: IntCounterVec,
    retried: IntCounterVec,
    joined: IntCounterVec,
    attempts: IntCounterVec,
    time_in_queue: HistogramVec,
    attempt_duration: HistogramVec,
    bypassed: IntCounterVec,
    held: IntCounterVec,
    cache: IntCounterVec,
    known: RwLock<HashMap<String, Arc<UpstreamMetrics>>>,
}

/// What is counted for one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamMetrics {
    /// Jobs that were taken in.
    pub(crate) submitted: IntCounter,
    /// Later tries of a client that joined the job of an earlier one.
    pub(crate) joined: IntCounter,
    /// Failed attempts that are followed by another.
    pub(crate) retried: IntCounter,
    /// From when the job could begin to its first attempt.
    pub(crate) time_in_queue: Histogram,
    /// From the beginning of an attempt to its end.
    pub(crate) attempt_duration: Histogram,
    /// Attempts that the cache answered, and that it did not.
    pub(crate) cache_hits: IntCounter,
    pub(crate) cache_misses: IntCounter,
    completed: IntCounter,
    failed: [IntCounter; OUTCOMES.len()],
    attempts: [IntCounter; REACHES.len()],
    held: [IntCounter; Held::ALL.len()],
    bypassed: IntCounterVec,
    upstream: String,
}

const OUTCOMES: [Outcome; 3] = [Outcome::Responded, Outcome::NotSent, Outcome::Indeterminate];
const REACHES: [(Reach, &str); 3] =
    [(Reach::NotSent, "not_sent"), (Reach::Unknown, "unknown"), (Reach::Responded, "responded")];

/// What all upstreams together have counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) submitted: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
}

impl Totals {
    /// What was counted since there were so many; nothing where `before` was read after this, by another task.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            submitted: self.submitted.saturating_sub(before.submitted),
            completed: self.completed.saturating_sub(before.completed),
            failed: self.failed.saturating_sub(before.failed),
            retried: self.retried.saturating_sub(before.retried),
        }
    }
}

impl UpstreamFamilies {
    pub(super) fn new(register: Register<'_>) -> Self {
        let by_upstream = &["upstream"];
        let counters = |name, help, labels: &[&str]| register.counters(name, help, labels);
        let families = Self {
            submitted: counters("proxq_jobs_submitted_total", "Jobs that this instance took in.", by_upstream),
            ended: counters(
                "proxq_jobs_total",
                "Jobs that ended at this instance: completed or failed, and how far they got.",
                &["upstream", "state", "outcome"],
            ),
            retried: counters(
                "proxq_jobs_retried_total",
                "Failed attempts that are followed by another one.",
                by_upstream,
            ),
            joined: counters(
                "proxq_joined_retries_total",
                "Later tries of a client that were given the job of an earlier try.",
                by_upstream,
            ),
            attempts: counters(
                "proxq_attempts_total",
                "Attempts that ended, by how far they got: responded, unknown, not_sent.",
                &["upstream", "reach"],
            ),
            time_in_queue: register.histograms(
                "proxq_time_in_queue_seconds",
                "How long jobs waited from when they could begin until an attempt began.",
                &QUEUE_SECONDS,
                by_upstream,
            ),
            attempt_duration: register.histograms(
                "proxq_attempt_duration_seconds",
                "How long attempts took, from their beginning until the response was complete.",
                &ATTEMPT_SECONDS,
                by_upstream,
            ),
            bypassed: counters(
                "proxq_bypassed_total",
                "Requests that went to the upstream without a job, by the reason.",
                &["upstream", "reason"],
            ),
            held: counters(
                "proxq_held_total",
                "How often jobs or direct requests were held back, by the reason.",
                &["upstream", "reason"],
            ),
            cache: counters(
                "proxq_cache_answers_total",
                "Attempts that the response cache was asked for, by what it answered: hit, miss.",
                &["upstream", "result"],
            ),
            known: RwLock::default(),
        };
        families.know([OTHER, SHARED].into_iter());
        families
    }

    pub(super) fn know<'a>(&self, prefixes: impl Iterator<Item = &'a str>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for prefix in prefixes {
            if !known.contains_key(prefix) {
                known.insert(prefix.to_owned(), Arc::new(self.made(prefix)));
            }
        }
    }

    pub(super) fn of(&self, prefix: &str) -> Arc<UpstreamMetrics> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.get(prefix).or_else(|| known.get(OTHER)).expect("that of unknown upstreams is always there"))
    }

    pub(super) fn totals(&self) -> Totals {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|of| of.totals()).fold(Totals::default(), |sum, of| Totals {
            submitted: sum.submitted + of.submitted,
            completed: sum.completed + of.completed,
            failed: sum.failed + of.failed,
            retried: sum.retried + of.retried,
        })
    }

    /// All metrics of one upstream, which are there from now on.
    fn made(&self, prefix: &str) -> UpstreamMetrics {
        let ended =
            |state: &str, outcome: Outcome| self.ended.with_label_values(&[prefix, state, &outcome.to_string()]);
        let with = |family: &IntCounterVec, value: &str| family.with_label_values(&[prefix, value]);
        for reason in BYPASSES {
            with(&self.bypassed, reason);
        }
        UpstreamMetrics {
            submitted: self.submitted.with_label_values(&[prefix]),
            joined: self.joined.with_label_values(&[prefix]),
            retried: self.retried.with_label_values(&[prefix]),
            time_in_queue: self.time_in_queue.with_label_values(&[prefix]),
            attempt_duration: self.attempt_duration.with_label_values(&[prefix]),
            cache_hits: with(&self.cache, "hit"),
            cache_misses: with(&self.cache, "miss"),
            completed: ended("completed", Outcome::Responded),
            failed: OUTCOMES.map(|outcome| ended("failed", outcome)),
            attempts: REACHES.map(|(_, word)| with(&self.attempts, word)),
            held: Held::ALL.map(|why| with(&self.held, why.word())),
            bypassed: self.bypassed.clone(),
            upstream: prefix.to_owned(),
        }
    }
}

impl UpstreamMetrics {
    /// What was counted since the start.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            submitted: self.submitted.get(),
            completed: self.completed.get(),
            failed: self.failed.iter().map(IntCounter::get).sum(),
            retried: self.retried.get(),
        }
    }

    /// Counts a job that completed.
    pub(crate) fn completed(&self) {
        self.completed.inc();
    }

    /// Counts a job that failed.
    pub(crate) fn failed(&self, outcome: Outcome) {
        let place = OUTCOMES.iter().position(|other| *other == outcome).expect("all outcomes are listed");
        self.failed[place].inc();
    }

    /// Counts an attempt that ended.
    pub(crate) fn attempted(&self, reach: Reach) {
        let place = REACHES.iter().position(|(other, _)| *other == reach).expect("all reaches are listed");
        self.attempts[place].inc();
    }

    /// Counts something that does not go on at once.
    pub(crate) fn held(&self, why: Held) {
        let place = Held::ALL.iter().position(|other| *other == why).expect("all reasons are listed");
        self.held[place].inc();
    }

    /// Counts a request that goes direct, for one of the reasons that admission knows.
    pub(crate) fn bypassed(&self, reason: &'static str) {
        self.bypassed.with_label_values(&[&self.upstream, reason]).inc();
    }
}
