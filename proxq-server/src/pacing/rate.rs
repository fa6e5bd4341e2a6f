//! So many a time: a rate, and the schedule by which it is kept (GCRA, the virtual scheduling of ITU-T I.371).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use proxq_protocol::GoDuration;

use crate::clock::Timestamp;

/// How much later than its time an attempt may begin without later ones being late, too: timers and a busy store are late by
/// some milliseconds, and over a minute that would add up to a lower rate. Where the interval is longer, it is that.
const LATENESS: Duration = Duration::from_millis(20);

/// By how much the pace stays below the rate. The upstream counts requests as they arrive, whose delays differ: at exactly its
/// rate it would now and then see one too many in its window.
const MARGIN: f64 = 0.02;

/// The highest rate, in a second: of more, the intervals are below what the stores' clocks tell apart.
const PER_SECOND_MAX: f64 = 1_000_000.0;

/// So many in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It has not the form of one.
    #[error("is not a rate: write a number, a slash and a unit, such as 100/s, 60/m, 5000/h or 5/10s")]
    Form,
    /// Its number is not a whole one above 0.
    #[error("is not a rate: {0:?} is not a whole number from 1 to 4294967295")]
    Count(String),
    /// Its unit is none.
    #[error("is not a rate: the unit {0:?} is none of s, m, h, d, and no duration such as 10s")]
    Unit(String),
    /// It is too high to be kept.
    #[error("is not a rate that can be kept: at most 1000000/s")]
    TooHigh,
}

impl Rate {
    /// So many in that time; `None` where that is no time, or more than a million a second.
    #[must_use]
    pub fn new(count: NonZeroU32, per: Duration) -> Option<Self> {
        let rate = Self { count, per };
        (!per.is_zero() && rate.per_second() <= PER_SECOND_MAX).then_some(rate)
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> NonZeroU32 {
        self.count
    }

    /// In which time.
    #[must_use]
    pub fn per(self) -> Duration {
        self.per
    }

    /// How many in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count.get()) / self.per.as_secs_f64()
    }

    /// The time from one attempt to the next.
    pub(crate) fn interval(self) -> Duration {
        self.per.div_f64(f64::from(self.count.get()) * (1.0 - MARGIN))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.trim().split_once('/').ok_or(RateError::Form)?;
        let (count, unit) = (count.trim(), unit.trim());
        let count = count.parse().map_err(|_| RateError::Count(count.to_owned()))?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            other => {
                let span = other.parse().ok().and_then(GoDuration::to_std).filter(|span| !span.is_zero());
                span.ok_or_else(|| RateError::Unit(other.to_owned()))?
            }
        };
        Self::new(count, per).ok_or(RateError::TooHigh)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_millis() {
            1_000 => "s".to_owned(),
            60_000 => "m".to_owned(),
            3_600_000 => "h".to_owned(),
            86_400_000 => "d".to_owned(),
            _ => GoDuration::from(self.per).to_string(),
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// A rate, and how many may begin at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The rate.
    pub rate: Rate,
    /// How many at once.
    pub burst: NonZeroU32,
}

impl Pace {
    /// One after the other.
    #[must_use]
    pub const fn steady(rate: Rate) -> Self {
        Self { rate, burst: NonZeroU32::MIN }
    }

    /// For how long before now what was not used may still be: a burst, and the usual lateness.
    pub(crate) fn tolerance(self) -> Duration {
        LATENESS.saturating_add(self.rate.interval().saturating_mul(self.burst.get() - 1))
    }

    /// How late the next attempt may be for nothing to be lost. Longer than this it is not late: there was a rest.
    pub(crate) fn caught_up(self) -> Duration {
        self.tolerance().max(self.rate.interval().saturating_mul(self.burst.get()))
    }
}

/// When the next attempt may begin, by a pace that is told at each question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// In nanoseconds since the Unix epoch.
    next_ns: i64,
}

impl Schedule {
    /// How many may begin now.
    pub(crate) fn room(self, pace: Pace, now: Timestamp) -> usize {
        let (earliest, now) = (self.earliest(pace, now), nanos_of(now));
        if now < earliest {
            return 0;
        }
        usize::try_from((now - earliest) / nanos(pace.rate.interval()).max(1) + 1).unwrap_or(usize::MAX)
    }

    /// Notes that so many begin now.
    pub(crate) fn take(&mut self, count: usize, pace: Pace, now: Timestamp) {
        if count > 0 {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let used = nanos(pace.rate.interval()).saturating_mul(count);
            self.next_ns = self.earliest(pace, now).saturating_add(used);
        }
    }

    /// When the next one may begin, if that is not now.
    pub(crate) fn next(self, now: Timestamp) -> Option<Timestamp> {
        let millis = self.next_ns.div_euclid(NANOS_PER_MILLI) + i64::from(self.next_ns % NANOS_PER_MILLI != 0);
        Some(Timestamp::from_millis(millis)).filter(|next| *next > now)
    }

