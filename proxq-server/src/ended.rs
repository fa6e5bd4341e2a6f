//! Clients that wait for the end of a job. However many wait for one job, each of its changes costs the store one read
//! (`ended/round.rs`).

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
use crate::metrics::IntGauge;
use crate::store::{JobLookup, StoreError};

/// All who wait for the end of a job.
#[derive(Debug)]
pub(crate) struct JobWaiters {
    rounds: Arc<Rounds>,
    draining: CancellationToken,
    store: Arc<dyn JobLookup>,
    /// How many wait.
    waiting: IntGauge,
}

impl JobWaiters {
    /// All waits end when the server is `draining`.
    pub(crate) fn new(store: Arc<dyn JobLookup>, waiting: IntGauge, draining: CancellationToken) -> Self {
        Self { rounds: Arc::default(), draining, store, waiting }
    }

    /// Gives the job once it has ended. When `wait` is over or the server begins to drain, gives it as it stands. `None`
    /// where there is no such job, or none any more. A `wait` of zero costs one read. Cancel safe, also for all others
    /// who wait.
    pub(crate) async fn job_when_ended(&self, id: JobId, wait: Duration) -> Result<Option<Arc<Job>>, Arc<StoreError>> {
        if wait.is_zero() {
            return self.read(id).await;
        }
        let watched = self.watch(id).await?;
        self.watched_when_ended(watched, wait).await
    }

    /// Begins to watch a job, then reads it. This is for clients whose wait depends on the job.
    pub(crate) async fn watch(&self, id: JobId) -> Result<WatchedJob, Arc<StoreError>> {
        // The watch begins before the read, so that a change after the read ends the round.
        let round = self.round(id).await?;
        Ok(WatchedJob { id, job: self.read(id).await?, round })
    }

    /// The same as [`job_when_ended`](Self::job_when_ended) for a job that has been read already.
    pub(crate) async fn watched_when_ended(
        &self,
        watched: WatchedJob,
        wait: Duration,
    ) -> Result<Option<Arc<Job>>, Arc<StoreError>> {
        let deadline = Instant::now() + wait;
        let _waiting = Waiting::begin(&self.waiting);
        let id = watched.id;
        let mut seen = watched.into_seen();
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
            seen = round.seen(|| Box::pin(self.look(id))).await; // boxed: few of those who wait look
        }
        self.read(id).await
    }

    async fn look(&self, id: JobId) -> Seen {
        self.watch(id).await.map_or_else(Seen::Failed, WatchedJob::into_seen)
    }

    async fn read(&self, id: JobId) -> Result<Option<Arc<Job>>, Arc<StoreError>> {
        Ok(self.store.get(id).await?.map(Arc::new))
    }

    async fn round(&self, id: JobId) -> Result<Arc<Round>, StoreError> {
        if let Some(round) = self.rounds.open(id) {
            return Ok(round);
        }
        let change = self.store.watch(id).await?;
        Ok(self.rounds.begin(id, change))
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a IntGauge);

impl<'a> Waiting<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A job as it stood when a client began to wait for it. The client misses none of its later changes.
#[derive(Debug)]
pub(crate) struct WatchedJob {
    id: JobId,
    job: Option<Arc<Job>>,
    round: Arc<Round>,
}

impl WatchedJob {
    /// The job, `None` where there is no such job, or none any more.
    pub(crate) fn job(&self) -> Option<&Job> {
        self.job.as_deref()
    }

    fn into_seen(self) -> Seen {
        match self.job {
            Some(job) if !job.state.status().is_final() => Seen::Open(self.round), // without the job: thousands may wait
            ended => Seen::Ended(ended),
        }
    }
}

/// Reads how long a client wants to wait: a Go duration or whole seconds. The error says what is wrong with it.
pub(crate) fn wait_span(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number holds are capped like any other wait that is too long.
        return Ok(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let span: GoDuration = text.parse().map_err(|error: proxq_protocol::DurationError| error.to_string())?;
    span.to_std().ok_or_else(|| "it must not be negative; write 30s, or whole seconds".to_owned())
}
