//! What is read of the database, each on a connection of `reader/pool.rs`.

mod pool;

use std::collections::BTreeSet;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};

pub(super) use self::pool::Readers;
use super::steps::{job_id, state};
use crate::clock::Timestamp;
use crate::job::{CredentialHash, Job, JobId, QueueName, State, StoredResponse};
use crate::sealing::Keyring;
use crate::store::record::{Facts, Head, Record, decode_progress, opened_error, unopened, with_opened_error};
use crate::store::{Content, Owner, StoreError};

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum ReadError {
    Store(StoreError),
    Database(rusqlite::Error),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error,
            ReadError::Database(error) => unavailable(error),
        }
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable { may_be_done: false, source: Box::new(error) }
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// What a failed read of one job means: a damaged page of the database is damage to the job whose data it holds.
pub(super) fn of_job(id: JobId) -> impl Fn(rusqlite::Error) -> ReadError {
    move |error| match error {
        error if is_damage(&error) => StoreError::CorruptJob { id, what: "a database page" }.into(),
        error => error.into(),
    }
}

/// A job as it stands, without its bodies.
pub(super) fn job(connection: &Connection, keys: &Keyring, id: JobId) -> Result<Option<Job>, ReadError> {
    let mut select = connection.prepare_cached(JOB)?;
    let columns = select.query_row((id.as_bytes(),), JobColumns::read).optional().map_err(of_job(id))?;
    Ok(columns.map(|columns| columns.job(keys)).transpose()?)
}

pub(super) const JOB: &str = "SELECT jobs.id, state, due, progress, facts
    FROM jobs LEFT JOIN requests ON requests.seq = jobs.seq WHERE jobs.id = ?1";

/// What makes a [`Job`].
#[derive(Debug)]
pub(super) struct JobColumns {
    pub(super) id: JobId,
    state: Option<State>,
    due: i64,
    progress: Vec<u8>,
    facts: Vec<u8>,
}

impl JobColumns {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: job_id(row.get(0)?),
            state: state(row.get(1)?),
            due: row.get(2)?,
            progress: row.get(3)?,
            facts: row.get::<_, Option<_>>(4)?.unwrap_or_default(),
        })
    }

    pub(super) fn job(self, keys: &Keyring) -> Result<Job, StoreError> {
        let progress = decode_progress(self.id, self.progress.into())?;
        let facts = Facts::decode_open(self.id, self.facts.into(), keys)?;
        let mut progress = with_opened_error(self.id, keys, progress);
        // After the records, for a later version may know other states.
        let state = self.state.ok_or(StoreError::CorruptJob { id: self.id, what: "state" })?;
        if matches!(state, State::Scheduled | State::Retry) {
            progress.due_at = Some(Timestamp::from_millis(self.due));
        }
        Ok(Job { request: facts.request, state, progress })
    }
}

/// Whose a job is.
pub(super) fn owner(connection: &Connection, id: JobId) -> Result<Owner, ReadError> {
    let mut select = connection.prepare_cached(OWNER)?;
    let credential = select.query_row((id.as_bytes(),), |row| row.get(0)).optional().map_err(of_job(id))?;
    Ok(credential.map_or(Owner::NoJob, |credential| Owner::Credential(CredentialHash(credential))))
}

pub(super) const OWNER: &str = "SELECT credential FROM jobs WHERE id = ?1";

/// A job's response.
pub(super) fn content(connection: &Connection, keys: &Keyring, id: JobId) -> Result<Content, ReadError> {
    let mut select = connection.prepare_cached(CONTENT)?;
    let mut rows = select.query((id.as_bytes(),))?;
    let Some(row) = rows.next().map_err(of_job(id))? else { return Ok(Content::Unknown) };
    let bytes = |column| row.get::<_, Option<Vec<u8>>>(column).map(Option::unwrap_or_default);
    let Some(state) = state(row.get(0)?) else {
        decode_progress(id, bytes(1)?.into())?; // a later version may know other states
        return Err(StoreError::CorruptJob { id, what: "state" }.into());
    };
    Ok(match state {
        State::Pending | State::Scheduled | State::Active | State::Retry => Content::NotReady,
        State::Archived => {
            let error = decode_progress(id, bytes(1)?.into())?.last_error.unwrap_or_default();
            Content::Failed { error: opened_error(id, keys, error) }
        }
        State::Completed => {
            let head = Head::decode(id, bytes(2)?.into(), keys)?;
            let body = head.body.body(bytes(3)?, keys).map_err(|error| unopened(id, "response body", error))?;
            Content::Ready(StoredResponse { head: head.head, body })
        }
    })
}

pub(super) const CONTENT: &str = "SELECT state, progress, head, body
    FROM jobs LEFT JOIN results ON results.seq = jobs.seq WHERE jobs.id = ?1";

/// Since when the job could have begun that has been pending for longest.
pub(super) fn oldest_pending(connection: &Connection, queue: &QueueName) -> Result<Option<Timestamp>, ReadError> {
    let mut select = connection.prepare_cached(OLDEST)?;
    let mut oldest: Option<i64> = None;
    for (filed, rank) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
        let due: Option<i64> = select.query_row((queue.as_str(), filed, rank), |row| row.get(0)).optional()?;
        oldest = oldest.into_iter().chain(due).min();
    }
    Ok(oldest.map(Timestamp::from_millis))
}

pub(super) const OLDEST: &str = "SELECT due FROM jobs INDEXED BY pending
    WHERE state = 0 AND queue = ?1 AND filed = ?2 AND priority = ?3 ORDER BY due LIMIT 1";

/// The queues beside those that are known in which jobs wait or run.
pub(super) fn other_queues(connection: &Connection, known: &[QueueName]) -> Result<Vec<QueueName>, ReadError> {
    let mut others = BTreeSet::new();
    for condition in ["state = 0", "state IN (1, 3)", "state = 2"] {
        let mut select = connection.prepare(&format!("SELECT DISTINCT queue FROM jobs WHERE {condition}"))?;
        for name in select.query_map((), |row| row.get::<_, String>(0))? {
            others.insert(name?);
        }
    }
    let others = others.iter().filter_map(|name| QueueName::new(name));
    Ok(others.filter(|queue| !known.contains(queue)).collect())
}