    /// Lets the next attempt begin within the interval of another pace.
    pub(crate) fn hurry(&mut self, pace: Pace, now: Timestamp) {
        self.next_ns = self.next_ns.min(nanos_of(now).saturating_add(nanos(pace.rate.interval())));
    }

    /// Whether it says no more than one that nothing was taken from.
    pub(crate) fn is_over(self, pace: Pace, now: Timestamp) -> bool {
        self.next_ns <= nanos_of(now).saturating_sub(nanos(pace.caught_up()))
    }

    fn earliest(self, pace: Pace, now: Timestamp) -> i64 {
        let before = |span| nanos_of(now).saturating_sub(nanos(span));
        if self.next_ns >= before(pace.caught_up()) { self.next_ns } else { before(pace.tolerance()) }
    }
}

const NANOS_PER_MILLI: i64 = 1_000_000;

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn nanos_of(instant: Timestamp) -> i64 {
    instant.as_millis().saturating_mul(NANOS_PER_MILLI)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    #[test]
    fn rates_are_read_and_written() {
        for (text, count, seconds, shown) in [
            ("100/s", 100, 1, "100/s"),
            ("60/m", 60, 60, "60/m"),
            (" 5 / 10s ", 5, 10, "5/10s"),
            ("5000/h", 5000, 3600, "5000/h"),
            ("1/d", 1, 86_400, "1/d"),
            ("7/1m", 7, 60, "7/m"),
        ] {
            let read = rate(text);
            assert_eq!(
                (read.count().get(), read.per().as_secs(), read.to_string()),
                (count, seconds, shown.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_is_wrong() {
        let refused = |text: &str| text.parse::<Rate>().unwrap_err();
        assert_eq!(refused(""), RateError::Form);
        assert_eq!(refused("100"), RateError::Form);
        for count in ["0", "-1", "1.5", "", "many"] {
            assert_eq!(refused(&format!("{count}/s")), RateError::Count(count.to_owned()));
        }
        for unit in ["", "sec", "fortnight", "0s", "-1s"] {
            assert_eq!(refused(&format!("1/{unit}")), RateError::Unit(unit.to_owned()));
        }
        assert_eq!(refused("1000001/s"), RateError::TooHigh);
    }

    #[test]
    fn one_begins_after_the_other_and_lateness_is_caught_up() {
        let pace = Pace::steady(rate("10/s"));
        let mut schedule = Schedule::default();
        assert_eq!(schedule.room(pace, at(0)), 1);
        schedule.take(1, pace, at(0));
        assert_eq!(schedule.room(pace, at(0)), 0);
        let next = schedule.next(at(0)).unwrap();
        assert!((at(80)..=at(103)).contains(&next), "{next:?}");
        // Late by nearly an interval, and yet the one after it is not.
        let late = next.after(Duration::from_millis(95));
        schedule.take(1, pace, late);
        let after = schedule.next(late).unwrap();
        assert!(after.since(next) <= Duration::from_millis(103));
        // That was no lateness, but a rest: nothing is saved up.
        let rested = after.after(Duration::from_millis(500));
        assert_eq!(schedule.room(pace, rested), 1);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_rate_and_burst_allow(
            count in 1_u32..500,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_i64..400, 1_usize..20), 1..200),
        ) {
            let rate = Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_secs(1)).unwrap();
            let pace = Pace { rate, burst: NonZeroU32::new(burst).unwrap() };
            let (mut schedule, mut now) = (Schedule::default(), 0);
            let mut begun: Vec<i64> = Vec::new();
            for (pause, wanted) in steps {
                now += pause;
                let taken = schedule.room(pace, at(now)).min(wanted);
                schedule.take(taken, pace, at(now));
                begun.extend(std::iter::repeat_n(now, taken));
            }
            let late = LATENESS.as_secs_f64() * f64::from(count);
            for (index, first) in begun.iter().enumerate() {
                for (further, last) in begun[index..].iter().enumerate() {
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let allowed = (last - first) as f64 / 1000.0 * f64::from(count) + f64::from(burst) + late + 2.0;
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let had = (further + 1) as f64;
                    prop_assert!(had <= allowed, "{had} in {} ms", last - first);
                }
            }
        }

        #[test]
        fn at_the_instant_that_it_names_one_may_begin_and_not_before(count in 1_u32..100_000, taken in 1_usize..50) {
            let pace = Pace::steady(Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_mins(1)).unwrap());
            let mut schedule = Schedule::default();
            schedule.take(taken, pace, at(0));
            if let Some(next) = schedule.next(at(0)) {
                prop_assert!(schedule.room(pace, next) > 0);
                prop_assert_eq!(schedule.room(pace, next.before(Duration::from_millis(1))), 0);
            }
        }
    }
}
