//! The pool of workers: lease → attempt → judge → settle, so many at a time on each lane.

mod attempt;
mod backlog;
mod cached;
mod collect;
mod context;
mod dispatch;
mod heartbeat;
mod lane;
mod response_blob;
mod running;
mod settle;
#[cfg(test)]
mod tests;
mod time_limit;

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use self::attempt::Attempted;
use self::backlog::Pace;
use self::context::Attempt;
pub(crate) use self::context::AttemptContext;
use self::lane::Lane;
use self::running::Running;
use self::settle::{Stored, log_verdict};
use crate::clock::Clock;
use crate::current::Current;
use crate::job::{judge, keep_deadline};
use crate::slots::Slot;
use crate::stop_signals::StopSignals;
use crate::store::{LeasedJob, WorkQueues};
use crate::tasks::Tasks;

/// The workers of this instance.
#[derive(Debug)]
pub(crate) struct Worker {
    context: Current<AttemptContext>,
    store: Arc<dyn WorkQueues>,
    clock: Clock,
    lanes: Vec<Arc<Lane>>,
    running: Running,
    tasks: Tasks,
    stop: StopSignals,
    /// When a backlog is looked for.
    pace: Pace,
}

impl Worker {
    pub(crate) fn new(
        context: Arc<AttemptContext>,
        store: Arc<dyn WorkQueues>,
        clock: Clock,
        tasks: Tasks,
        stop: StopSignals,
    ) -> Self {
        let lanes = Lane::all_of(&context.config);
        Self {
            context: Current::new(context),
            store,
            clock,
            lanes,
            running: Running::default(),
            tasks,
            stop,
            pace: Pace::USUAL,
        }
    }

    /// Attempts that begin from now on are made with this context, and as many at a time as its configuration says.
    pub(crate) fn replace(&self, context: Arc<AttemptContext>) {
        for lane in &self.lanes {
            lane.reconfigure(&context.config);
        }
        self.context.replace(context);
    }

    /// Starts working. `renewals` go on until the `finished` signal, all other tasks end with the last attempt.
    pub(crate) fn start(self: Arc<Self>, renewals: &Tasks) {
        renewals.spawn(heartbeat::run(Arc::clone(&self)));
        for lane in &self.lanes {
            self.tasks.spawn(Arc::clone(&self).dispatch(Arc::clone(lane)));
        }
    }

    /// Makes one attempt at a job and settles it. `slot` is free again afterwards.
    async fn work(self: Arc<Self>, lane: Arc<Lane>, job: LeasedJob, slot: Slot) {
        let LeasedJob { lease, request, body, progress, left, revoked } = job;
        let (began, context) = (Instant::now(), self.context.get());
        let _running = self.running.enter(lease, &revoked);
        let (number, deadline) = (progress.attempts, left.map(|left| began + left));
        let attempt = Attempt { context: &context, queue: &lane.queue, request: &request, number, deadline };
        let span = context::span(&request, attempt.number);
        let attempted = tokio::select! {
            biased;
            () = revoked.cancelled() => None,
            attempted = self.attempt(attempt, body).instrument(span) => Some(attempted),
        };
        let Some(Attempted { end, blob }) = attempted else {
            drop(slot);
            return self.log_lost(&lease).await;
        };
        let verdict = judge(end, &request, &progress, self.context.get().retry_policy(&request.upstream));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let verdict = keep_deadline(verdict, &progress, left);
        log_verdict(&verdict, &request, attempt.number, began);
        let stored = self.settle(&lease, verdict, &revoked).await;
        if let (Stored::Yes | Stored::Unknown, Some(blob)) = (stored, blob) {
            blob.keep();
        }
        drop(slot);
    }
}
