//! The last hour of this instance: a sample every 10 seconds, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use super::model::{History, HistorySample, Rates};
use crate::lock::lock;
use crate::metrics::Totals;

/// The span between two samples.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// As many as an hour has: 25 KiB.
const SAMPLES: usize = 360;
/// How many samples the rates are over.
const RATE_SAMPLES: usize = 6;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    samples: VecDeque<HistorySample>,
    /// What had been counted at the last sample.
    counted: Totals,
    /// What had been counted for each upstream at the last samples of a minute, oldest first.
    upstreams: HashMap<String, VecDeque<Totals>>,
}

impl Memory {
    /// Takes a sample.
    pub(super) fn take(&self, at: i64, counted: Totals, waiting: Option<u64>, oldest_age_seconds: Option<f64>) {
        let mut remembered = lock(&self.0);
        let before = std::mem::replace(&mut remembered.counted, counted);
        let more = counted.since(before);
        if remembered.samples.len() == SAMPLES {
            remembered.samples.pop_front();
        }
        remembered.samples.push_back(HistorySample {
            at,
            submitted: more.submitted,
            completed: more.completed,
            failed: more.failed,
            retried: more.retried,
            waiting,
            oldest_age_seconds,
        });
    }

    /// Notes what was counted for each upstream that there is; others are forgotten.
    pub(super) fn take_upstreams(&self, counted: impl Iterator<Item = (String, Totals)>) {
        let mut remembered = lock(&self.0);
        let mut before = std::mem::take(&mut remembered.upstreams);
        for (prefix, totals) in counted {
            let mut last = before.remove(&prefix).unwrap_or_default();
            if last.len() == RATE_SAMPLES {
                last.pop_front();
            }
            last.push_back(totals);
            remembered.upstreams.insert(prefix, last);
        }
    }

    /// What was counted for an upstream in the last minute.
    pub(crate) fn last_minute(&self, prefix: &str, counted: Totals) -> Totals {
        let remembered = lock(&self.0);
        let before = remembered.upstreams.get(prefix).and_then(VecDeque::front).copied().unwrap_or_default();
        counted.since(before)
    }

    /// All samples.
    pub(crate) fn history(&self) -> History {
        let samples = lock(&self.0).samples.iter().copied().collect();
        History { every_seconds: EVERY.as_secs(), samples }
    }

    /// What was counted from some samples ago until now.
    pub(crate) fn rates(&self, now: i64, counted: Totals) -> Rates {
        let remembered = lock(&self.0);
        let newest: Vec<_> = remembered.samples.iter().rev().take(RATE_SAMPLES).collect();
        let Some(first) = newest.last() else { return Rates::default() };
        let every = i64::try_from(EVERY.as_secs()).unwrap_or_default();
        let over = u32::try_from((now - first.at + every).max(1)).unwrap_or(u32::MAX);
        let over_seconds = f64::from(over);
        let more = counted.since(remembered.counted);
        let per_second = |of: fn(&HistorySample) -> u64, more: u64| {
            let sum = newest.iter().map(|sample| of(sample)).sum::<u64>() + more;
            f64::from(u32::try_from(sum).unwrap_or(u32::MAX)) / over_seconds
        };
        Rates {
            over_seconds,
            submitted_per_second: per_second(|sample| sample.submitted, more.submitted),
            completed_per_second: per_second(|sample| sample.completed, more.completed),
            failed_per_second: per_second(|sample| sample.failed, more.failed),
            retried_per_second: per_second(|sample| sample.retried, more.retried),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(submitted: u64) -> Totals {
        Totals { submitted, completed: submitted / 2, ..Totals::default() }
    }

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let memory = Memory::default();
        for number in 0..1000_u32 {
            memory.take(i64::from(number) * 10, counted(u64::from(number) * 3), Some(1), None);
        }
        let History { every_seconds, samples } = memory.history();
        assert_eq!((every_seconds, samples.len()), (10, SAMPLES));
        assert_eq!((samples[0].at, samples[0].submitted), (6400, 3));
    }

    #[test]
    fn an_upstream_is_remembered_for_a_minute_while_it_is_configured() {
        let memory = Memory::default();
        assert_eq!(memory.last_minute("/api", counted(7)).submitted, 7, "all of it is new");
        for jobs in 0..20 {
            memory.take_upstreams([("/api".to_owned(), counted(jobs))].into_iter());
        }
        assert_eq!(memory.last_minute("/api", counted(20)).submitted, 6);
        memory.take_upstreams(std::iter::empty());
        assert_eq!(memory.last_minute("/api", counted(20)).submitted, 20);
    }

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let memory = Memory::default();
        assert_eq!(memory.rates(0, counted(0)), Rates::default());
        for number in 0..100_i64 {
            let jobs = if number < 90 { 0 } else { (number - 89) * 20 };
            memory.take(number * 10, counted(jobs.unsigned_abs()), None, None);
        }
        let rates = memory.rates(990, counted(200));
        assert_eq!((rates.over_seconds, rates.submitted_per_second, rates.completed_per_second), (60.0, 2.0, 1.0));
        let later = memory.rates(995, counted(210));
        assert!((later.submitted_per_second - 2.0).abs() < 0.01, "{later:?}");
        let read_before_the_sample = memory.rates(990, counted(199));
        assert_eq!(read_before_the_sample, rates);
    }
}
