//! Leases: handing jobs out, and prolonging the right to work on them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::foreign::Unusable;
use super::leases::{Held, charged};
use super::message::StoredTask;
use super::overdue;
use super::queues::Queue;
use super::scripts::{AdmittedBy, HandedOutJob, LeaseJobs, LeaseName, LeaseWithin, LockedJob, Renew};
use super::set_aside::{UnusableJob, set_aside};
use super::settle;
use super::shared::{Instance, Shared};
use super::whole_request::{NotUsable, WholeRequest, whole_request};
use crate::failure::chain;
use crate::job::{JobId, Progress, Verdict};
use crate::pacing::Terms;
use crate::store::record::{Facts, Record, sealed_with, with_opened_error};
use crate::store::{BATCH_LIMIT, Lease, LeasedJob, StoreError};

/// Orders up to `max` jobs of a queue. A caller that goes away while it waits loses none: they are given back.
pub(super) async fn lease(shared: &Arc<Shared>, queue: &str, max: usize) -> Result<Vec<LeasedJob>, StoreError> {
    let ordered = ordered(shared, queue, max, Order::All).await?;
    Ok(ordered.0)
}

/// Orders what may begin by these terms, in the same way, and gives what holds back the others.
pub(super) async fn lease_within(
    shared: &Arc<Shared>,
    queue: &str,
    terms: &Terms,
) -> Result<(Vec<LeasedJob>, AdmittedBy), StoreError> {
    ordered(shared, queue, terms.max, Order::Within(terms.clone())).await
}

/// What is ordered.
#[derive(Debug)]
enum Order {
    All,
    Within(Terms),
}

async fn ordered(
    shared: &Arc<Shared>,
    queue: &str,
    max: usize,
    order: Order,
) -> Result<(Vec<LeasedJob>, AdmittedBy), StoreError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let queue = shared.queues.named(queue);
    let this = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let handed_out = carry_out(&this, &queue, max.min(BATCH_LIMIT), order).await;
        let _nobody_waits = answer.send(handed_out); // gives back what is in it
    });
    let (handed_out, held) = answered.await.unwrap_or(Err(StoreError::Closed))?;
    Ok((handed_out.accept(), held))
}

/// Checks that jobs can be leased. Asks for none.
pub(super) async fn can_lease(shared: &Shared) -> Result<(), StoreError> {
    shared.commands.call(&shared.queues.home().keys, lease_jobs(shared, 0, "probe")).await.map(drop)
}

fn lease_jobs<'a>(shared: &'a Shared, max: usize, order: &'a str) -> LeaseJobs<'a> {
    let Instance { id, name } = &shared.instance;
    LeaseJobs { max, instance: id, name, order, keys: &shared.keys }
}

async fn carry_out(
    shared: &Arc<Shared>,
    queue: &Queue,
    max: usize,
    what: Order,
) -> Result<(HandedOut, AdmittedBy), StoreError> {
    let order = shared.leases.next_order(&queue.name);
    let lease = lease_jobs(shared, max, &order);
    let answered = match &what {
        Order::All => shared.commands.call(&queue.keys, lease).await.map(|leased| (leased, AdmittedBy::All)),
        Order::Within(terms) => shared.commands.call(&queue.keys, LeaseWithin { lease, terms }).await,
    };
    let (leased, held) = match answered {
        Ok(answered) => answered,
        // Whatever the error is: this order, or an earlier try of it, may have been carried out.
        Err(error) => {
            shared.leases.answer_lost(&queue.name, order);
            return Err(error);
        }
    };
    shared.next_due(queue, leased.next_due);
    overdue::tell(shared, &leased.overdue);
    for job in leased.locked {
        tell_locked(shared, job);
    }
    shared.waiting_workers.of(&queue.name).set_paused(leased.paused);
    let mut handed_out = hand_out(shared, queue, leased.jobs).await;
    if leased.more && !leased.paused {
        shared.ready(queue);
    }
    // An order that is repeated gives the same jobs again, and by now fewer workers may be free. What is too much goes back.
    while handed_out.jobs.len() > max {
        let surplus = handed_out.jobs.pop();
        drop(HandedOut { jobs: surplus.into_iter().collect(), shared: Arc::clone(shared) });
    }
    Ok((handed_out, held))
}

