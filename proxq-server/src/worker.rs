//! The pool of workers: lease → attempt → judge → settle, so many at a time.

mod attempt;
mod backlog;
mod cached;
mod heartbeat;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use proxq_protocol::header::REQUEST_ID;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::attempt::{Attempt, Attempted};
use self::backlog::{Backlog, Pace};
use crate::cache::ResponseCache;
use crate::clock::Clock;
use crate::config::{Config, Upstream};
use crate::current::Current;
use crate::failure::chain;
use crate::forward::Forwarder;
use crate::job::{JobRequest, RetryPolicy, Verdict, judge};
use crate::slots::{Slot, Slots};
use crate::store::{BATCH_LIMIT, Lease, LeasedJob, StoreError, WorkQueues};
use crate::tasks::Tasks;

/// The longest pause between two tries to reach a store that fails.
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// The shortest.
const STORE_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The workers of this instance.
#[derive(Debug)]
pub(crate) struct Worker {
    context: Current<AttemptContext>,
    store: Arc<dyn WorkQueues>,
    clock: Clock,
    slots: Slots,
    running: Running,
    tasks: Tasks,
    stop: StopSignals,
    /// How it is noticed that jobs wait.
    pace: Pace,
}

/// What attempts are made with, and what a reload replaces: a running attempt keeps those that it began with.
#[derive(Debug)]
pub(crate) struct AttemptContext {
    pub(crate) config: Arc<Config>,
    pub(crate) forwarder: Forwarder,
    pub(crate) cache: Option<Arc<ResponseCache>>,
    /// Upstreams that reloads have removed, latest first: their jobs go on as if they were there.
    pub(crate) former: Vec<Upstream>,
}

impl AttemptContext {
    /// The upstream with this prefix, or the one that had it last.
    fn upstream(&self, prefix: &str) -> Option<&Upstream> {
        let former = || self.former.iter().find(|upstream| upstream.prefix.as_str() == prefix);
        self.config.upstream(prefix).or_else(former)
    }

    fn retry_policy(&self, prefix: &str) -> RetryPolicy {
        self.upstream(prefix).map_or(RetryPolicy::NONE, |upstream| upstream.retries)
    }
}

