//! The pool of workers: lease → attempt → judge → settle, so many at a time on each lane.

mod attempt;
mod backlog;
mod cached;
mod collect;
mod context;
mod dispatch;
mod heartbeat;
mod judging;
mod lane;
mod measuring;
mod response_blob;
mod running;
mod settle;
#[cfg(test)]
mod tests;
mod time_limit;
mod traced;

use std::sync::{Arc, Mutex};

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
use crate::failure::chain;
use crate::flow::{Gates, Pass};
use crate::job::Verdict;
use crate::lock::lock;
use crate::slots::Slot;
use crate::stop_signals::StopSignals;
use crate::store::{LeasedJob, StorePauses, WorkQueues};
use crate::tasks::Tasks;

/// The workers of this instance.
#[derive(Debug)]
pub(crate) struct Worker {
    context: Current<AttemptContext>,
    store: Arc<dyn WorkQueues>,
    clock: Clock,
    gates: Arc<Gates>,
    lanes: Mutex<Vec<Arc<Lane>>>,
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
        gates: Arc<Gates>,
        tasks: Tasks,
        stop: StopSignals,
    ) -> Self {
        let lanes = Mutex::new(vec![Arc::new(Lane::home(&gates))]);
        Self {
            context: Current::new(context),
            store,
            clock,
            gates,
            lanes,
            running: Running::default(),
            tasks,
            stop,
            pace: Pace::USUAL,
        }
    }

    /// Attempts that begin from now on are made with this context. The gates go by its configuration already; queues that are new
    /// are worked on, too.
    pub(crate) fn replace(self: &Arc<Self>, context: Arc<AttemptContext>) {
        self.context.replace(context);
        self.work_on_gates();
    }

    /// Starts working. `renewals` go on until the `finished` signal, all other tasks end with the last attempt.
    pub(crate) fn start(self: Arc<Self>, renewals: &Tasks) {
        renewals.spawn(heartbeat::run(Arc::clone(&self)));
        let homes: Vec<_> = lock(&self.lanes).iter().map(Arc::clone).collect();
        for lane in homes {
            self.tasks.spawn(Arc::clone(&self).dispatch(lane));
        }
        self.work_on_gates();
        self.tasks.spawn(Arc::clone(&self).work_on_leftovers());
    }

    /// Works on the queues of all gates that it does not work on yet.
    fn work_on_gates(self: &Arc<Self>) {
        for gate in self.gates.all() {
            let lane = Arc::new(Lane::of(gate));
            {
                let mut lanes = lock(&self.lanes);
                if lanes.iter().any(|other| other.queue == lane.queue) {
                    continue;
                }
                lanes.push(Arc::clone(&lane));
            }
            self.tasks.spawn(Arc::clone(self).dispatch(lane));
        }
    }

    /// Works on queues of former configurations until their jobs have ended. Which there are, the store may not say at once.
    async fn work_on_leftovers(self: Arc<Self>) {
        let mut pauses = StorePauses::new();
        loop {
            let known: Vec<_> = lock(&self.lanes).iter().map(|lane| lane.queue.clone()).collect();
            match self.store.leftover_queues(&known).await {
                Ok(leftovers) => {
                    let concurrency = self.context.get().config.concurrency;
                    for queue in leftovers {
                        tracing::info!(%queue, "jobs are left in a queue of a former configuration; they are worked on");
                        self.gates.add_leftover(queue, concurrency);
                    }
                    return self.work_on_gates();
                }
                Err(error) => tracing::debug!(error = chain(&error), "look for queues of former configurations"),
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.next()) => {}
                () = self.stop.draining.cancelled() => return,
            }
        }
    }

    /// Makes one attempt at a job and settles it. What `admission` has taken is free again afterwards.
    async fn work(self: Arc<Self>, lane: Arc<Lane>, job: LeasedJob, admission: Admission) {
        let LeasedJob { lease, request, body, progress, left, waited, revoked } = job;
        let (began, context) = (Instant::now(), self.context.get());
        let _running = self.running.enter(lease, &revoked);
        let (mut pass, slot) = match admission {
            Admission::Passed(pass) => (Some(pass), None),
            Admission::Slot(slot) => match self.pass_other_gate(&request).await {
                Ok(pass) => (pass, Some(slot)),
                Err(verdict) => {
                    self.settle(&lease, verdict, &revoked).await;
                    return;
                }
            },
        };
        if let Some(waited) = waited {
            self.gates.metrics_of(&request.upstream).time_in_queue.observe(waited.as_secs_f64());
        }
        let (number, deadline) = (progress.attempts, left.map(|left| began + left));
        let attempt = Attempt { context: &context, queue: &lane.queue, request: &request, number, deadline };
        let span = context::span(&request, attempt.number);
        let attempted = tokio::select! {
            biased;
            () = revoked.cancelled() => None,
            attempted = self.attempt(attempt, body).instrument(span) => Some(attempted),
        };
        let Some(attempted) = attempted else {
            drop((pass, slot));
            return self.log_lost(&lease).await;
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let Attempted { end, blob, told, mut span } = attempted;
        if let Some(span) = &mut span {
            traced::ended(span, &end, told);
        }
        let reach = end.reach();
        let verdict = self.judge(end, told, &request, &progress, left, pass.as_mut()).await;
        self.measure(&request, &verdict, reach, told, began.elapsed());
        log_verdict(&verdict, &request, attempt.number, began);
        if let Some(span) = span {
            traced::judged(span, &verdict);
        }
        let is_kept = matches!(verdict, Verdict::Complete(_));
        let stored = self.settle(&lease, verdict, &revoked).await;
        if let (true, Stored::Yes | Stored::Unknown, Some(blob)) = (is_kept, stored, blob) {
            blob.keep();
        }
        drop((pass, slot));
    }
}

/// What an attempt begins with.
#[derive(Debug)]
enum Admission {
    /// It has passed the gate of its upstream.
    Passed(Pass),
    /// It has one of the slots of all upstreams without flow control.
    Slot(Slot),
}
