//! What time brings: delayed jobs become pending, lost leases are taken away, jobs whose time is over end, old jobs are dropped.

use uuid::Uuid;

use super::super::step::{Step, StepError, Tx};
use super::age::age;
use super::batch::{batch, limit};
use super::blobs::Probe;
use super::lease::{next_due, set_aside};
use super::moment::keep_moment;
use super::order::newer_version;
use super::overdue::end_overdue;
use super::reclaim::reclaim;
use super::recover::take_over;
use super::row::{JobRow, number};
use super::turns::cancel_given_up;
use crate::job::{Progress, State, TimeBounds};
use crate::store::signals::{Effect, QueueSignal};
use crate::store::{BATCH_LIMIT, StoreError, Upkept};

/// One batch of what is past its retention: all that upkeep can do on a full disk.
#[derive(Debug)]
pub(in super::super) struct Expire;

impl Step for Expire {
    type Output = UpkeepRound;

    fn run(&self, tx: &mut Tx<'_>) -> Result<UpkeepRound, StepError> {
        let (expired, blobs) = expire(tx)?;
        Ok(UpkeepRound { upkept: Upkept { expired, ..Upkept::default() }, aged: 0, blobs })
    }

    fn makes_room(&self) -> bool {
        true
    }
}

/// One batch of everything that time brings.
#[derive(Debug)]
pub(in super::super) struct Upkeep;

/// What a batch of upkeep did, and what is left to do.
#[derive(Debug, Default)]
pub(in super::super) struct UpkeepRound {
    pub(in super::super) upkept: Upkept,
    /// How many jobs of low priority count as normal now.
    aged: usize,
    /// Blobs of dropped jobs, whose files are left to remove.
    pub(in super::super) blobs: Vec<Uuid>,
}

impl UpkeepRound {
    /// Whether there may be more to do.
    pub(in super::super) fn is_full(&self) -> bool {
        let Upkept { woken, reclaimed, expired, overdue } = self.upkept;
        woken.max(reclaimed).max(expired).max(overdue).max(self.aged) >= BATCH_LIMIT
    }
}

impl Step for Upkeep {
    type Output = UpkeepRound;

    fn run(&self, tx: &mut Tx<'_>) -> Result<UpkeepRound, StepError> {
        if tx.shared.health.is_failing() {
            Probe.run(tx)?; // ends the outage, or proves that it goes on
        }
        keep_moment(tx)?;
        let left_over = take_over(tx)?;
        let overdue = end_all_overdue(tx)?;
        let woken = wake(tx)?;
        let aged = age(tx)?;
        let lost = if tx.may_reclaim { reclaim(tx)? } else { 0 };
        let (expired, mut blobs) = expire(tx)?;
        blobs.extend(cancel_given_up(tx)?);
        tx.state.empty_log = true;
        Ok(UpkeepRound { upkept: Upkept { woken, reclaimed: left_over + lost, expired, overdue }, aged, blobs })
    }
}

/// Ends a batch of the waiting jobs whose time is over. Gives how many there were.
fn end_all_overdue(tx: &mut Tx<'_>) -> Result<usize, StepError> {
    let mut ended = 0;
    for seq in batch(tx, OVERDUE, (tx.now.as_millis(), limit(tx)))? {
        let row = JobRow::numbered(tx, seq)?;
        match bounds_and_progress(tx, &row) {
            Ok((bounds, progress)) => end_overdue(tx, &row, bounds, progress)?,
            Err(StepError::Refused(error @ StoreError::NewerRecord { .. })) => {
                set_aside(tx, &row, error)?;
                continue;
            }
            Err(StepError::Refused(error)) => set_aside(tx, &row, error)?,
            Err(error @ StepError::Database(_)) => return Err(error),
        }
        ended += 1;
    }
    Ok(ended)
}

fn bounds_and_progress(tx: &Tx<'_>, row: &JobRow) -> Result<(TimeBounds, Progress), StepError> {
    Ok((row.open_facts(tx)?.request.bounds, row.progress()?))
}

pub(in super::super) const OVERDUE: &str =
    "SELECT seq FROM bounds WHERE ends IS NOT NULL AND ends <= ?1 ORDER BY ends LIMIT ?2";

fn wake(tx: &mut Tx<'_>) -> Result<usize, StepError> {
    let mut woken = 0;
    for queue in tx.shared.signals.queues() {
        let rows = batch(tx, DUE, (&queue.name, tx.now.as_millis(), limit(tx)))?;
        let before = woken;
        for seq in rows.into_iter().take(BATCH_LIMIT - woken) {
            let row = JobRow::numbered(tx, seq)?;
            if let Some(version) = newer_version(tx, &row)? {
                set_aside(tx, &row, StoreError::NewerRecord { id: row.id, version })?;
                continue;
            }
            tx.connection
                .prepare_cached("UPDATE jobs SET state = ?2 WHERE seq = ?1")?
                .execute((seq, number(State::Pending)))?;
            tx.moves(&row.queue, row.state, Some(State::Pending));
            tx.tell(Effect::Changed(row.id));
            woken += 1;
        }
        if woken > before {
            tell_next_due(tx, queue)?;
        }
    }
    Ok(woken)
}

pub(in super::super) const DUE: &str =
    "SELECT seq FROM jobs WHERE state IN (1, 3) AND queue = ?1 AND due <= ?2 ORDER BY due, seq LIMIT ?3";

fn tell_next_due(tx: &mut Tx<'_>, queue: std::sync::Arc<QueueSignal>) -> rusqlite::Result<()> {
    let next = next_due(tx, &queue)?;
    tx.tell(Effect::NextDue(queue.clone(), next));
    tx.tell(Effect::Ready(queue));
    Ok(())
}

/// Drops what is past its retention.
fn expire(tx: &mut Tx<'_>) -> Result<(usize, Vec<Uuid>), StepError> {
    let mut expired = 0;
    let mut blobs = Vec::new();
    let rows = batch(tx, EXPIRED, (tx.now.as_millis(), limit(tx)))?;
    for seq in rows {
        let row = JobRow::numbered(tx, seq)?;
        if let Some(version) = newer_version(tx, &row)? {
            set_aside(tx, &row, StoreError::NewerRecord { id: row.id, version })?;
            continue;
        }
        blobs.extend(row.remove(tx)?);
        tx.tell(Effect::Changed(row.id));
        expired += 1;
    }
    Ok((expired, blobs))
}

pub(in super::super) const EXPIRED: &str =
    "SELECT seq FROM jobs WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2";
