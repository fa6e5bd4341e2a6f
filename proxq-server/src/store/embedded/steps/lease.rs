//! Hands jobs out, and prolongs the right to work on them.

use std::sync::Arc;

use rusqlite::OptionalExtension;
use tokio_util::sync::CancellationToken;

use super::super::Shared;
use super::super::outbox::Outbox;
use super::super::step::{Step, StepError, Tx};
use super::end::archive_damaged;
use super::overdue::{Begin, begin};
use super::row::{JobRow, number};
use crate::clock::Timestamp;
use crate::job::{JobId, State};
use crate::lock::lock;
use crate::store::locked::LOOK_AGAIN_AFTER;
use crate::store::record::{encode_progress, with_opened_error};
use crate::store::signals::{Effect, QueueSignal};
use crate::store::{BATCH_LIMIT, LEASE_TERM, Lease, LeasedJob, StoreError};

/// Leases up to `max` jobs of a queue.
#[derive(Debug)]
pub(in super::super) struct LeaseJobs {
    pub(in super::super) queue: String,
    pub(in super::super) max: usize,
    pub(in super::super) outbox: Outbox,
    pub(in super::super) shared: Arc<Shared>,
}

impl Step for LeaseJobs {
    type Output = HandedOut;

    fn run(&self, tx: &mut Tx<'_>) -> Result<HandedOut, StepError> {
        let queue = tx.shared.signals.queue(&self.queue);
        if queue.is_paused() {
            tx.tell(Effect::NextDue(queue, None)); // nobody is woken by what is due
            return Ok(HandedOut::new(Vec::new(), &self.shared, &self.outbox));
        }
        let mut jobs = Vec::with_capacity(self.max.min(BATCH_LIMIT));
        let mut passed_over = 0; // cannot be read, or over
        let may_be_more = loop {
            if jobs.len() == self.max || passed_over > BATCH_LIMIT {
                break self.max > 0;
            }
            let rows = due_rows(tx, &self.queue, self.max - jobs.len())?;
            if rows.is_empty() {
                break false;
            }
            tx.needs_room()?; // for the response, too
            for seq in rows {
                let row = JobRow::numbered(tx, seq)?;
                match hand_out(tx, &row) {
                    Ok(Some(job)) => jobs.push(job),
                    Ok(None) => passed_over += 1,
                    Err(StepError::Refused(error)) => {
                        set_aside(tx, &row, error)?;
                        passed_over += 1;
                    }
                    Err(error @ StepError::Database(_)) => return Err(error),
                }
            }
        };
        tx.tell(Effect::NextDue(Arc::clone(&queue), next_due(tx, &queue)?));
        if may_be_more {
            tx.tell(Effect::Ready(queue));
        }
        Ok(HandedOut::new(jobs, &self.shared, &self.outbox))
    }
}

pub(in super::super) const OLDEST_PENDING: &str =
    "SELECT priority, due, seq FROM jobs WHERE state = 0 AND queue = ?1 AND filed = 0 AND due <= ?2
     ORDER BY priority, due, seq LIMIT ?3";

/// Jobs that were put aside while the queue had limits.
pub(in super::super) const OLDEST_PUT_ASIDE: &str =
    "SELECT priority, due, seq FROM jobs WHERE state = 0 AND queue = ?1 AND filed = 1 AND due <= ?2
     ORDER BY priority, due, seq LIMIT ?3";

pub(in super::super) const OLDEST_WAITING: &str =
    "SELECT priority, due, seq FROM jobs WHERE state IN (1, 3) AND queue = ?1 AND due <= ?2 ORDER BY due, seq LIMIT ?3";

/// The jobs that are next, pending or not yet woken. Of the latter, only so many are looked at as are asked for, whatever
/// their priority: upkeep wakes them all within a second.
fn due_rows(tx: &Tx<'_>, queue: &str, max: usize) -> rusqlite::Result<Vec<i64>> {
    let limit = i64::try_from(max + tx.state.newer.len()).unwrap_or(i64::MAX);
    let mut rows: Vec<(i64, i64, i64)> = Vec::new();
    for sql in [OLDEST_PENDING, OLDEST_WAITING, OLDEST_PUT_ASIDE] {
        if sql == OLDEST_PUT_ASIDE && !rows.is_empty() {
            break;
        }
        let mut select = tx.connection.prepare_cached(sql)?;
        for row in select.query_map((queue, tx.now.as_millis(), limit), |row| row.try_into())? {
            rows.push(row?);
        }
        rows.retain(|(.., seq)| !tx.state.newer.contains(seq));
    }
    rows.sort_unstable();
    rows.truncate(max);
    Ok(rows.into_iter().map(|(.., seq)| seq).collect())
}

pub(in super::super) const NEXT_DUE: &str =
    "SELECT due FROM jobs WHERE state IN (1, 3) AND queue = ?1 ORDER BY due LIMIT 1";

/// When the first of a queue's waiting jobs is due, by the time of this process.
pub(super) fn next_due(tx: &Tx<'_>, queue: &QueueSignal) -> rusqlite::Result<Option<Timestamp>> {
    let mut select = tx.connection.prepare_cached(NEXT_DUE)?;
    let due: Option<i64> = select.query_row((&queue.name,), |row| row.get(0)).optional()?;
    Ok(due.map(|due| tx.steady_at(Timestamp::from_millis(due))))
}

