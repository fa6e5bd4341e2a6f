//! Latencies: how long each of many requests took, as a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Problem;

/// A histogram of microseconds, with three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("three significant digits are between zero and five"))
    }

    /// Adds one request.
    pub(crate) fn record(&mut self, latency: Duration) -> Result<(), Problem> {
        Ok(self.0.record(u64::try_from(latency.as_micros())?)?)
    }

    /// Adds all requests of another histogram.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Problem> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of all requests (0 to 1) was answered, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(share)).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_millis(millis: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        for millis in millis {
            latencies.record(Duration::from_millis(millis)).unwrap();
        }
        latencies
    }

    #[test]
    fn quantiles_are_those_of_all_requests() {
        let latencies = of_millis(1..=1000);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = latencies.quantile_ms(share);
            assert!((found - expected).abs() <= expected / 1000.0, "{share}: {found}");
        }
    }

    #[test]
    fn merged_histograms_equal_one_of_all() {
        let mut merged = of_millis((1..=1000).step_by(2));
        merged.merge(&of_millis((2..=1000).step_by(2))).unwrap();
        let all = of_millis(1..=1000);
        assert_eq!(merged.count(), 1000);
        for share in [0.1, 0.5, 0.9, 0.999] {
            assert!((merged.quantile_ms(share) - all.quantile_ms(share)).abs() < f64::EPSILON, "{share}");
        }
    }
}
