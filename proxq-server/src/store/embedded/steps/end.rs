//! The end of an attempt, and the end of a job.

use super::super::step::{StepError, Tx};
use super::row::{JobRow, number};
use super::{bounds, claim, turns};
use crate::clock::Timestamp;
use crate::failure::chain;
use crate::job::{Outcome, Progress, Reach, State, Verdict};
use crate::store::StoreError;
use crate::store::record::encode_progress;
use crate::store::signals::Effect;

/// Where a job goes that does not end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Onward {
    /// Back to its old place, before all that have been due for less long.
    Pending,
    /// It rests until then.
    Resting(Timestamp),
}

/// Ends a job's lease without ending the job.
pub(super) fn go_on(tx: &mut Tx<'_>, row: &JobRow, progress: &Progress, onward: Onward) -> rusqlite::Result<()> {
    let (state, due) = match onward {
        Onward::Pending => (State::Pending, None),
        Onward::Resting(due) => (State::Retry, Some(due)),
    };
    tx.connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, due = coalesce(?3, due), lease_until = NULL, progress = ?4 WHERE seq = ?1",
        )?
        .execute((row.seq, number(state), due.map(Timestamp::as_millis), encode_progress(row.id, progress)))?;
    bounds::wait(tx, row.seq, progress)?;
    tx.moves(&row.queue, row.state, Some(state));
    let queue = row.queue.clone();
    tx.tell(match onward {
        Onward::Pending => Effect::Ready(queue),
        Onward::Resting(due) => Effect::DueAt(queue, tx.steady_at(due)),
    });
    Ok(())
}

/// Ends a job, for as long as it is kept.
pub(super) fn end(tx: &mut Tx<'_>, row: &JobRow, progress: &Progress, state: State) -> rusqlite::Result<()> {
    let secrets = row.secrets_kept_in(state);
    if secrets.is_none() {
        row.erase_secrets(tx)?;
    }
    bounds::forget(tx, row.seq)?;
    tx.connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, lease_until = NULL, expires = ?3, secrets = ?4, progress = ?5 WHERE seq = ?1",
        )?
        .execute((row.seq, number(state), expiry(tx, row), secrets, encode_progress(row.id, progress)))?;
    tx.moves(&row.queue, row.state, Some(state));
    Ok(())
}

/// Ends a job that cannot be read, so that it does not stand in the way of others. What is damaged stays as it is.
pub(super) fn archive_damaged(tx: &mut Tx<'_>, row: &JobRow, error: &StoreError) -> Result<(), StepError> {
    tracing::error!(job.id = %row.id, error = chain(error), "job is damaged and given up");
    if let Ok(mut progress) = row.progress() {
        if row.state == Some(State::Active) {
            progress.end_attempt(tx.now, Reach::Unknown, None);
        }
        progress.ended_at = Some(tx.now);
        progress.last_error = Some(error.to_string());
        progress.outcome = Some(match progress.reach {
            None | Some(Reach::NotSent) => Outcome::NotSent,
            Some(Reach::Unknown | Reach::Responded) => Outcome::Indeterminate,
        });
        if progress.outcome == Some(Outcome::NotSent) {
            let_others_try(tx, row.seq)?;
        }
        end(tx, row, &progress, State::Archived)?;
    } else {
        bounds::forget(tx, row.seq)?;
        tx.connection
            .prepare_cached("UPDATE jobs SET state = ?2, lease_until = NULL, expires = ?3 WHERE seq = ?1")?
            .execute((row.seq, number(State::Archived), expiry(tx, row)))?;
        tx.moves(&row.queue, row.state, Some(State::Archived));
    }
    tx.tell(Effect::Changed(row.id));
    Ok(())
}

/// Lets other submissions have what the job leaves them that gets this verdict: its idempotency key, and later tries of its
/// call.
pub(super) fn let_others(tx: &Tx<'_>, seq: i64, verdict: &Verdict) -> rusqlite::Result<()> {
    if verdict.frees_claim() {
        claim::free(tx, seq)?;
    }
    if verdict.ends_call() {
        turns::end(tx, seq)?;
    }
    Ok(())
}

/// The same for a job that was never sent, which leaves both.
pub(super) fn let_others_try(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    claim::free(tx, seq)?;
    turns::end(tx, seq)
}

/// Until when an ended job is kept.
fn expiry(tx: &Tx<'_>, row: &JobRow) -> i64 {
    tx.now.as_millis().saturating_add(row.retention_ms)
}
