//! Upkeep: delayed jobs become pending, lost leases are taken away, jobs whose time is over end, old jobs and blobs are dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::fields::JobFields;
use super::foreign;
use super::limits;
use super::message::TaskMessage;
use super::overdue;
use super::queues::Queue;
use super::scripts::{Age, Archive, By, Expire, Heal, LeaseName, LostJob, LostJobs, Reclaim, Sweep, Trim, Wake};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{JobId, Outcome, Reach, Verdict, judge_lost_lease};
use crate::store::{BATCH_LIMIT, Lease, StoreError, UPKEEP_EVERY, Upkept};

/// Brings all queues up to date. Where servers of asynq work on a queue, too, failed jobs are kept within asynq's limits.
pub(super) async fn upkeep(shared: &Arc<Shared>, beside_asynq: &[Queue]) -> Result<Upkept, StoreError> {
    let begun = shared.clock.steady();
    let mut sum = Upkept::default();
    for queue in shared.queues.all() {
        loop {
            let (round, aged) = round(shared, &queue, beside_asynq.contains(&queue)).await?;
            sum.woken += round.woken;
            sum.reclaimed += round.reclaimed;
            sum.expired += round.expired;
            sum.overdue += round.overdue;
            let full = round.woken.max(round.reclaimed).max(round.expired).max(round.overdue).max(aged) >= BATCH_LIMIT;
            if !full || shared.clock.steady().since(begun) >= UPKEEP_EVERY {
                break;
            }
        }
    }
    Ok(sum)
}

/// One batch of everything. Gives what was done, and how many jobs of high or low priority are among the normal ones now.
async fn round(shared: &Arc<Shared>, queue: &Queue, beside_asynq: bool) -> Result<(Upkept, usize), StoreError> {
    let commands = &shared.commands;
    // After an outage the owners that live renew their leases first.
    let may_reclaim = commands.is_well();
    // The calls are made at once, so that they share a round trip.
    let has_limits = shared.has_limits(queue);
    let (overdue, woken, aged, lost, expired, trimmed, ()) = tokio::try_join!(
        overdue::end(shared, queue),
        commands.call(&queue.keys, Wake),
        commands.call(&queue.keys, Age { beside_asynq, without_limits: !has_limits }),
        async { if may_reclaim { commands.call(&queue.keys, LostJobs).await } else { Ok(Vec::new()) } },
        commands.call(&queue.keys, Expire),
        async { if beside_asynq { commands.call(&queue.keys, Trim).await } else { Ok(0) } },
        async { if has_limits { limits::ask_who_is_held_back(shared, queue).await } else { Ok(()) } },
    )?;
    if woken.count > 0 {
        shared.next_due(queue, woken.next_due);
        shared.ready(queue);
    }
    let mut reclaimed = 0;
    for job in lost {
        reclaimed += usize::from(reclaim(shared, queue, job?).await?);
    }
    Ok((Upkept { woken: woken.count, reclaimed, expired: expired + trimmed, overdue }, aged))
}

/// Takes a lost lease away, if it still is one. Gives whether it was.
async fn reclaim(shared: &Arc<Shared>, queue: &Queue, job: LostJob) -> Result<bool, StoreError> {
    let LostJob { lease, fields, message } = job;
    let LeaseName { id, token } = lease.clone();
    let Judged { verdict, retention, max_retries } = judged(shared, &id, &fields, message);
    let (frees_claim, ends_call) = (verdict.frees_claim(), verdict.ends_call());
    let reclaimed = match verdict {
        Verdict::RetryAfter { error, .. } => {
            shared.commands.call(&queue.keys, Reclaim { lease, error, max_retries }).await?
        }
        Verdict::Fail { error, outcome, .. } => {
            let by = By::Upkeep;
            let reach = Reach::Unknown;
            let call = Archive { lease, by, error, reach, outcome, retention, frees_claim, ends_call, max_retries };
            shared.commands.call(&queue.keys, call).await?
        }
        Verdict::Complete(_) | Verdict::Release => unreachable!("a lost worker neither responds nor releases"),
    };
    if reclaimed {
        tracing::warn!(job.id = id, attempt = fields.progress.attempts, "worker lost, its lease is taken away");
        shared.ready(queue);
        if let Ok(id) = id.parse::<JobId>() {
            if let Ok(token) = token.parse() {
                shared.leases.revoke(&Lease { id, token });
            }
            shared.changed(id);
        }
    }
    Ok(reclaimed)
}

/// What becomes of a job whose worker was lost.
struct Judged {
    verdict: Verdict,
    /// For how long the job is kept if it ends.
    retention: Duration,
    /// How often it may be retried, where its message is to say so.
    max_retries: Option<i32>,
}

fn judged(shared: &Shared, id: &str, fields: &JobFields, message: Bytes) -> Judged {
    let unreadable = |error: String| {
        let verdict = Verdict::Fail { error, reach: Reach::Unknown, outcome: Outcome::Indeterminate };
        Judged { verdict, retention: shared.settings.get().retention, max_retries: None }
    };
    let Ok(job_id) = id.parse::<JobId>() else {
        return unreadable("worker lost, and the task is none of proxq's".to_owned());
    };
    let (request, max_retries) = match fields.open_facts(job_id, &shared.keys) {
        Ok(Some(facts)) => {
            let max_retries = shared.max_retries(Some(&facts.request.upstream));
            (facts.request, max_retries)
        }
        Ok(None) => {
            let message = TaskMessage::decode(message).unwrap_or_default();
            match foreign::request(&message, shared.clock.wall(), shared) {
                Ok((request, _body)) => (request, None),
                Err(error) => return unreadable(error.to_string()),
            }
        }
        Err(error) => {
            tracing::error!(job.id = id, error = chain(&error), "job is damaged and given up");
            return unreadable(error.to_string());
        }
    };
    let verdict = judge_lost_lease(&request, &fields.progress, shared.settings.get().max_lease_losses);
    Judged { verdict, retention: request.retention, max_retries }
}

/// Keeps the blobs that this process holds, and removes those that no job refers to.
pub(super) async fn sweep(shared: &Shared) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        let held = shared.blobs.of(&queue);
        let mut batches: Vec<&[Uuid]> = held.chunks(BATCH_LIMIT).collect();
        if batches.is_empty() {
            batches.push(&[]);
        }
        // The sweep of one batch spares the other batches: the last upkeep began their terms anew.
        for keep in batches {
            shared.commands.call(&queue.keys, Sweep { keep }).await?;
        }
    }
    Ok(())
}

/// Repairs what crashes of other servers left.
pub(super) async fn heal(shared: &Shared) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        let healed = shared.commands.call(&queue.keys, Heal).await?;
        if healed > 0 {
            tracing::warn!(queue = queue.name, ids = healed, "put right what a crash of somebody else left");
        }
    }
    Ok(())
}
