//! How fast and how wide an upstream may be used: the rules of flow control. Pure: what comes in are settings, facts and the
//! present time, what goes out is what may start now, and when to look again. Stores and gates carry it out.
//!
//! | rule | in |
//! |---|---|
//! | so many attempts a time | `rate.rs` |
//! | whose jobs are next, and whose wait | `turns.rs` |
//! | no attempts at an upstream that is down | `breaker.rs` |
//! | as many at once as the upstream bears | `adaptive.rs` |
//! | what a response says of limits | `advice.rs` |

mod adaptive;
mod advice;
mod breaker;
mod rate;
mod turns;

use std::num::NonZeroU32;
use std::time::Duration;

pub(crate) use self::adaptive::Adaptive;
pub(crate) use self::advice::advice;
pub(crate) use self::breaker::{Allowed, AttemptSign, Breaker, CONNECT_EVERY, Cause, Era};
pub use self::rate::{Pace, Rate, RateError};
pub(crate) use self::turns::{Candidate, FILED_AT_ONCE, Shelf, Turns, choose};
pub(crate) use self::turns::{Hold, Terms};

/// Over whom a limit on attempts at once counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyScope {
    /// Each instance has the limit for itself.
    #[default]
    Instance,
    /// All instances on one Redis share it.
    Shared,
}

/// In which order the jobs of different credentials begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fairness {
    /// The oldest first, whosever it is.
    #[default]
    None,
    /// Credentials take turns.
    Credential,
}

/// The limits of each credential at one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCredential {
    /// Attempts at once.
    pub concurrency: Option<NonZeroU32>,
    /// Attempts a time.
    pub rate: Option<Rate>,
}

/// When attempts at an upstream stop because it is down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// So many failed attempts in a row open it.
    pub failures: NonZeroU32,
    /// So does this share of failures within the window, above 0 and at most 1,
    pub ratio: f64,
    /// of at least so many attempts.
    pub minimum: NonZeroU32,
    /// How far back attempts count.
    pub window: Duration,
    /// How long it is open before a job is tried.
    pub open: Duration,
}

/// By which part of it a park is longer at most than the upstream asked for, so that not all begin again in the same moment,
pub(crate) const PARK_JITTER_PARTS: f64 = 50.0;
/// and by how much: no more is needed, and longer ones would waste what the upstream allows.
pub(crate) const PARK_JITTER_MAX: Duration = Duration::from_millis(500);

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::new(5).expect("not zero"),
            ratio: 0.5,
            minimum: NonZeroU32::new(20).expect("not zero"),
            window: Duration::from_secs(30),
            open: Duration::from_secs(30),
        }
    }
}

/// Within which bounds the limit on attempts at once follows the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveRange {
    /// The lowest limit.
    pub min: NonZeroU32,
    /// The highest; `None` for the upstream's `concurrency`, or else that of the server.
    pub max: Option<NonZeroU32>,
}

impl Default for AdaptiveRange {
    fn default() -> Self {
        Self { min: NonZeroU32::MIN, max: None }
    }
}

/// The limits that decide which jobs of a queue may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// Attempts a time, and how many at once after a rest.
    pub rate: Option<Pace>,
    /// Attempts at once over all instances.
    pub shared_concurrency: Option<NonZeroU32>,
    /// In which order jobs of different credentials begin.
    pub fairness: Fairness,
    /// The limits of each credential.
    pub per_credential: PerCredential,
}

impl QueueLimits {
    /// Whether there is any limit that a store keeps.
    pub(crate) fn holds_anything(&self) -> bool {
        self.rate.is_some() || self.shared_concurrency.is_some() || self.per_credential != PerCredential::default()
    }
}
