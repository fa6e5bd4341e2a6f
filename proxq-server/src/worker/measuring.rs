//! What is counted of attempts and of the jobs that end with them.

use std::time::Duration;

use super::Worker;
use super::attempt::Told;
use crate::job::{JobRequest, Reach, Verdict};
use crate::metrics::Held;

impl Worker {
    /// Counts an attempt that has ended, and what becomes of its job. `reach` is `None` for one that was never made.
    pub(super) fn measure(
        &self,
        request: &JobRequest,
        verdict: &Verdict,
        reach: Option<Reach>,
        told: Told,
        took: Duration,
    ) {
        let metrics = self.gates.metrics_of(&request.upstream);
        // What the cache answers is no attempt at the upstream.
        if let (Some(reach), false) = (reach, told == Told::Nothing) {
            metrics.attempted(reach);
            metrics.attempt_duration.observe(took.as_secs_f64());
        }
        match verdict {
            Verdict::Complete(_) => metrics.completed(),
            Verdict::Fail { outcome, .. } => metrics.failed(*outcome),
            Verdict::RetryAfter { .. } => {
                metrics.retried.inc();
                metrics.held(Held::Backoff);
            }
            Verdict::Release => {}
        }
    }
}
