//! Jobs whose time is over: they end instead of being handed out.

use std::time::Duration;

use super::super::step::Tx;
use super::bounds;
use super::end::{end, let_others_try};
use super::row::JobRow;
use crate::job::{Progress, State, TimeBounds, judge_overdue};
use crate::store::record::opened_error;
use crate::store::signals::Effect;

/// Whether an attempt at a job begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// It does, with so much left of the job's deadline, if it has one.
    Now { left: Option<Duration> },
    /// The job has ended, for its time was over.
    Never,
}

/// Begins an attempt at a job, unless its time is over.
pub(super) fn begin(tx: &mut Tx<'_>, row: &JobRow, bounds: TimeBounds, progress: &Progress) -> rusqlite::Result<Begin> {
    if bounds == TimeBounds::NONE {
        return Ok(Begin::Now { left: None });
    }
    let [ends, deadline] = bounds::instants(tx, row.seq)?; // none after an order to run it again
    if ends.is_some_and(|ends| ends <= tx.now) {
        end_overdue(tx, row, bounds, progress.clone())?;
        return Ok(Begin::Never);
    }
    bounds::run(tx, row.seq)?;
    Ok(Begin::Now { left: deadline.map(|deadline| deadline.since(tx.now)) })
}

/// Ends a job whose time is over.
pub(super) fn end_overdue(
    tx: &mut Tx<'_>,
    row: &JobRow,
    bounds: TimeBounds,
    mut progress: Progress,
) -> rusqlite::Result<()> {
    let overdue = judge_overdue(bounds, &progress);
    let (attempt, outcome) = (progress.attempts, overdue.outcome);
    let error = opened_error(row.id, &tx.shared.keys, overdue.error.clone());
    tracing::warn!(job.id = %row.id, attempt, %outcome, error, "job failed");
    overdue.note_in(&mut progress);
    progress.ended_at = Some(tx.now);
    if overdue.frees_claim() {
        let_others_try(tx, row.seq)?;
    }
    end(tx, row, &progress, State::Archived)?;
    tx.tell(Effect::Changed(row.id));
    Ok(())
}
