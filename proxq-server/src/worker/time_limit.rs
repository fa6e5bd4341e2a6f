//! How long an attempt's upstream may take. The store's time does not count.

use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use crate::forward::{ForwardError, target};
use crate::job::JobRequest;

/// What is left of an attempt's time.
pub(super) struct TimeLimit<'a> {
    left: Duration,
    limit: Duration,
    target: &'a Uri,
}

impl<'a> TimeLimit<'a> {
    /// All of an attempt's time.
    pub(super) fn of(request: &'a JobRequest) -> Self {
        Self { left: request.timeout, limit: request.timeout, target: &request.target }
    }

    /// Waits for a step for as long as there is time left, and subtracts the time used.
    pub(super) async fn wait<T>(&mut self, step: impl Future<Output = T>) -> Result<T, ForwardError> {
        let began = Instant::now();
        let done = tokio::time::timeout(self.left, step).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.map_err(|_elapsed| ForwardError::Timeout { origin: target::origin(self.target), limit: self.limit })
    }
}
