//! A limit on attempts at once that follows what the upstream bears. It goes by losses, not by latency: how long an LLM takes
//! depends on how much it writes. Additive increase, multiplicative decrease, as in TCP (RFC 5681) and Netflix' limiters.

use super::AdaptiveRange;
use crate::clock::Timestamp;

/// What is left of the limit after a loss.
const DECREASE: f64 = 0.9;
/// What is left of it after an upstream said that it is too much.
const DECREASE_SAID: f64 = 0.7;

/// What sums and products of fractions may be too low by.
const ROUNDING: f64 = 1e-6;

/// The limit, and how it was found.
#[derive(Clone, Debug)]
pub(crate) struct Adaptive {
    min: f64,
    max: f64,
    limit: f64,
    /// When it was last lowered. Before the first time it doubles with each round of successes.
    lowered: Option<Timestamp>,
}

impl Adaptive {
    /// Begins at the lowest limit. `max` holds where the range has none of its own.
    pub(crate) fn new(range: AdaptiveRange, max: usize) -> Self {
        let mut new = Self { min: 1.0, max: 1.0, limit: 1.0, lowered: None };
        new.set_range(range, max);
        new.limit = new.min;
        new
    }

    /// Goes by another range, with the limit that was found as far as it allows that.
    pub(crate) fn set_range(&mut self, range: AdaptiveRange, max: usize) {
        let max = range.max.map_or(max, |max| max.get() as usize);
        self.min = f64::from(range.min.get());
        self.max = f64::from(u32::try_from(max).unwrap_or(u32::MAX)).max(self.min);
        self.limit = self.limit.clamp(self.min, self.max);
    }

    /// How many attempts may run at once.
    pub(crate) fn limit(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to the highest u32")]
        let limit = (self.limit + ROUNDING) as usize;
        limit
    }

    /// Notes that an attempt succeeded; `running` were under way, this one included. The limit only rises while it is in use.
    pub(crate) fn succeeded(&mut self, running: usize) {
        if 2 * running >= self.limit() {
            let step = if self.lowered.is_none() { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + step).min(self.max);
        }
    }

    /// Notes that the upstream did not bear an attempt, which had begun then; `said` where it said so itself. Of attempts that
    /// began under the same limit, one lowers it: that is once in the time that an attempt takes.
    pub(crate) fn lost(&mut self, began: Timestamp, said: bool, now: Timestamp) {
        if self.lowered.is_none_or(|lowered| began > lowered) {
            let share = if said { DECREASE_SAID } else { DECREASE };
            self.limit = (self.limit * share).max(self.min);
            self.lowered = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn range(min: u32, max: u32) -> AdaptiveRange {
        AdaptiveRange { min: NonZeroU32::new(min).unwrap(), max: NonZeroU32::new(max) }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Rounds of attempts at an upstream that refuses above `bears`: as many as the limit allows begin together.
    fn rounds(adaptive: &mut Adaptive, bears: usize, now: &mut i64, count: usize) -> Vec<usize> {
        (0..count)
            .map(|_| {
                let (began, running) = (*now, adaptive.limit());
                *now += 50;
                for attempt in 0..running {
                    if attempt < bears {
                        adaptive.succeeded(running);
                    } else {
                        adaptive.lost(at(began), false, at(*now));
                    }
                }
                *now += 1;
                adaptive.limit()
            })
            .collect()
    }

    #[test]
    fn it_settles_near_what_the_upstream_bears_and_follows_it() {
        let (mut adaptive, mut now) = (Adaptive::new(range(1, 200), 10), 0);
        for bears in [37, 12, 90] {
            rounds(&mut adaptive, bears, &mut now, 100);
            let settled = rounds(&mut adaptive, bears, &mut now, 100);
            let sum: usize = settled.iter().sum();
            // Within a tenth, in tenths of the sum of a hundred rounds.
            assert!((10 * sum).abs_diff(1_000 * bears) <= 100 * bears, "{sum} in 100 rounds for {bears}");
        }
    }

    #[test]
    fn it_does_not_rise_while_it_is_not_in_use() {
        let mut adaptive = Adaptive::new(range(10, 100), 10);
        for _ in 0..1000 {
            adaptive.succeeded(4);
        }
        assert_eq!(adaptive.limit(), 10);
        adaptive.succeeded(5);
        assert_eq!(adaptive.limit(), 11);
    }

    #[test]
    fn losses_of_one_round_lower_it_once_and_more_where_the_upstream_says_so() {
        let mut adaptive = Adaptive::new(range(100, 100), 10);
        adaptive.set_range(range(1, 100), 10);
        for _ in 0..50 {
            adaptive.lost(at(0), false, at(10));
        }
        assert_eq!(adaptive.limit(), 90);
        adaptive.lost(at(10), true, at(20));
        assert_eq!(adaptive.limit(), 90, "it began before the limit was lowered");
        adaptive.lost(at(11), true, at(20));
        assert_eq!(adaptive.limit(), 63);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_range(events in prop::collection::vec((any::<bool>(), 0_usize..300), 0..500)) {
            let mut adaptive = Adaptive::new(range(3, 50), 10);
            for (now, (good, running)) in events.into_iter().enumerate() {
                let now = i64::try_from(now).unwrap() * 10;
                if good { adaptive.succeeded(running) } else { adaptive.lost(at(now - 1), running > 100, at(now)) }
                prop_assert!((3..=50).contains(&adaptive.limit()));
            }
        }
    }
}
