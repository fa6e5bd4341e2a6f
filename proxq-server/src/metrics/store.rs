//! How the store does.

use prometheus::{HistogramVec, IntCounterVec, Registry};
use tokio::time::Instant;

use super::register::Register;

/// How the store does, by what it was asked.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    durations: HistogramVec,
    errors: IntCounterVec,
}

/// From a read in memory to an outage that is waited out.
const SECONDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

impl StoreMetrics {
    pub(super) fn new(register: Register<'_>) -> Self {
        let by_operation = &["operation"];
        Self {
            durations: register.histograms(
                "proxq_store_operation_duration_seconds",
                "How long the store took to answer, by what it was asked.",
                &SECONDS,
                by_operation,
            ),
            errors: register.counters(
                "proxq_store_errors_total",
                "What the store did not do because it failed or was away, by what it was asked.",
                by_operation,
            ),
        }
    }

    /// Begins to measure an answer.
    pub(crate) fn begin(&self, operation: &'static str) -> Measuring<'_> {
        Measuring { metrics: self, operation, began: Instant::now() }
    }
}

/// An answer that is waited for. Dropped before its end, it is not counted: nobody waits for it any more.
pub(crate) struct Measuring<'a> {
    metrics: &'a StoreMetrics,
    operation: &'static str,
    began: Instant,
}

impl Measuring<'_> {
    /// Notes the answer. `failed` tells a failure of the store from its refusals.
    pub(crate) fn end(self, failed: bool) {
        let StoreMetrics { durations, errors } = self.metrics;
        durations.with_label_values(&[self.operation]).observe(self.began.elapsed().as_secs_f64());
        // There from the first answer on: what is absent cannot be told from what never failed.
        let errors = errors.with_label_values(&[self.operation]);
        if failed {
            errors.inc();
        }
    }
}

impl Default for StoreMetrics {
    /// Those of a store whose metrics nobody asks for.
    fn default() -> Self {
        Self::new(Register(&Registry::new()))
    }
}
