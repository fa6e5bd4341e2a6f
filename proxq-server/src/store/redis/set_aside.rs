//! Leased jobs on which nobody can work: they are taken out of the way of the others. One that is damaged or none of proxq's ends,
//! and its parts stay as they are; one of which a key is missing waits for it. (`lua/leasing.lua` finds those whose facts say so before
//! they are leased.)

use std::sync::Arc;

use futures_util::future::join_all;

use super::queues::Queue;
use super::scripts::{Archive, By, HandedOutJob, LeaseName, Postpone};
use super::shared::Shared;
use super::whole_request::NotUsable;
use crate::failure::chain;
use crate::job::{Outcome, Reach};
use crate::store::locked::LOOK_AGAIN_AFTER;
use crate::store::{StoreError, StorePauses};

/// A leased job on which nobody can work.
#[derive(Debug)]
pub(super) struct UnusableJob {
    lease: LeaseName,
    why: NotUsable,
    /// How it ends, if it does.
    outcome: Outcome,
}

impl UnusableJob {
    /// This job, for this reason.
    pub(super) fn new(job: HandedOutJob, why: NotUsable) -> Self {
        let outcome = match job.fields.progress.reach {
            None | Some(Reach::NotSent) if job.fields.damaged.is_none() => Outcome::NotSent,
            None | Some(_) => Outcome::Indeterminate,
        };
        Self { lease: job.lease, why, outcome }
    }
}

/// Sets jobs aside, all at once. What Redis does not take now is tried again in a task of its own: the other jobs of the same order
/// are handed out meanwhile, for nobody renews their leases before.
pub(super) async fn set_aside(shared: &Arc<Shared>, queue: &Queue, jobs: Vec<UnusableJob>) {
    let left = those_left(shared, queue, jobs).await;
    if !left.is_empty() {
        shared.tasks.spawn(try_again(Arc::clone(shared), queue.clone(), left));
    }
}

/// Goes on until Redis has taken them all, or is well and refuses them all the same: then upkeep finds their leases lost.
async fn try_again(shared: Arc<Shared>, queue: Queue, mut left: Vec<UnusableJob>) {
    let mut pauses = StorePauses::new();
    while !left.is_empty() && !shared.commands.is_well() {
        tokio::select! {
            () = tokio::time::sleep(pauses.next()) => {}
            () = shared.commands.closed() => return,
        }
        left = those_left(&shared, &queue, left).await;
    }
}

/// Sets jobs aside, and gives those with which that failed.
async fn those_left(shared: &Shared, queue: &Queue, jobs: Vec<UnusableJob>) -> Vec<UnusableJob> {
    let tries = jobs.into_iter().map(async |job| match set_one_aside(shared, queue, &job).await {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(job.id = job.lease.id, error = chain(&error), "set a job aside on which nobody can work");
            Some(job)
        }
    });
    join_all(tries).await.into_iter().flatten().collect()
}

async fn set_one_aside(shared: &Shared, queue: &Queue, job: &UnusableJob) -> Result<(), StoreError> {
    let UnusableJob { lease, why, outcome } = job;
    if let NotUsable::Damaged(StoreError::KeyUnknown { id, key }) = *why {
        shared.locked.met(id, key, shared.clock);
        let call = Postpone { lease: lease.clone(), pause: LOOK_AGAIN_AFTER };
        if let Some(due) = shared.commands.call(&queue.keys, call).await? {
            shared.due_at(queue, due);
        }
        shared.changed(id);
        return Ok(());
    }
    let not_sent = *outcome == Outcome::NotSent;
    let call = Archive {
        lease: lease.clone(),
        by: By::Owner,
        error: why.to_string(),
        reach: Reach::NotSent,
        outcome: *outcome,
        retention: shared.settings.get().retention,
        frees_claim: not_sent,
        ends_call: not_sent,
        max_retries: None,
    };
    shared.commands.call(&queue.keys, call).await?;
    match why {
        NotUsable::Damaged(error) => {
            tracing::error!(job.id = lease.id, error = chain(error), "job is damaged and given up");
        }
        NotUsable::Foreign(error) => {
            tracing::warn!(job.id = lease.id, error = chain(error), "task is not ours and given up");
        }
    }
    if let Ok(id) = lease.id.parse() {
        shared.changed(id);
    }
    Ok(())
}