/// When the workers are to stop, in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopSignals {
    /// No new leases.
    pub(crate) draining: CancellationToken,
    /// Running attempts are aborted.
    pub(crate) abort: CancellationToken,
    /// No more renewals and upkeep: nothing runs any more.
    pub(crate) finished: CancellationToken,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<AttemptContext>,
        store: Arc<dyn WorkQueues>,
        clock: Clock,
        tasks: Tasks,
        stop: StopSignals,
    ) -> Self {
        let slots = Slots::new(context.config.concurrency);
        Self {
            context: Current::new(context),
            store,
            clock,
            slots,
            running: Running::default(),
            tasks,
            stop,
            pace: Pace::USUAL,
        }
    }

    /// Makes the attempts that begin from now on with these means, and as many at a time as they say.
    pub(crate) fn replace(&self, context: Arc<AttemptContext>) {
        self.slots.set_limit(context.config.concurrency);
        self.context.replace(context);
    }

    /// Starts working. `renewals` go on until the `finished` signal, all other tasks end with the last attempt.
    pub(crate) fn start(self: Arc<Self>, renewals: &Tasks) {
        renewals.spawn(heartbeat::run(Arc::clone(&self)));
        let tasks = self.tasks.clone();
        tasks.spawn(self.dispatch());
    }

    /// Hands out jobs to as many attempts as there are free slots, until the server stops.
    async fn dispatch(self: Arc<Self>) {
        let queue = self.context.get().config.queue.clone();
        let mut pauses = store_pauses();
        let mut backlog = Backlog::new(self.pace);
        loop {
            let free = tokio::select! {
                biased;
                () = self.stop.draining.cancelled() => return,
                // Before a free slot: where jobs are short there always is one.
                () = backlog.time_to_look() => {
                    match self.context.get().config.concurrency {
                        0 => backlog.no_need(),
                        concurrency => backlog.look(&*self.store, &queue, concurrency).await,
                    }
                    continue;
                }
                free = self.slots.free() => free,
            };
            match self.store.lease(&queue, free.min(BATCH_LIMIT)).await {
                Ok(jobs) => {
                    pauses = store_pauses();
                    let nothing_due = jobs.is_empty();
                    if jobs.len() == free {
                        backlog.all_busy();
                    } else if jobs.len() < free.min(BATCH_LIMIT) {
                        backlog.no_need();
                    }
                    for job in jobs {
                        self.tasks.spawn(Arc::clone(&self).work(job, self.slots.take()));
                    }
                    if nothing_due {
                        tokio::select! {
                            () = self.store.due(&queue) => {}
                            // A reload took them away: what is due is for others.
                            () = self.slots.full() => backlog.all_busy(),
                            () = self.stop.draining.cancelled() => return,
                        }
                    }
                }
                Err(error) => {
                    let pause = pauses.next().unwrap_or(STORE_PAUSE_MAX);
                    tracing::warn!(error = chain(&error), ?pause, "lease jobs");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.draining.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Makes one attempt at a job and settles it. `slot` is free again afterwards.
    async fn work(self: Arc<Self>, job: LeasedJob, slot: Slot) {
        let LeasedJob { lease, request, body, progress, revoked } = job;
        let (began, context) = (Instant::now(), self.context.get());
        let _running = self.running.enter(lease, &revoked);
        let attempt =
            Attempt { context: &context, queue: &context.config.queue, request: &request, number: progress.attempts };
        let span = attempt::span(&attempt);
        let end = tokio::select! {
            biased;
            () = revoked.cancelled() => None,
            attempted = self.attempt(attempt, body).instrument(span) => Some(attempted),
        };
        let Some(Attempted { end, blob }) = end else {
            drop(slot);
            return self.log_lost(&lease).await;
        };
        let verdict = judge(end, &request, &progress, self.context.get().retry_policy(&request.upstream));
        log_verdict(&verdict, &request, attempt.number, began);
        let stored = self.settle(&lease, verdict, &revoked).await;
        if let (Stored::Yes | Stored::Unknown, Some(blob)) = (stored, blob) {
            blob.keep();
        }
        drop(slot);
    }

    /// Says why an attempt has lost its lease. A job that was cancelled is gone.
    async fn log_lost(&self, lease: &Lease) {
        if let Ok(None) = self.store.get(lease.id).await {
            tracing::info!(job.id = %lease.id, "job cancelled while it ran");
        } else {
            tracing::warn!(job.id = %lease.id, "attempt given up: its lease was taken away");
        }
    }

    /// Settles a lease, as long as it takes: a response that was received is never fetched again because storing it
    /// failed. Ends early only when the lease is gone.
    async fn settle(&self, lease: &Lease, verdict: Verdict, revoked: &CancellationToken) -> Stored {
        let mut pauses = store_pauses();
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
            let pause = pauses.next().unwrap_or(STORE_PAUSE_MAX);
            tracing::error!(job.id = %lease.id, error = chain(&error), ?pause, "settle an attempt");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = revoked.cancelled() => return stored,
            }
        }
    }
}

/// Whether a verdict reached the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    No,
    /// The store's answer was lost.
    Unknown,
}

/// One line for the end of an attempt, one level up if the job ended with it.
///
/// It names the request only by an id that the client chose; one that was made here stands in the request's own line.
fn log_verdict(verdict: &Verdict, request: &JobRequest, attempt: u32, began: Instant) {
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

/// Growing pauses between tries to reach a store that fails.
pub(crate) fn store_pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(STORE_PAUSE_MIN)
        .with_max_delay(STORE_PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

/// The leases that this instance holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running {
    leases: Arc<Mutex<HashMap<Lease, CancellationToken>>>,
}

impl Running {
    /// Notes a lease until the guard is dropped.
    fn enter(&self, lease: Lease, revoked: &CancellationToken) -> RunningGuard {
        self.lock().insert(lease, revoked.clone());
        RunningGuard { running: self.clone(), lease }
    }

    /// All leases.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.lock().keys().copied().collect()
    }

    /// Ends the attempt under this lease.
    pub(crate) fn revoke(&self, lease: &Lease) {
        if let Some(revoked) = self.lock().get(lease) {
            revoked.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Lease, CancellationToken>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a lease in [`Running`].
#[derive(Debug)]
struct RunningGuard {
    running: Running,
    lease: Lease,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.lock().remove(&self.lease);
    }
}
