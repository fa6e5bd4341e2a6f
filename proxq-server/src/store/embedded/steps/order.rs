//! What people order done with a job.

use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::super::step::{Step, StepError, Tx};
use super::claim;
use super::row::{JobRow, number};
use crate::job::{JobId, Outcome, State};
use crate::store::record::{self, encode_progress};
use crate::store::signals::Effect;
use crate::store::{Requeued, StoreError};

/// Removes a job.
#[derive(Debug)]
pub(in super::super) struct Cancel {
    pub(in super::super) id: JobId,
}

impl Step for Cancel {
    /// The job's blobs, whose files are left to remove; `None` if there was no job.
    type Output = Option<Vec<Uuid>>;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Output, StepError> {
        let Some(row) = JobRow::of_job(tx, self.id)? else { return Ok(None) };
        if let Some(version) = newer_version(tx, &row)? {
            return Err(StoreError::NewerRecord { id: self.id, version }.into());
        }
        let blobs = row.remove(tx)?;
        tx.tell(Effect::Revoked(self.id));
        tx.tell(Effect::Changed(self.id));
        Ok(Some(blobs))
    }

    fn makes_room(&self) -> bool {
        true
    }
}

/// The version of a job's records, if it is one that this program must leave alone.
pub(super) fn newer_version(tx: &Tx<'_>, row: &JobRow) -> rusqlite::Result<Option<u32>> {
    let mut select = tx.connection.prepare_cached("SELECT substr(facts, 1, 1) FROM requests WHERE seq = ?1")?;
    let first: Option<Vec<u8>> = select.query_row((row.seq,), |row| row.get(0)).optional()?;
    let versions = [first.and_then(|first| first.first().copied()), row.version_byte()];
    Ok(versions.into_iter().flatten().find(|first| record::is_newer(*first)).map(u32::from))
}

/// Makes a failed job pending again.
#[derive(Debug)]
pub(in super::super) struct RetryFailed {
    pub(in super::super) id: JobId,
    /// It may be sent again, even if it has reached its upstream.
    pub(in super::super) confirmed: bool,
}

impl Step for RetryFailed {
    type Output = Requeued;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Requeued, StepError> {
        let Some(row) = JobRow::of_job(tx, self.id)? else { return Ok(Requeued::Unknown) };
        let mut progress = row.progress()?;
        let state = row.state.ok_or(StoreError::CorruptJob { id: self.id, what: "state" })?;
        if state != State::Archived {
            return Ok(Requeued::NotFailed);
        }
        if progress.outcome == Some(Outcome::Indeterminate) && !self.confirmed {
            return Ok(Requeued::MayDuplicate);
        }
        progress.retried = 0;
        progress.lease_losses = 0;
        progress.outcome = None;
        progress.expired = false;
        progress.ended_at = None;
        tx.connection
            .prepare_cached(
                "UPDATE jobs SET state = ?2, due = ?3, expires = NULL, progress = ?4, filed = 0 WHERE seq = ?1",
            )?
            .execute((row.seq, number(State::Pending), tx.now.as_millis(), encode_progress(self.id, &progress)))?;
        tx.moves(&row.queue, row.state, Some(State::Pending));
        claim::take_back(tx, row.seq)?;
        tx.tell(Effect::Ready(row.queue.clone()));
        tx.tell(Effect::Changed(self.id));
        Ok(Requeued::Queued)
    }
}
