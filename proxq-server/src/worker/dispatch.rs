//! The dispatcher of a lane: leases as many jobs as there are free slots, and starts an attempt at each.

use std::sync::Arc;
use std::time::Duration;

use super::backlog::Backlog;
use super::lane::Lane;
use super::{Admission, Worker};
use crate::clock::Timestamp;
use crate::failure::chain;
use crate::flow::{Gate, Grant};
use crate::metrics::Held;
use crate::pacing::{Allowed, CONNECT_EVERY, Hold};
use crate::slots::Reserved;
use crate::store::{BATCH_LIMIT, LeasedJob, StoreError, StorePauses};

/// How long a lane waits at most for a place among the attempts of all instances before it looks whether another one has given one
/// back.
const LOOK_FOR_PLACE_EVERY: Duration = Duration::from_secs(1);

/// What a lane does after it has asked for jobs.
#[derive(Debug)]
enum Next {
    /// Asks again.
    Ask,
    /// Waits until something is due.
    Due,
    /// Waits until a limit lets more begin.
    Held(Hold),
}

impl Worker {
    /// Runs until the server stops.
    pub(super) async fn dispatch(self: Arc<Self>, lane: Arc<Lane>) {
        let mut pauses = StorePauses::new();
        let mut backlog = Backlog::new(self.pace);
        loop {
            let mut reserved = tokio::select! {
                biased;
                () = self.stop.draining.cancelled() => return,
                // Checked before the slots: with short attempts one is nearly always free, and this branch would never
                // run.
                () = backlog.time_to_look() => {
                    match lane.slots.limit() {
                        0 => backlog.not_all_busy(),
                        concurrency => backlog.look(&*self.store, &lane.queue, concurrency).await,
                    }
                    continue;
                }
                reserved = lane.slots.reserve(BATCH_LIMIT) => reserved,
            };
            let grant = lane.gate.as_ref().map(|gate| gate.allowed());
            let may_begin = lane.gate.as_ref().zip(grant).map_or(usize::MAX, |(gate, grant)| gate.most(grant));
            if let (Some(gate), 0) = (&lane.gate, may_begin) {
                drop(reserved);
                if gate.works() {
                    gate.count_held(Held::Breaker);
                }
                tokio::select! {
                    () = self.until_allowed(&lane, gate), if gate.works() => {}
                    () = gate.reconfigured() => {}
                    () = self.stop.draining.cancelled() => return,
                }
                continue;
            }
            let max = reserved.count().min(may_begin);
            let next = match self.lease(&lane, max).await {
                Ok((jobs, held)) => {
                    pauses = StorePauses::new();
                    // Of an upstream with flow control, jobs are meant to wait.
                    let all_busy = jobs.len() == max && lane.slots.count_free() == 0;
                    if all_busy {
                        lane.count_full(&self.gates);
                    }
                    if all_busy && lane.gate.is_none() {
                        backlog.all_busy();
                    } else if jobs.len() < max {
                        backlog.not_all_busy();
                    }
                    let nothing_due = jobs.is_empty();
                    self.begin(&lane, jobs, &mut reserved, grant);
                    match held {
                        Some(held) => Next::Held(held),
                        None if nothing_due => Next::Due,
                        None => Next::Ask,
                    }
                }
                Err(error) => {
                    drop(reserved);
                    let pause = pauses.next();
                    tracing::warn!(error = chain(&error), ?pause, "lease jobs");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.draining.cancelled() => return,
                    }
                    continue;
                }
            };
            drop(reserved);
            tokio::select! {
                () = self.until(next, &lane, &mut backlog) => {}
                () = self.stop.draining.cancelled() => return,
            }
        }
    }

    async fn lease(&self, lane: &Lane, max: usize) -> Result<(Vec<LeasedJob>, Option<Hold>), StoreError> {
        let Some(gate) = &lane.gate else { return Ok((self.store.lease(&lane.queue, max).await?, None)) };
        let leased = self.store.lease_within(&lane.queue, &gate.terms(max)).await?;
        gate.note_held(leased.held);
        Ok((leased.jobs, leased.held))
    }

    /// Starts an attempt at each of the jobs.
    fn begin(self: &Arc<Self>, lane: &Arc<Lane>, jobs: Vec<LeasedJob>, reserved: &mut Reserved, grant: Option<Grant>) {
        // A job may be in a queue that was its upstream's before a reload.
        let passes_here = |job: &LeasedJob| {
            let (gate, its_own) = (lane.gate.as_ref()?, self.gates.of(&job.request.upstream));
            its_own.is_none_or(|own| Arc::ptr_eq(&own, gate)).then_some(gate)
        };
        let passing = jobs.iter().filter(|job| passes_here(job).is_some()).count();
        let era = lane.gate.as_ref().zip(grant).and_then(|(gate, grant)| gate.begin(passing, grant));
        for job in jobs {
            let slot = reserved.take();
            let admission = match passes_here(&job) {
                Some(gate) => Admission::Passed(gate.pass(job.request.credential, era, Some(slot))),
                None => Admission::Slot(slot),
            };
            // Boxed: it is large, and the runtime would move it several times.
            let work = Box::pin(Arc::clone(self).work(Arc::clone(lane), job, admission));
            let crashed = self.stop.crashed.clone();
            self.tasks.spawn_on_core(async move {
                tokio::select! {
                    biased;
                    () = crashed.cancelled() => {}
                    () = work => {}
                }
            });
        }
    }

    async fn until(&self, next: Next, lane: &Lane, backlog: &mut Backlog) {
        match (next, &lane.gate) {
            (Next::Ask, _) => {}
            (Next::Due, None) => {
                tokio::select! {
                    () = self.store.due(&lane.queue) => {}
                    // A reload has removed the free slots: what is due is for other instances.
                    () = lane.slots.full() => backlog.all_busy(),
                }
            }
            (Next::Due, Some(gate)) => {
                let waits_for_end = gate.limits_each_credential();
                tokio::select! {
                    () = self.store.due(&lane.queue) => {}
                    () = gate.attempt_ended(), if waits_for_end => {}
                    () = gate.reconfigured() => {}
                }
            }
            (Next::Held(held), gate) => {
                let ended = async {
                    match (held, gate) {
                        (Hold::Limit, Some(gate)) => gate.attempt_ended().await,
                        _ => std::future::pending().await,
                    }
                };
                let reconfigured = async {
                    match gate {
                        Some(gate) => gate.reconfigured().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = self.reaches(held.until()) => {}
                    () = ended => {}
                    () = reconfigured => {}
                }
            }
        }
    }

    /// Returns at an instant of the steady clock; where none is known, after a moment.
    async fn reaches(&self, until: Option<Timestamp>) {
        match until {
            Some(until) => self.clock.steady_reaches(until).await,
            None => tokio::time::sleep(LOOK_FOR_PLACE_EVERY).await,
        }
    }

    /// Waits until the breaker may allow more than it does. While connecting fails, tries to connect meanwhile.
    async fn until_allowed(&self, lane: &Lane, gate: &Gate) {
        if gate.wants_connection() {
            tokio::time::sleep(CONNECT_EVERY).await;
            let context = self.context.get();
            let upstream =
                context.config.upstreams.iter().find(|upstream| context.config.queue_of(upstream) == lane.queue);
            // The jobs of one that is no longer configured are tried as they are.
            if let Some(upstream) = upstream {
                if let Err(error) = context.forwarder.try_to_connect(upstream).await {
                    tracing::debug!(queue = %lane.queue, error = chain(&*error), "the upstream is still away");
                    return;
                }
                tracing::info!(queue = %lane.queue, "the upstream takes connections again");
            }
            gate.connected();
            return;
        }
        match gate.allowed().allowed {
            Allowed::NoneUntil(Some(until)) => self.clock.steady_reaches(until).await,
            Allowed::NoneUntil(None) => gate.attempt_ended().await,
            Allowed::All | Allowed::Some(_) | Allowed::Probe => {}
        }
    }
}
