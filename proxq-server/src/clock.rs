//! The clocks. This file is the only reader of the wall clock.
//!
//! Three clocks: [`Clock::wall`] is what people read (when a job was created). [`Clock::steady`] is for spans within this
//! process (whether a lease has expired): it begins at the wall clock's time and then follows the monotonic clock, so
//! that setting the wall clock fires, loses and expires nothing; it stands still while the machine sleeps.
//! [`Clock::since_boot`] is for spans that may be longer than the process: it counts sleep, too.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use uuid::Uuid;

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

    /// The span from the Unix epoch to this instant; zero if it lies before it.
    #[must_use]
    pub fn since_epoch(self) -> Duration {
        self.since(Self { millis: 0 })
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

    /// This instant plus so many milliseconds, or minus them where there are fewer than none.
    #[must_use]
    pub fn shifted(self, millis: i64) -> Self {
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// How many milliseconds this instant lies after another, fewer than none where it lies before it.
    #[must_use]
    pub fn millis_since(self, other: Self) -> i64 {
        self.millis.saturating_sub(other.millis)
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

/// The clocks of one server. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// The machine's clocks.
    Machine { anchor: Instant, anchor_wall: Timestamp, boot: Uuid },
    /// A clock that a test sets.
    #[cfg(test)]
    Chosen(&'static ChosenTime),
}

impl Clock {
    /// Starts the steady clock at the wall clock's present time.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs at every call would surprise")]
    pub fn new() -> Self {
        let (anchor, anchor_wall) = (Instant::now(), read_wall_clock());
        Self { source: Source::Machine { anchor, anchor_wall, boot: read_boot() } }
    }

    /// The time of day, for people. May jump.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match self.source {
            Source::Machine { .. } => read_wall_clock(),
            #[cfg(test)]
            Source::Chosen(chosen) => chosen.wall(),
        }
    }

    /// The time that decides within this process. Never jumps while it lives, and stands still while the machine sleeps.
    #[must_use]
    pub fn steady(&self) -> Timestamp {
        match self.source {
            Source::Machine { anchor, anchor_wall, .. } => {
                let elapsed = i64::try_from(anchor.elapsed().as_millis()).unwrap_or(i64::MAX);
                Timestamp { millis: anchor_wall.millis.saturating_add(elapsed) }
            }
            #[cfg(test)]
            Source::Chosen(chosen) => chosen.steady(),
        }
    }

    /// Names the start of the machine that [`Clock::since_boot`] counts from.
    #[must_use]
    pub fn boot(&self) -> Uuid {
        match self.source {
            Source::Machine { boot, .. } => boot,
            #[cfg(test)]
            Source::Chosen(chosen) => chosen.boot(),
        }
    }

    /// The time since the machine was started, sleep included. Never jumps.
    #[must_use]
    pub fn since_boot(&self) -> Timestamp {
        match self.source {
            Source::Machine { .. } => read_boot_clock(),
            #[cfg(test)]
            Source::Chosen(chosen) => chosen.since_boot(),
        }
    }

    /// Returns once the steady clock shows `instant` or later, never before.
    pub async fn steady_reaches(&self, instant: Timestamp) {
        match self.source {
            Source::Machine { .. } => {
                while let left @ 1.. = instant.millis.saturating_sub(self.steady().millis) {
                    tokio::time::sleep(Duration::from_millis(left.unsigned_abs())).await;
                }
            }
            #[cfg(test)]
            Source::Chosen(chosen) => chosen.steady_reaches(instant).await,
        }
    }
}

#[cfg(test)]
pub(crate) use self::chosen::ChosenTime;

#[cfg(test)]
mod chosen {
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::sync::Notify;

    use super::{Clock, Duration, Source, Timestamp, Uuid};

    /// Time that stands still until a test moves it.
    #[derive(Debug)]
    pub(crate) struct ChosenTime {
        steady_millis: AtomicI64,
        wall_millis: AtomicI64,
        since_boot_millis: AtomicI64,
        boots: AtomicI64,
        moved: Notify,
    }

    impl ChosenTime {
        /// Stops both clocks at this instant. Lives until the process ends, so that clocks stay copies.
        pub(crate) fn at(start: Timestamp) -> &'static Self {
            let millis = start.as_millis();
            let [steady_millis, wall_millis] = [(); 2].map(|()| AtomicI64::new(millis));
            let (since_boot_millis, boots) = (AtomicI64::new(0), AtomicI64::new(0));
            Box::leak(Box::new(Self { steady_millis, wall_millis, since_boot_millis, boots, moved: Notify::new() }))
        }

        pub(crate) fn clock(&'static self) -> Clock {
            Clock { source: Source::Chosen(self) }
        }

        /// Lets time pass.
        pub(crate) fn advance(&self, span: Duration) {
            self.sleep(span);
            self.steady_millis.store(self.steady().after(span).as_millis(), Ordering::SeqCst);
            self.moved.notify_waiters();
        }

        /// Lets time pass while the machine sleeps.
        pub(crate) fn sleep(&self, span: Duration) {
            self.wall_millis.store(self.wall().after(span).as_millis(), Ordering::SeqCst);
            self.since_boot_millis.store(self.since_boot().after(span).as_millis(), Ordering::SeqCst);
        }

        /// Starts the machine again, in no time.
        pub(crate) fn reboot(&self) {
            self.boots.fetch_add(1, Ordering::SeqCst);
            self.since_boot_millis.store(0, Ordering::SeqCst);
        }

        /// Sets the wall clock, as an operator does. The steady clock does not notice.
        pub(crate) fn set_wall(&self, wall: Timestamp) {
            self.wall_millis.store(wall.as_millis(), Ordering::SeqCst);
        }

        pub(super) fn wall(&self) -> Timestamp {
            Timestamp::from_millis(self.wall_millis.load(Ordering::SeqCst))
        }

        pub(super) fn since_boot(&self) -> Timestamp {
            Timestamp::from_millis(self.since_boot_millis.load(Ordering::SeqCst))
        }

        pub(super) fn boot(&self) -> Uuid {
            Uuid::from_u128(self.boots.load(Ordering::SeqCst).unsigned_abs().into())
        }

        pub(super) fn steady(&self) -> Timestamp {
            Timestamp::from_millis(self.steady_millis.load(Ordering::SeqCst))
        }

        pub(super) async fn steady_reaches(&self, instant: Timestamp) {
            loop {
                let moved = self.moved.notified(); // before reading the time, so that no move is missed
                if self.steady() >= instant {
                    return;
                }
                moved.await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn read_wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { millis: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX) }
}

/// The machine's id of its present boot. A machine without one counts as rebooted with every process.
fn read_boot() -> Uuid {
    let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    told.ok().and_then(|boot| Uuid::try_parse(boot.trim()).ok()).unwrap_or_else(Uuid::new_v4)
}

/// The clock that counts sleep.
const BOOT_CLOCK: ClockId = if cfg!(target_os = "linux") { ClockId::Boottime } else { ClockId::Monotonic };

fn read_boot_clock() -> Timestamp {
    let now = clock_gettime(BOOT_CLOCK);
    Timestamp { millis: now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000) }
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
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(clock.steady().since(start), Duration::from_hours(1));
    }

    #[tokio::test]
    async fn the_boot_clock_runs_and_its_boot_stays_the_same() {
        let clock = Clock::new();
        let start = clock.since_boot();
        assert!(start.as_millis() > 0);
        while clock.since_boot() == start {
            std::thread::yield_now();
        }
        assert!(clock.since_boot() > start);
        assert_eq!(clock.boot(), Clock::new().boot());
    }

    #[tokio::test]
    async fn chosen_time_moves_only_when_told() {
        let time = ChosenTime::at(Timestamp::from_millis(1_000));
        let clock = time.clock();
        time.set_wall(Timestamp::from_millis(5));
        assert_eq!((clock.steady().as_millis(), clock.wall().as_millis()), (1_000, 5));
        let reached = clock.steady_reaches(Timestamp::from_millis(1_100));
        time.advance(Duration::from_millis(100));
        reached.await;
        assert_eq!((clock.steady().as_millis(), clock.wall().as_millis()), (1_100, 105));
    }
}
