//! What clients and operators ask for about one job: cancel it, run it again, watch it.

use std::time::Duration;

use prost::Message;
use uuid::Uuid;

use super::fields::{self, word};
use super::foreign;
use super::message::TaskMessage;
use super::queues::Queue;
use super::scripts::{Cancel, Cancelled, Rerun, Watch};
use super::shared::Shared;
use crate::job::{JobId, State};
use crate::store::{Requeued, StoreError, Turn};

/// How much later than its time limit a worker of Go's may write a result: clocks differ, and Redis may be slow.
const GO_MARGIN: Duration = Duration::from_mins(1);

/// Removes a job. Gives whether there was one.
pub(super) async fn cancel(shared: &Shared, id: JobId) -> Result<bool, StoreError> {
    let Some((queue, values)) = shared.find(id, &["state", "x_token"]).await? else { return Ok(false) };
    let runs_in_go = matches!(&values[..], [Some(state), None] if state == word(State::Active));
    let limit = if runs_in_go { limit_in_go(shared, &queue, id).await? } else { foreign::ASYNQ_TIMEOUT };
    match cancel_in(shared, &queue, id, limit, None).await? {
        Cancelled::NotThere => Ok(false),
        Cancelled::Removed => Ok(true),
        Cancelled::Newer(version) => Err(StoreError::NewerRecord { id, version }),
    }
}

/// Cancels a job to which nobody has come back, if that is still so. Gives whether it was.
pub(super) async fn cancel_abandoned(shared: &Shared, queue: &Queue, turn: Turn) -> Result<bool, StoreError> {
    let cancelled = cancel_in(shared, queue, turn.id, foreign::ASYNQ_TIMEOUT, Some(turn.number)).await?;
    Ok(matches!(cancelled, Cancelled::Removed))
}

/// Removes a job of this queue. A worker of Go's may go on with it for as long as its time `limit`.
async fn cancel_in(
    shared: &Shared,
    queue: &Queue,
    id: JobId,
    limit: Duration,
    if_abandoned: Option<u32>,
) -> Result<Cancelled, StoreError> {
    let held = shared.leases.of(id);
    let call = Cancel { id, go_limit: limit.saturating_add(GO_MARGIN), if_abandoned };
    let cancelled = shared.commands.call(&queue.keys, call).await?;
    if matches!(cancelled, Cancelled::Removed) {
        if let Some(lease) = held {
            shared.leases.revoke(&lease);
        }
        shared.changed(id);
    }
    Ok(cancelled)
}

/// The time limit of an attempt that a worker of Go's makes at this job.
async fn limit_in_go(shared: &Shared, queue: &Queue, id: JobId) -> Result<Duration, StoreError> {
    let message = shared.commands.run("HGET", redis::cmd("HGET").arg(queue.keys.task(id)).arg("msg")).await?.bytes()?;
    let message = message.and_then(|message| TaskMessage::decode(message).ok()).unwrap_or_default();
    Ok(foreign::timeout(&message, shared.clock.wall()))
}

/// Makes a failed job pending again.
pub(super) async fn retry_failed(shared: &Shared, id: JobId, confirmed: bool) -> Result<Requeued, StoreError> {
    let Some((queue, values)) = shared.find(id, &["state"]).await? else { return Ok(Requeued::Unknown) };
    if !values.iter().flatten().any(|word| fields::state(word).is_some()) {
        return Err(StoreError::CorruptJob { id, what: "state" });
    }
    let order = Uuid::new_v4().simple().to_string();
    let requeued = shared.commands.call(&queue.keys, Rerun { id, confirmed, order: &order }).await?;
    if requeued == Requeued::Queued {
        shared.ready(&queue);
        shared.changed(id);
    }
    Ok(requeued)
}

/// Asks to be told of the job's next change, whichever instance makes it.
pub(super) async fn watch(shared: &Shared, id: JobId) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        if shared.commands.call(&queue.keys, Watch { id, instance: &shared.instance.id }).await? {
            break;
        }
    }
    Ok(())
}
