//! The turns of clients that wait for jobs.

use super::orders;
use super::scripts::{GivenUp, Part, Parting, Resume};
use super::shared::Shared;
use crate::job::JobId;
use crate::store::{StoreError, Turn};

/// Begins the next turn of a job, if its call has not ended.
pub(super) async fn resume(shared: &Shared, id: JobId) -> Result<Option<Turn>, StoreError> {
    for queue in shared.queues.all() {
        let number = shared.commands.call(&queue.keys, Resume { id, instance: &shared.instance.id }).await?;
        if number > 0 {
            return Ok(Some(Turn { id, number }));
        }
    }
    Ok(None)
}

/// Ends a turn.
pub(super) async fn part(shared: &Shared, turn: Turn, how: Parting) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        if shared.commands.call(&queue.keys, Part { turn, how }).await? {
            shared.changed(turn.id);
            break;
        }
    }
    Ok(())
}

/// Cancels the jobs to which nobody has come back, at most a batch in each queue.
pub(super) async fn cancel_given_up(shared: &Shared) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        for turn in shared.commands.call(&queue.keys, GivenUp).await? {
            if orders::cancel_abandoned(shared, &queue, turn).await? {
                tracing::info!(job.id = %turn.id, "cancelled: its client went away, and nobody came back");
            }
        }
    }
    Ok(())
}
