//! Pauses a queue, and has it go on.

use super::super::step::{Step, StepError, Tx};
use crate::store::signals::Effect;

/// Has no job of a queue begin.
#[derive(Debug)]
pub(in super::super) struct PauseQueue {
    pub(in super::super) queue: String,
}

impl Step for PauseQueue {
    /// Whether the queue was not paused before.
    type Output = bool;

    fn run(&self, tx: &mut Tx<'_>) -> Result<bool, StepError> {
        let changed = tx
            .connection
            .prepare_cached("INSERT OR IGNORE INTO paused (queue) VALUES (?1)")?
            .execute((&self.queue,))?;
        let queue = tx.shared.signals.queue(&self.queue);
        tx.tell(Effect::Paused(queue, true));
        Ok(changed > 0)
    }
}

/// Has jobs of a queue begin again.
#[derive(Debug)]
pub(in super::super) struct ResumeQueue {
    pub(in super::super) queue: String,
}

impl Step for ResumeQueue {
    /// Whether the queue was paused before.
    type Output = bool;

    fn run(&self, tx: &mut Tx<'_>) -> Result<bool, StepError> {
        let changed = tx.connection.prepare_cached("DELETE FROM paused WHERE queue = ?1")?.execute((&self.queue,))?;
        let queue = tx.shared.signals.queue(&self.queue);
        tx.tell(Effect::Paused(queue.clone(), false));
        tx.tell(Effect::Ready(queue));
        Ok(changed > 0)
    }
}

/// Lets those who will wait know which queues are paused.
pub(super) fn tell_paused(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    let mut select = tx.connection.prepare("SELECT queue FROM paused")?;
    for name in select.query_map((), |row| row.get::<_, String>(0))? {
        let queue = tx.shared.signals.queue(&name?);
        tx.tell(Effect::Paused(queue, true));
    }
    Ok(())
}
