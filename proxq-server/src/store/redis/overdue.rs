//! Waiting jobs that ended because their time was over.

use super::queues::Queue;
use super::scripts::{EndOverdue, OverdueJob};
use super::shared::Shared;
use crate::job::JobId;
use crate::store::StoreError;
use crate::store::record::opened_error;

/// Ends a batch of a queue's. Gives how many there were.
pub(super) async fn end(shared: &Shared, queue: &Queue) -> Result<usize, StoreError> {
    let ended = shared.commands.call(&queue.keys, EndOverdue).await?;
    tell(shared, &ended);
    Ok(ended.len())
}

/// Lets the log and those who watch the jobs know.
pub(super) fn tell(shared: &Shared, ended: &[OverdueJob]) {
    for OverdueJob { id, attempts, outcome, error } in ended {
        let parsed = id.parse::<JobId>().ok();
        let opened = |id| opened_error(id, &shared.keys, error.clone());
        let error = parsed.map_or_else(|| error.clone(), opened);
        tracing::warn!(job.id = id, attempt = attempts, %outcome, error, "job failed");
        if let Some(id) = parsed {
            shared.changed(id);
        }
    }
}