/// Begins an attempt. `None` if the job's time is over, and ended with it.
pub(super) fn hand_out(tx: &mut Tx<'_>, row: &JobRow) -> Result<Option<LeasedJob>, StepError> {
    let mut progress = row.progress()?;
    let (facts, body) = row.request(tx)?;
    let Begin::Now { left } = begin(tx, row, facts.request.bounds, &progress)? else { return Ok(None) };
    progress.begin_attempt(tx.now, &tx.shared.instance);
    let token = tx.state.next_token();
    tx.connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, lease_until = ?3, token = ?4, progress = ?5, filed = 0 WHERE seq = ?1",
        )?
        .execute((
            row.seq,
            number(State::Active),
            tx.steady.after(LEASE_TERM).as_millis(),
            token.cast_signed(),
            encode_progress(row.id, &progress),
        ))?;
    tx.moves(&row.queue, row.state, Some(State::Active));
    let revoked = CancellationToken::new();
    tx.tell(Effect::Leased(row.id, revoked.clone()));
    tx.tell(Effect::Changed(row.id));
    let progress = with_opened_error(row.id, &tx.shared.keys, progress);
    let (request, progress) = (tx.shared.time.request_shown(facts.request), tx.shared.time.progress_shown(progress));
    let waited = Some(tx.now.since(row.due));
    Ok(Some(LeasedJob { lease: Lease { id: row.id, token }, request, body, progress, left, waited, revoked }))
}

/// Takes a job that cannot be read out of the way of the others.
pub(super) fn set_aside(tx: &mut Tx<'_>, row: &JobRow, error: StoreError) -> Result<(), StepError> {
    match error {
        StoreError::NewerRecord { id, version } => {
            if tx.state.newer.insert(row.seq) {
                tracing::warn!(job.id = %id, version, "job was written by a later version of proxq and is left alone");
            }
            Ok(())
        }
        StoreError::KeyUnknown { id, key } => {
            tx.shared.locked.met(id, key, tx.shared.clock);
            postpone(tx, row)
        }
        StoreError::CorruptJob { .. } => archive_damaged(tx, row, &error),
        other @ (StoreError::LeaseLost { .. }
        | StoreError::CorruptBlob { .. }
        | StoreError::BlobKeyUnknown { .. }
        | StoreError::KeyMissing { .. }
        | StoreError::Full { .. }
        | StoreError::Unavailable { .. }
        | StoreError::Closed) => Err(StepError::Refused(other)),
    }
}

/// Has a job wait that this process has no key for.
fn postpone(tx: &mut Tx<'_>, row: &JobRow) -> Result<(), StepError> {
    let due = tx.now.after(LOOK_AGAIN_AFTER);
    tx.connection.prepare_cached("UPDATE jobs SET state = ?2, due = ?3, filed = 0 WHERE seq = ?1")?.execute((
        row.seq,
        number(State::Scheduled),
        due.as_millis(),
    ))?;
    tx.moves(&row.queue, row.state, Some(State::Scheduled));
    tx.tell(Effect::DueAt(Arc::clone(&row.queue), tx.steady_at(due)));
    tx.tell(Effect::Changed(row.id));
    Ok(())
}

/// Leased jobs on their way to a worker. If it is gone when they arrive, they are given back.
#[derive(Debug)]
pub(in super::super) struct HandedOut {
    jobs: Vec<LeasedJob>,
    shared: Arc<Shared>,
    outbox: Outbox,
}

impl HandedOut {
    /// These, of the store that is `shared`.
    pub(super) fn new(jobs: Vec<LeasedJob>, shared: &Arc<Shared>, outbox: &Outbox) -> Self {
        Self { jobs, shared: Arc::clone(shared), outbox: outbox.clone() }
    }

    /// The worker has them.
    pub(in super::super) fn accept(mut self) -> Vec<LeasedJob> {
        std::mem::take(&mut self.jobs)
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        if !self.jobs.is_empty() {
            lock(&self.shared.given_back).extend(self.jobs.iter().map(|job| job.lease));
            self.outbox.look_around();
        }
    }
}

/// Prolongs leases.
#[derive(Debug)]
pub(in super::super) struct Renew {
    pub(in super::super) leases: Vec<Lease>,
}

impl Step for Renew {
    type Output = Vec<Lease>;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Lease>, StepError> {
        let until = tx.steady.after(LEASE_TERM).as_millis();
        let mut update = tx
            .connection
            .prepare_cached("UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND token = ?2 AND state = 2")?;
        let mut gone = Vec::new();
        for lease in &self.leases {
            if update.execute((lease.id.as_bytes(), lease.token.cast_signed(), until))? == 0 {
                gone.push(*lease);
            }
        }
        Ok(gone)
    }
}

/// Whether the row is under this lease.
pub(super) fn holds(row: &JobRow, lease: &Lease) -> bool {
    row.state == Some(State::Active) && row.token == lease.token.cast_signed()
}

/// That the lease is gone.
pub(super) fn lost(id: JobId) -> StepError {
    StepError::Refused(StoreError::LeaseLost { id })
}
