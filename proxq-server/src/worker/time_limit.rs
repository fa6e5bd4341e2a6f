//! How long an attempt's upstream may take: its timeout, in which the store's time does not count, and what is left of the job's
//! deadline.

use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use super::context::Attempt;
use crate::forward::{ForwardError, target};

/// What is left of an attempt's time.
pub(super) struct TimeLimit<'a> {
    left: Duration,
    deadline: Option<Instant>,
    /// All of it, for errors.
    limit: Duration,
    target: &'a Uri,
}

impl<'a> TimeLimit<'a> {
    /// All of an attempt's time, which begins now.
    pub(super) fn of(attempt: Attempt<'a>) -> Self {
        let Attempt { request, deadline, .. } = attempt;
        let before_deadline = deadline.map(|deadline| whole_millis(deadline.saturating_duration_since(Instant::now())));
        let limit = before_deadline.map_or(request.timeout, |left| left.min(request.timeout));
        Self { left: request.timeout, deadline, limit, target: &request.target }
    }

    /// All of the attempt's time.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Waits for a step for as long as there is time left, and subtracts the time used.
    pub(super) async fn wait<T>(&mut self, step: impl Future<Output = T>) -> Result<T, ForwardError> {
        let began = Instant::now();
        let before_deadline = self.deadline.map(|deadline| deadline.saturating_duration_since(began));
        let left = before_deadline.map_or(self.left, |left| left.min(self.left));
        let done = tokio::time::timeout(left, step).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.map_err(|_elapsed| ForwardError::Timeout { origin: target::origin(self.target), limit: self.limit })
    }
}

/// Without the fractions that nobody wants to read.
fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
