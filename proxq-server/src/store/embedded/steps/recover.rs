//! What there is to do after a restart, before anybody else is served.

use std::sync::Arc;

use super::super::step::{Step, StepError, Tx};
use super::lease::next_due;
use super::pause::tell_paused;
use super::reclaim::reclaim_leftovers;
use crate::store::BATCH_LIMIT;
use crate::store::signals::Effect;

/// Lets those who will wait know what waits, and what is paused. Writes nothing.
#[derive(Debug)]
pub(in super::super) struct Recover;

impl Step for Recover {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        tell_paused(tx)?;
        let mut select = tx.connection.prepare(
            "SELECT DISTINCT queue FROM jobs WHERE state = 0
             UNION SELECT DISTINCT queue FROM jobs WHERE state IN (1, 3)",
        )?;
        for name in select.query_map((), |row| row.get::<_, String>(0))? {
            let queue = tx.shared.signals.queue(&name?);
            let next = next_due(tx, &queue)?;
            tx.tell(Effect::NextDue(Arc::clone(&queue), next));
            tx.tell(Effect::Ready(queue));
        }
        Ok(())
    }
}

/// Takes away a batch of the leases of the last run, whose workers are gone with it.
#[derive(Debug)]
pub(in super::super) struct TakeOver;

impl Step for TakeOver {
    /// How many there were.
    type Output = usize;

    fn run(&self, tx: &mut Tx<'_>) -> Result<usize, StepError> {
        take_over(tx)
    }
}

/// The same within another step.
pub(super) fn take_over(tx: &mut Tx<'_>) -> Result<usize, StepError> {
    let Some(last_token) = tx.state.leftovers.up_to_token() else { return Ok(0) };
    let taken = reclaim_leftovers(tx, last_token)?;
    if taken < BATCH_LIMIT {
        tx.state.leftovers.all_taken();
    }
    Ok(taken)
}
