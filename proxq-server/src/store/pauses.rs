//! Pauses between tries to reach a store that fails.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The shortest: a store that was away for a moment is soon asked again.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest: that long a store may be back before it is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Pauses that grow from one try to the next, with jitter, so that no two who wait are in step.
#[derive(Debug)]
pub(crate) struct StorePauses {
    growing: <ExponentialBuilder as BackoffBuilder>::Backoff,
}

impl StorePauses {
    /// Pauses for a first try and those after it.
    pub(crate) fn new() -> Self {
        let growing = ExponentialBuilder::default()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .with_jitter()
            .without_max_times();
        Self { growing: growing.build() }
    }

    /// How long to wait before the next try.
    pub(crate) fn next(&mut self) -> Duration {
        self.growing.next().unwrap_or(PAUSE_MAX)
    }
}
