//! The states of a job. Their names are those of asynq, whose tools show them; only the store's verbs change a state.

use proxq_protocol::JobStatus;

/// The state of a job in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Ready for a worker.
    Pending,
    /// Delayed by its client.
    Scheduled,
    /// Under a lease.
    Active,
    /// Resting between attempts.
    Retry,
    /// Ended with a response.
    Completed,
    /// Ended without one.
    Archived,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Scheduled, Self::Active, Self::Retry, Self::Completed, Self::Archived];

    /// How clients see it.
    #[must_use]
    pub fn status(self) -> JobStatus {
        match self {
            Self::Pending | Self::Scheduled => JobStatus::Queued,
            Self::Active | Self::Retry => JobStatus::Running,
            Self::Completed => JobStatus::Completed,
            Self::Archived => JobStatus::Failed,
        }
    }
}
