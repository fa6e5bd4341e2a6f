//! Jobs of low priority that have waited count as normal from then on.

use super::super::step::{StepError, Tx};
use super::batch::{batch, limit};
use super::row::rank;
use crate::job::Priority;
use crate::store::LOW_WAITS_AT_MOST;

/// Puts a batch of them behind the jobs of normal priority. Gives how many there were.
pub(super) fn age(tx: &mut Tx<'_>) -> Result<usize, StepError> {
    let waits_since = tx.now.before(LOW_WAITS_AT_MOST);
    let mut aged = 0;
    for queue in tx.shared.signals.queues() {
        let rows = batch(tx, WAITED, (&queue.name, waits_since.as_millis(), limit(tx)))?;
        aged += rows.len();
        for seq in rows {
            tx.connection.prepare_cached("UPDATE jobs SET priority = ?2, due = ?3 WHERE seq = ?1")?.execute((
                seq,
                rank(Priority::Normal),
                tx.now.as_millis(),
            ))?;
        }
    }
    Ok(aged)
}

pub(in super::super) const WAITED: &str = "SELECT seq FROM jobs WHERE state = 0 AND queue = ?1 AND filed = 0 AND priority = 2 AND due <= ?2 ORDER BY due, seq LIMIT ?3";
