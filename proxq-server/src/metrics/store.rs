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

    /// Measures an answer. `failed` tells a failure of the store from its refusals.
    pub(crate) async fn measure<T, E>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = Result<T, E>>,
        failed: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let began = Instant::now();
        let answer = answer.await;
        self.durations.with_label_values(&[operation]).observe(began.elapsed().as_secs_f64());
        // There from the first answer on: what is absent cannot be told from what never failed.
        let errors = self.errors.with_label_values(&[operation]);
        if answer.as_ref().is_err_and(failed) {
            errors.inc();
        }
        answer
    }
}

impl Default for StoreMetrics {
    /// Those of a store whose metrics nobody asks for.
    fn default() -> Self {
        Self::new(Register(&Registry::new()))
    }
}
