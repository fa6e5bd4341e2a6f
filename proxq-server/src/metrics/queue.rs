//! How the queues stand, as the store says when somebody asks for metrics.

use prometheus::{GaugeVec, IntGauge, IntGaugeVec};

use super::register::Register;

/// How the queues stand. Zeros are there from the start: what is absent cannot be told from what was not asked for.
#[derive(Debug)]
pub(crate) struct QueueMetrics {
    /// By queue and state.
    pub(crate) jobs: IntGaugeVec,
    /// By queue.
    pub(crate) oldest: GaugeVec,
    /// By queue.
    pub(crate) paused: IntGaugeVec,
    /// Of this instance, by queue.
    pub(crate) running: IntGaugeVec,
    /// Of this instance, by queue.
    pub(crate) limit: IntGaugeVec,
    /// Of this instance, by upstream.
    pub(crate) breaker_open: IntGaugeVec,
    /// Whether the values above are measured now.
    pub(crate) readable: IntGauge,
}

impl QueueMetrics {
    pub(super) fn new(register: Register<'_>) -> Self {
        let by_queue = &["queue"];
        Self {
            jobs: register.gauges("proxq_queue_jobs", "Jobs of a queue, by their state.", &["queue", "state"]),
            oldest: register.fraction_gauges(
                "proxq_queue_oldest_waiting_seconds",
                "For how long the job that waits longest could have begun already; 0 if none waits.",
                by_queue,
            ),
            paused: register.gauges("proxq_queue_paused", "1 while an operator has paused the queue.", by_queue),
            running: register.gauges(
                "proxq_attempts_running",
                "Attempts of this instance that run, by the queue that they are taken from.",
                by_queue,
            ),
            limit: register.gauges("proxq_attempts_limit", "How many may run at once.", by_queue),
            breaker_open: register.gauges(
                "proxq_circuit_breaker_open",
                "1 while the upstream counts as down and its jobs wait.",
                &["upstream"],
            ),
            readable: register.gauge(
                "proxq_store_readable",
                "1 if the store said how the queues stand; 0 if it did not, and the values are the last known.",
            ),
        }
    }
}
