//! A job's row, as the steps read it.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row};
use uuid::Uuid;

use super::super::step::{StepError, Tx};
use super::super::vault;
use super::bounds;
use crate::clock::Timestamp;
use crate::job::{Body, JobId, Priority, Progress, State};
use crate::store::StoreError;
use crate::store::record::{Facts, Record, decode_progress, unopened};
use crate::store::signals::QueueSignal;

/// The number of a state in the database.
pub(in super::super) fn number(state: State) -> i64 {
    match state {
        State::Pending => 0,
        State::Scheduled => 1,
        State::Active => 2,
        State::Retry => 3,
        State::Completed => 4,
        State::Archived => 5,
    }
}

/// The state with a number, unless no state has it.
pub(in super::super) fn state(number: i64) -> Option<State> {
    State::ALL.into_iter().find(|state| self::number(*state) == number)
}

/// The number of a priority in the database: jobs with a lower one are leased first.
pub(in super::super) fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// The priority with a number, unless no priority has it.
pub(in super::super) fn priority(number: i64) -> Option<Priority> {
    Priority::ALL.into_iter().find(|priority| rank(*priority) == number)
}

/// What the steps need of a row of `jobs`.
#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) seq: i64,
    pub(super) id: JobId,
    pub(super) queue: Arc<QueueSignal>,
    /// `None` where it cannot be read.
    pub(super) state: Option<State>,
    pub(super) token: i64,
    pub(super) retention_ms: i64,
    /// Since when, or from when on, it may begin.
    pub(super) due: Timestamp,
    secrets: Option<i64>,
    progress: Bytes,
}

const BY_ID: &str = "SELECT seq, id, queue, state, token, retention, secrets, progress, due FROM jobs WHERE id = ?1";
const BY_SEQ: &str = "SELECT seq, id, queue, state, token, retention, secrets, progress, due FROM jobs WHERE seq = ?1";

const REMOVE: [&str; 6] = [
    "DELETE FROM jobs WHERE seq = ?1",
    "DELETE FROM requests WHERE seq = ?1",
    "DELETE FROM results WHERE seq = ?1",
    "DELETE FROM claims WHERE seq = ?1",
    "DELETE FROM calls WHERE seq = ?1",
    bounds::FORGET,
];

impl JobRow {
    /// The row of a job, if there is one.
    pub(super) fn of_job(tx: &Tx<'_>, id: JobId) -> rusqlite::Result<Option<Self>> {
        let mut select = tx.connection.prepare_cached(BY_ID)?;
        select.query_row((id.as_bytes(),), |row| Self::read(tx, row)).optional()
    }

    /// The row with a number.
    pub(super) fn numbered(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<Self> {
        let mut select = tx.connection.prepare_cached(BY_SEQ)?;
        select.query_row((seq,), |row| Self::read(tx, row))
    }

    fn read(tx: &Tx<'_>, row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: job_id(row.get(1)?),
            queue: tx.shared.signals.queue(row.get_ref(2)?.as_str()?),
            state: state(row.get(3)?),
            token: row.get(4)?,
            retention_ms: row.get(5)?,
            secrets: row.get(6)?,
            progress: row.get::<_, Vec<u8>>(7)?.into(),
            due: Timestamp::from_millis(row.get(8)?),
        })
    }

    /// How far the job has come.
    pub(super) fn progress(&self) -> Result<Progress, StoreError> {
        decode_progress(self.id, self.progress.clone())
    }

    /// What was submitted, without its secrets.
    pub(super) fn facts(&self, tx: &Tx<'_>) -> Result<Facts, StepError> {
        Ok(Facts::decode(self.id, self.facts_record(tx)?, &tx.shared.keys)?)
    }

    /// The same, as far as it can be read without a key that this process does not have.
    pub(super) fn open_facts(&self, tx: &Tx<'_>) -> Result<Facts, StepError> {
        Ok(Facts::decode_open(self.id, self.facts_record(tx)?, &tx.shared.keys)?)
    }

    fn facts_record(&self, tx: &Tx<'_>) -> rusqlite::Result<Bytes> {
        let mut select = tx.connection.prepare_cached("SELECT facts FROM requests WHERE seq = ?1")?;
        let record: Option<Vec<u8>> = select.query_row((self.seq,), |row| row.get(0)).optional()?;
        Ok(record.unwrap_or_default().into())
    }

    /// What was submitted, with its secrets, and its body.
    pub(super) fn request(&self, tx: &Tx<'_>) -> Result<(Facts, Body), StepError> {
        let mut select = tx.connection.prepare_cached("SELECT facts, body FROM requests WHERE seq = ?1")?;
        let records: Option<(Vec<u8>, Vec<u8>)> =
            select.query_row((self.seq,), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (facts, beside) = records.unwrap_or_default();
        let keys = &*tx.shared.keys;
        let mut facts = Facts::decode(self.id, facts.into(), keys)?;
        let body = facts.body.body(beside, keys).map_err(|error| unopened(self.id, "request body", error))?;
        if let Some(slot) = self.secrets {
            let secrets = vault::read(tx.connection, slot)?;
            facts.put_back(secrets.into(), keys)?;
        }
        Ok((facts, body))
    }

    /// Where the job's secrets stay when it ends in this state: a failed job may be retried.
    pub(super) fn secrets_kept_in(&self, state: State) -> Option<i64> {
        self.secrets.filter(|_| state == State::Archived)
    }

    /// Erases the job's secrets.
    pub(super) fn erase_secrets(&self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        match self.secrets {
            Some(slot) => tx.state.vault.erase(tx.connection, slot),
            None => Ok(()),
        }
    }

    /// The first byte of the record of the job's progress.
    pub(super) fn version_byte(&self) -> Option<u8> {
        self.progress.first().copied()
    }

    /// Removes all that is stored of the job. Gives its blobs, whose files are left to remove.
    pub(super) fn remove(&self, tx: &mut Tx<'_>) -> rusqlite::Result<Vec<Uuid>> {
        self.erase_secrets(tx)?;
        let blobs = tx
            .connection
            .prepare_cached("DELETE FROM blobs WHERE seq = ?1 RETURNING id")?
            .query_map((self.seq,), |row| Ok(Uuid::from_bytes(row.get(0)?)))?
            .collect::<Result<_, _>>()?;
        for table in REMOVE {
            tx.connection.prepare_cached(table)?.execute((self.seq,))?;
        }
        tx.moves(&self.queue, self.state, None);
        Ok(blobs)
    }
}

/// Refers to the blob of a body from a job, so that it lives as long as the job.
pub(super) fn refer_to_blob(tx: &Tx<'_>, seq: i64, blob: Uuid) -> rusqlite::Result<()> {
    tx.connection
        .prepare_cached("INSERT INTO blobs (id, seq) VALUES (?1, ?2)")?
        .execute((blob.as_bytes(), seq))
        .map(drop)
}

/// The id in a row. Bytes that are no job's id give another id, under which none of the row's records is intact.
pub(in super::super) fn job_id(bytes: [u8; 16]) -> JobId {
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    JobId::from_bytes(id.into_bytes()).expect("the builder made it a version 4 UUID")
}

/// A span as the database keeps it.
pub(super) fn millis(span_ms: u64) -> i64 {
    i64::try_from(span_ms).unwrap_or(i64::MAX)
}
