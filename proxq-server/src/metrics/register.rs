//! Makes metrics and puts them into a registry.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Makes the metrics of a registry. All names and labels are those of this room.
#[derive(Clone, Copy)]
pub(super) struct Register<'a>(pub(super) &'a Registry);

/// What metrics are made of is right, as the tests of this room make all of them.
const RIGHT: &str = "names and labels are valid, and each is registered once";

impl Register<'_> {
    fn add<M: Collector + Clone + 'static>(self, metric: Result<M, prometheus::Error>) -> M {
        let metric = metric.expect(RIGHT);
        self.0.register(Box::new(metric.clone())).expect(RIGHT);
        metric
    }

    pub(super) fn counter(self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn counters(self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn seconds_counter(self, name: &str, help: &str) -> prometheus::Counter {
        self.add(prometheus::Counter::new(name, help))
    }

    pub(super) fn gauge(self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn fraction_gauge(self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }

    pub(super) fn gauges(self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn fraction_gauges(self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histograms(self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}
