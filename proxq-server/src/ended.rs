//! Waits for the end of a job.

use std::time::Duration;

use proxq_protocol::GoDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::job::{Job, JobId};
use crate::store::{JobStore, StoreError};

/// The job once it has ended, or as it stands when `wait` is over or the server begins to drain; `None` where there is
/// none, or none any more. A `wait` of zero costs a look and nothing else.
pub(crate) async fn job_when_ended(
    store: &dyn JobStore,
    id: JobId,
    wait: Duration,
    draining: &CancellationToken,
) -> Result<Option<Job>, StoreError> {
    if wait.is_zero() {
        return store.get(id).await;
    }
    let deadline = Instant::now() + wait;
    loop {
        // Before the look: a change that comes after it ends the watch.
        let change = store.watch(id).await?;
        match store.get(id).await? {
            Some(job) if !job.state.status().is_final() => {} // and is let go: thousands may wait
            ended => return Ok(ended),
        }
        tokio::select! {
            () = change => continue,
            () = tokio::time::sleep_until(deadline) => {}
            () = draining.cancelled() => {}
        }
        return store.get(id).await;
    }
}

/// How long a client would wait, as it writes it: a Go duration or whole seconds. Else what is wrong with it.
pub(crate) fn wait_span(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number holds are capped like any other wait that is too long.
        return Ok(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let span: GoDuration = text.parse().map_err(|error: proxq_protocol::DurationError| error.to_string())?;
    span.to_std().ok_or_else(|| "it must not be negative; write 30s, or whole seconds".to_owned())
}
