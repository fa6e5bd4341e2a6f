//! Time. The only reader of the wall clock.
//!
//! Two clocks, for two purposes: [`Clock::wall`] is what people read (when a job was created), [`Clock::steady`] is
//! what decides (whether a lease has expired). The second is anchored to the wall clock once, at start, and then
//! follows the monotonic clock, so that stepping the wall clock fires, loses and expires nothing.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// An instant in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    millis: i64,
}

impl Timestamp {
    /// That many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.millis
    }

    /// This instant plus a span, whose fraction of a millisecond is rounded up: never early.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// This instant minus a span.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self { millis: self.millis.saturating_sub(millis) }
    }

    /// The span from `earlier` to this instant; zero if it lies after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.millis.saturating_sub(earlier.millis)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-01-01T00:00:00.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_millisecond(self.millis).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{instant:.3}")
    }
}

/// The clocks of one server.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    anchor_wall: Timestamp,
}

impl Clock {
    /// Starts the steady clock at the wall clock's present time.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs at every call would surprise")]
    pub fn new() -> Self {
        Self { anchor: Instant::now(), anchor_wall: read_wall_clock() }
    }

    /// The time of day, for people. May jump.
    #[must_use]
    #[expect(clippy::unused_self, reason = "whoever tells the time was handed a clock")]
    pub fn wall(&self) -> Timestamp {
        read_wall_clock()
    }

    /// The time that decides. Never jumps while the process lives.
    #[must_use]
    pub fn steady(&self) -> Timestamp {
        let elapsed = i64::try_from(self.anchor.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp { millis: self.anchor_wall.millis.saturating_add(elapsed) }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn read_wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { millis: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_767_225_600_123).to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_span_is_never_cut_short() {
        let start = Timestamp::from_millis(1_000);
        assert_eq!(start.after(Duration::from_nanos(1)), Timestamp::from_millis(1_001));
        assert_eq!(start.after(Duration::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(start.after(Duration::from_millis(5)).since(start), Duration::from_millis(5));
        assert_eq!(start.since(start.after(Duration::from_secs(1))), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_steady_clock_follows_the_monotonic_one() {
        let clock = Clock::new();
        let start = clock.steady();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.steady().since(start), Duration::from_secs(3_600));
    }
}
