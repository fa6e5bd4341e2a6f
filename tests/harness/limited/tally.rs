//! What an upstream with limits has counted.

use std::collections::HashMap;
use std::time::Duration;

use proxq_protocol::{JobId, header};
use tokio::time::Instant;

use crate::message::Head;

/// A request, as it was counted.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it arrived.
    pub at: Instant,
    /// Its `Authorization`.
    pub credential: String,
    /// The job that it is an attempt of.
    pub job: Option<JobId>,
    /// Whether it was taken; else it was refused.
    pub taken: bool,
    /// The number of its credential's window, from 0.
    pub window: usize,
}

/// Everything that was counted.
#[derive(Clone, Debug)]
pub struct Tally {
    /// All requests in their order.
    pub seen: Vec<Seen>,
    taken: usize,
    at_once: usize,
    most_at_once: usize,
    windows: HashMap<String, Window>,
    /// The sum of the time that each request took, so far.
    busy: Duration,
    noted_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    first_began: Instant,
    number: usize,
    used: usize,
}

/// What a credential has left of its window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) limit: usize,
    pub(super) left: usize,
    pub(super) resets_in: Duration,
}

impl Quota {
    pub(super) fn after(self, used: usize) -> Self {
        Self { left: self.left - used, ..self }
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            seen: Vec::new(),
            taken: 0,
            at_once: 0,
            most_at_once: 0,
            windows: HashMap::new(),
            busy: Duration::ZERO,
            noted_at: Instant::now(),
        }
    }

    /// How many requests run.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// How many requests ran at once at most.
    pub fn most_at_once(&self) -> usize {
        self.most_at_once
    }

    /// How many were taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many were refused.
    pub fn refused(&self) -> usize {
        self.seen.len() - self.taken
    }

    /// Those of one credential.
    pub fn of(&self, credential: &str) -> Vec<&Seen> {
        self.seen.iter().filter(|seen| seen.credential == credential).collect()
    }

    /// How many requests ran at once on average since an earlier tally.
    pub fn mean_at_once_since(&self, earlier: &Self) -> f64 {
        let busy = self.busy.as_secs_f64() - earlier.busy.as_secs_f64();
        busy / (self.noted_at - earlier.noted_at).as_secs_f64()
    }

    /// Adds the time that has passed.
    pub(super) fn note_time(&mut self, now: Instant) {
        let count = u32::try_from(self.at_once).expect("as many as there are connections");
        self.busy += (now - self.noted_at) * count;
        self.noted_at = now;
    }

    /// What a credential has left at this moment, before a further request.
    pub(super) fn quota(&mut self, credential: &str, limit: usize, span: Duration, now: Instant) -> Quota {
        let new = Window { first_began: now, number: 0, used: 0 };
        let window = self.windows.entry(credential.to_owned()).or_insert(new);
        let since_first = now - window.first_began;
        let number = usize::try_from(since_first.as_nanos() / span.as_nanos()).expect("a test is short");
        if number > window.number {
            (window.number, window.used) = (number, 0);
        }
        let next = span * u32::try_from(number + 1).expect("a test is short");
        Quota { limit, left: limit.saturating_sub(window.used), resets_in: next.saturating_sub(since_first) }
    }

    pub(super) fn arrives(&mut self, head: &Head, credential: String, taken: bool, now: Instant) {
        self.note_time(now);
        let window = self.windows.get_mut(&credential).map_or(0, |window| {
            window.used += usize::from(taken);
            window.number
        });
        if taken {
            self.taken += 1;
            self.at_once += 1;
            self.most_at_once = self.most_at_once.max(self.at_once);
        }
        let job = head.value(header::JOB_ID).and_then(|id| id.parse().ok());
        self.seen.push(Seen { at: now, credential, job, taken, window });
    }

    pub(super) fn ends(&mut self, now: Instant) {
        self.note_time(now);
        self.at_once -= 1;
    }
}
