//! Waiting jobs that ended because their time was over.

use super::queues::Queue;
use super::scripts::{EndOverdue, OverdueJob};
use super::shared::Shared;
use crate::store::StoreError;

/// Ends a batch of a queue's. Gives how many there were.
pub(super) async fn end(shared: &Shared, queue: &Queue) -> Result<usize, StoreError> {
    let ended = shared.commands.call(&queue.keys, EndOverdue).await?;
    tell(shared, &ended);
    Ok(ended.len())
}

/// Lets the log and those who watch the jobs know.
pub(super) fn tell(shared: &Shared, ended: &[OverdueJob]) {
    for OverdueJob { id, attempts, outcome, error } in ended {
        tracing::warn!(job.id = id, attempt = attempts, %outcome, error, "job failed");
        if let Ok(id) = id.parse() {
            shared.changed(id);
        }
    }
}
