//! How fast jobs end at an upstream: how many attempts ended in the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// How far back it looks.
const WINDOW: Duration = Duration::from_mins(1);
/// What ends counts together in: of a finer grain nobody would notice anything.
const GRAIN: Duration = Duration::from_secs(1);

/// Counts attempts that ended.
#[derive(Debug, Default)]
pub(super) struct DrainRate {
    /// How many ended in the second that began then.
    seconds: VecDeque<(Timestamp, u32)>,
}

impl DrainRate {
    /// Notes that an attempt ended.
    pub(super) fn ended(&mut self, now: Timestamp) {
        self.forget(now);
        match self.seconds.back_mut() {
            Some((began, count)) if now.since(*began) < GRAIN => *count = count.saturating_add(1),
            _ => self.seconds.push_back((now, 1)),
        }
    }

    /// How many end in a second; `None` if none has lately.
    pub(super) fn per_second(&mut self, now: Timestamp) -> Option<f64> {
        self.forget(now);
        let (first, _) = self.seconds.front()?;
        let span = now.since(*first).max(GRAIN).as_secs_f64();
        let count: f64 = self.seconds.iter().map(|(_, count)| f64::from(*count)).sum();
        Some(count / span)
    }

    fn forget(&mut self, now: Timestamp) {
        while self.seconds.front().is_some_and(|(began, _)| now.since(*began) > WINDOW) {
            self.seconds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_of_the_last_minute() {
        let at = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
        let mut drain = DrainRate::default();
        assert_eq!(drain.per_second(at(0)), None);
        for millis in (0..100_000).step_by(100) {
            drain.ended(at(millis));
        }
        let rate = drain.per_second(at(100_000)).unwrap();
        assert!((9.0..11.0).contains(&rate), "{rate}");
        assert!(drain.seconds.len() <= 62);
        assert_eq!(drain.per_second(at(200_000)), None);
    }
}
