//! The end of an attempt: its verdict is stored, and said in the log.

use proxq_protocol::header::REQUEST_ID;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::failure::chain;
use crate::job::{JobRequest, Verdict};
use crate::store::{Lease, StoreError, StorePauses};

/// Whether a verdict reached the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    No,
    /// The store's answer was lost.
    Unknown,
}

impl Worker {
    /// Says why an attempt has lost its lease. A job that was cancelled is gone.
    pub(super) async fn log_lost(&self, lease: &Lease) {
        if let Ok(None) = self.store.get(lease.id).await {
            tracing::info!(job.id = %lease.id, "job cancelled while it ran");
        } else {
            tracing::warn!(job.id = %lease.id, "attempt given up: its lease was taken away");
        }
    }

    /// Settles a lease, as long as it takes: a response that was received is never fetched again because storing it
    /// failed. Ends early only when the lease is gone.
    pub(super) async fn settle(&self, lease: &Lease, verdict: Verdict, revoked: &CancellationToken) -> Stored {
        let mut pauses = StorePauses::new();
        let mut stored = Stored::No;
        loop {
            let error = match self.store.settle(lease, verdict.clone()).await {
                Ok(()) => return Stored::Yes,
                Err(StoreError::LeaseLost { .. }) => {
                    self.log_lost(lease).await;
                    return stored;
                }
                Err(StoreError::Closed) => return stored,
                Err(error) => error,
            };
            if matches!(error, StoreError::Unavailable { may_be_done: true, .. }) {
                stored = Stored::Unknown;
            }
            let pause = pauses.next();
            tracing::error!(job.id = %lease.id, error = chain(&error), ?pause, "settle an attempt");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = revoked.cancelled() => return stored,
            }
        }
    }
}

/// One line for the end of an attempt: info if it completed or released the job, warn if it failed.
///
/// It names the request only by an id that the client chose; one that was made here stands in the request's own line.
pub(super) fn log_verdict(verdict: &Verdict, request: &JobRequest, attempt: u32, began: Instant) {
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (id, upstream) = (&request.id, request.upstream.as_str());
    let request_id = Some(request.request_id.as_str()).filter(|_| !request.added_headers.contains_key(REQUEST_ID));
    match verdict {
        Verdict::Complete(response) => {
            let status = response.head.status.as_u16();
            tracing::info!(job.id = %id, request_id, upstream, attempt, status, elapsed_ms, "job completed");
        }
        Verdict::Fail { error, outcome, .. } => {
            tracing::warn!(job.id = %id, request_id, upstream, attempt, %outcome, elapsed_ms, error, "job failed");
        }
        Verdict::RetryAfter { pause, error, .. } => {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(job.id = %id, request_id, upstream, attempt, pause_ms, error, "attempt failed, will retry");
        }
        Verdict::Release => tracing::info!(job.id = %id, request_id, upstream, "job released"),
    }
}
