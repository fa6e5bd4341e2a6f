//! Lost leases: what becomes of jobs whose workers are gone.

use super::super::step::{StepError, Tx};
use super::batch::{batch, limit};
use super::end::{Onward, go_on, let_others};
use super::lease::set_aside;
use super::row::JobRow;
use super::settle::fail;
use crate::job::{Reach, Verdict, judge_lost_lease};
use crate::store::signals::Effect;
use crate::store::{RECLAIM_GRACE, StoreError};

/// Takes away leases that expired a while ago.
pub(super) fn reclaim(tx: &mut Tx<'_>) -> Result<usize, StepError> {
    let expired_before = tx.steady.before(RECLAIM_GRACE);
    let rows = batch(tx, LOST, (expired_before.as_millis(), limit(tx)))?;
    reclaim_rows(tx, rows)
}

pub(in super::super) const LOST: &str =
    "SELECT seq FROM jobs WHERE state = 2 AND lease_until < ?1 ORDER BY lease_until LIMIT ?2";

/// Takes a batch of the leases away that were given up to this token. Gives how many there were.
pub(super) fn reclaim_leftovers(tx: &mut Tx<'_>, last_token: i64) -> Result<usize, StepError> {
    let rows = batch(tx, LEFT_OVER, (last_token, limit(tx)))?;
    reclaim_rows(tx, rows)
}

pub(in super::super) const LEFT_OVER: &str =
    "SELECT seq FROM jobs WHERE state = 2 AND token <= ?1 ORDER BY lease_until LIMIT ?2";

fn reclaim_rows(tx: &mut Tx<'_>, rows: Vec<i64>) -> Result<usize, StepError> {
    let mut reclaimed = 0;
    for seq in rows {
        let row = JobRow::numbered(tx, seq)?;
        match reclaim_one(tx, &row) {
            Ok(()) => {}
            Err(StepError::Refused(error @ StoreError::NewerRecord { .. })) => {
                set_aside(tx, &row, error)?;
                continue;
            }
            Err(StepError::Refused(error)) => set_aside(tx, &row, error)?,
            Err(error @ StepError::Database(_)) => return Err(error),
        }
        tx.tell(Effect::Revoked(row.id));
        tx.tell(Effect::Changed(row.id));
        reclaimed += 1;
    }
    Ok(reclaimed)
}

fn reclaim_one(tx: &mut Tx<'_>, row: &JobRow) -> Result<(), StepError> {
    let mut progress = row.progress()?;
    let request = row.open_facts(tx)?.request;
    let verdict = judge_lost_lease(&request, &progress, tx.shared.settings.get().max_lease_losses);
    progress.end_attempt(tx.now, Reach::Unknown, None);
    progress.lease_losses = progress.lease_losses.saturating_add(1);
    tracing::warn!(job.id = %row.id, attempt = progress.attempts, "worker lost, its lease is taken away");
    let_others(tx, row.seq, &verdict)?;
    match verdict {
        Verdict::RetryAfter { error, .. } => {
            progress.last_error = Some(error);
            go_on(tx, row, &progress, Onward::Pending)?;
        }
        Verdict::Fail { error, outcome, .. } => fail(tx, row, progress, &error, outcome)?,
        Verdict::Complete(_) | Verdict::Release => unreachable!("a lost worker neither responds nor releases"),
    }
    Ok(())
}
