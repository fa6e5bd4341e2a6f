//! Waits for the ends of jobs. However many wait for one, each of its changes costs the store one look (`ended/round.rs`).

mod round;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use proxq_protocol::GoDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::round::{Round, Rounds, Seen};
use crate::job::{Job, JobId};
use crate::store::{JobLookup, StoreError};

/// Everybody who waits for a job's end.
#[derive(Debug)]
pub(crate) struct JobWaiters {
    rounds: Arc<Rounds>,
    draining: CancellationToken,
    store: Arc<dyn JobLookup>,
}

impl JobWaiters {
    /// Waits are over when the server is `draining`.
    pub(crate) fn new(store: Arc<dyn JobLookup>, draining: CancellationToken) -> Self {
        Self { rounds: Arc::default(), draining, store }
    }

    /// The job once it has ended, or as it stands when `wait` is over or the server begins to drain; `None` where there is
    /// none, or none any more. A `wait` of zero costs a look and nothing else. Cancel safe, for those beside it, too.
    pub(crate) async fn job_when_ended(&self, id: JobId, wait: Duration) -> Result<Option<Arc<Job>>, Arc<StoreError>> {
        if !wait.is_zero() {
            let deadline = Instant::now() + wait;
            let mut seen = self.look(id).await;
            loop {
                let round = match seen {
                    Seen::Ended(job) => return Ok(job),
                    Seen::Failed(error) => return Err(error),
                    Seen::Open(round) => round,
                };
                tokio::select! {
                    () = round.change() => {}
                    () = tokio::time::sleep_until(deadline) => break,
                    () = self.draining.cancelled() => break,
                }
                seen = round.seen(|| Box::pin(self.look(id))).await; // boxed, for the few who look: all others keep room for it
            }
        }
        Ok(self.store.get(id).await?.map(Arc::new))
    }

    async fn look(&self, id: JobId) -> Seen {
        self.try_look(id).await.unwrap_or_else(|error| Seen::Failed(Arc::new(error)))
    }

    async fn try_look(&self, id: JobId) -> Result<Seen, StoreError> {
        // Before the look: a change that comes after it ends the round.
        let round = self.round(id).await?;
        Ok(match self.store.get(id).await? {
            Some(job) if !job.state.status().is_final() => Seen::Open(round), // the job is let go: thousands may wait
            ended => Seen::Ended(ended.map(Arc::new)),
        })
    }

    async fn round(&self, id: JobId) -> Result<Arc<Round>, StoreError> {
        if let Some(round) = self.rounds.open(id) {
            return Ok(round);
        }
        let change = self.store.watch(id).await?;
        Ok(self.rounds.begin(id, change))
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