/// Says that a job waits for its key. Where its facts are damaged, so may be what they say of their key.
fn tell_locked(shared: &Shared, LockedJob { id, facts }: LockedJob) {
    let Ok(job_id) = id.parse::<JobId>() else { return };
    if let Some(key) = sealed_with(Facts::NAME, job_id, facts) {
        shared.locked.met(job_id, key, shared.clock);
    } else {
        tracing::error!(job.id = id, "job is damaged, and waits for a key that may not exist");
    }
}

/// Takes jobs into this process's hands. What nobody can work on is set aside, whatever becomes of that.
async fn hand_out(
    shared: &Arc<Shared>,
    queue: &Queue,
    jobs: impl IntoIterator<Item = Result<HandedOutJob, StoreError>>,
) -> HandedOut {
    let mut handed_out = HandedOut { jobs: Vec::new(), shared: Arc::clone(shared) };
    let mut unusable_jobs = Vec::new();
    for job in jobs {
        match job.map(|job| (usable(shared, queue, &job), job)) {
            Ok((Ok(usable), _)) => handed_out.jobs.push(usable),
            Ok((Err(why), job)) => unusable_jobs.push(UnusableJob::new(job, why)),
            Err(error) => tracing::error!(queue = queue.name, error = chain(&error), "read a job that was leased"),
        }
    }
    set_aside(shared, queue, unusable_jobs).await;
    handed_out
}

fn usable(shared: &Shared, queue: &Queue, job: &HandedOutJob) -> Result<LeasedJob, NotUsable> {
    let HandedOutJob { lease: LeaseName { id, token }, fields, message, secrets, left, waited } = job;
    let not_a_request = || Unusable::NoRequest { id: id.clone() };
    let message = StoredTask::decode(message.clone()).map_err(|_| not_a_request())?;
    let Ok(job_id) = id.parse::<JobId>() else {
        return Err(Unusable::NoHandler { kind: message.known.kind }.into());
    };
    let WholeRequest { request, body, secrets, upstream } =
        whole_request(shared, job_id, fields.facts(job_id, &shared.keys)?, &message.known, secrets.clone())?;
    let token = token.parse().map_err(|_| not_a_request())?;
    let progress = Progress {
        retried: charged(fields.progress.retried, &message.known),
        ..with_opened_error(job_id, &shared.keys, fields.progress.clone())
    };
    let revoked = CancellationToken::new();
    let held = Held {
        token,
        queue: queue.clone(),
        message,
        retried: progress.retried,
        upstream,
        secrets,
        retention: request.retention,
        since: shared.clock.wall(),
        timeout: request.timeout,
        revoked: revoked.clone(),
    };
    shared.leases.hold(job_id, held);
    shared.changed(job_id);
    Ok(LeasedJob { lease: Lease { id: job_id, token }, request, body, progress, left: *left, waited: *waited, revoked })
}

/// Leased jobs on their way to a worker. If it is gone when they arrive, they are given back.
#[derive(Debug)]
struct HandedOut {
    jobs: Vec<LeasedJob>,
    shared: Arc<Shared>,
}

impl HandedOut {
    /// The worker has them.
    fn accept(mut self) -> Vec<LeasedJob> {
        std::mem::take(&mut self.jobs)
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let leases: Vec<Lease> = self.jobs.iter().map(|job| job.lease).collect();
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            for lease in leases {
                if let Err(error) = settle::settle(&shared, &lease, Verdict::Release).await {
                    tracing::warn!(job.id = %lease.id, error = chain(&error), "give a job back that nobody took");
                }
            }
        });
    }
}

/// Prolongs leases. Gives those that are gone.
pub(super) async fn renew(shared: &Shared, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
    let mut gone = Vec::new();
    for queue in shared.queues.all() {
        // If this process does not hold a lease, it is a lease of the home queue or of none.
        let home = shared.queues.home();
        let of_queue: Vec<&Lease> = leases
            .iter()
            .filter(|lease| shared.leases.get(lease).map_or_else(|| home.clone(), |held| held.queue) == queue)
            .collect();
        for batch in of_queue.chunks(BATCH_LIMIT) {
            let positions = shared.commands.call(&queue.keys, Renew { leases: batch }).await?;
            gone.extend(positions.into_iter().filter_map(|position| batch.get(position)).map(|lease| **lease));
        }
    }
    for lease in &gone {
        shared.leases.let_go(lease);
    }
    Ok(gone)
}
