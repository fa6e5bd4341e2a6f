//! Looks a store over, without changing it: for `proxq check --store`.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};

use super::OpenError;
use super::blobs::{self, Damage};
use super::folder::Folder;
use super::schema::{self, LogIndex};
use super::steps::{job_id, state};
use super::vault;
use crate::job::{BlobRef, JobId, Progress, State};
use crate::store::StoreError;
use crate::store::record::{BodyFields, Facts, Head, Record, Secrets};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The job that it was found in; `None` for the database as a whole.
    pub job: Option<JobId>,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.job {
            Some(id) => write!(f, "job {id}: {}", self.what),
            None => write!(f, "database: {}", self.what),
        }
    }
}

/// Checks the database by SQLite's own means, and then the checksum of every record, body and blob. Reads all of it.
///
/// # Errors
/// Where the folder is in use, or its database cannot be opened at all.
pub fn verify(data_dir: &Path) -> Result<Vec<Finding>, OpenError> {
    let folder = Folder::hold_existing(data_dir)?;
    let database = folder.database();
    let fails = |source| schema::open_error(&database, source);
    let connection = schema::open_reader(&database, LogIndex::File).map_err(fails)?;
    schema::recognise(&connection, &database)?;
    let mut check = Check { connection: &connection, blobs: folder.blobs(), findings: Vec::new() };
    if let Err(error) = check.everything() {
        check.find(None, format!("reading stopped: {error}"));
    }
    Ok(check.findings)
}

struct Check<'a> {
    connection: &'a Connection,
    blobs: PathBuf,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn find(&mut self, job: Option<JobId>, what: String) {
        self.findings.push(Finding { job, what });
    }

    fn everything(&mut self) -> rusqlite::Result<()> {
        let mut pragma = self.connection.prepare("PRAGMA integrity_check")?;
        for line in pragma.query_map((), |row| row.get::<_, String>(0))? {
            let line = line?;
            if line != "ok" {
                self.find(None, line);
            }
        }
        let mut select = self.connection.prepare(
            "SELECT jobs.seq, jobs.id, state, secrets, progress, facts, requests.body, head, results.body
             FROM jobs LEFT JOIN requests ON requests.seq = jobs.seq LEFT JOIN results ON results.seq = jobs.seq",
        )?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            self.job(row)?;
        }
        Ok(())
    }

    fn job(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let (seq, id): (i64, JobId) = (row.get(0)?, job_id(row.get(1)?));
        let bytes = |column| row.get::<_, Option<Vec<u8>>>(column).map(Option::unwrap_or_default);
        self.keep(id, Progress::decode(id, bytes(4)?.into()));
        if let Some(slot) = row.get(3)? {
            let record = vault::read(self.connection, slot)?;
            self.keep(id, Secrets::decode(id, record.into()));
        }
        if let Some(facts) = self.keep(id, Facts::decode(id, bytes(5)?.into())) {
            self.body(seq, id, "request body", facts.body, bytes(6)?)?;
        }
        let state = state(row.get(2)?);
        if state.is_none() {
            self.find(Some(id), "state is none that there is".to_owned());
        }
        if state == Some(State::Completed)
            && let Some(head) = self.keep(id, Head::decode(id, bytes(7)?.into()))
        {
            self.body(seq, id, "response body", head.body, bytes(8)?)?;
        }
        Ok(())
    }

    /// What was read, or a finding.
    fn keep<T>(&mut self, id: JobId, read: Result<T, StoreError>) -> Option<T> {
        read.map_err(|error| {
            let what = match error {
                StoreError::CorruptJob { what, .. } => format!("{what} does not match its checksum"),
                StoreError::NewerRecord { version, .. } => format!("is of version {version}, later than this proxq"),
                other @ (StoreError::LeaseLost { .. }
                | StoreError::CorruptBlob { .. }
                | StoreError::Full { .. }
                | StoreError::Unavailable { .. }
                | StoreError::Closed) => other.to_string(),
            };
            self.find(Some(id), what);
        })
        .ok()
    }

    fn body(&mut self, seq: i64, id: JobId, name: &str, fields: BodyFields, beside: Vec<u8>) -> rusqlite::Result<()> {
        let Some(blob) = fields.blob() else {
            if fields.body(beside).is_none() {
                self.find(Some(id), format!("{name} does not match its checksum"));
            }
            return Ok(());
        };
        let mut select = self.connection.prepare_cached("SELECT seq FROM blobs WHERE id = ?1")?;
        let owner: Option<i64> = select.query_row((blob.id.as_bytes(),), |row| row.get(0)).optional()?;
        if owner != Some(seq) {
            self.find(Some(id), format!("{name}: blob {} is not kept for the job", blob.id));
        }
        self.blob(id, name, blob);
        Ok(())
    }

    fn blob(&mut self, id: JobId, name: &str, blob: BlobRef) {
        let what = match blobs::verify(&self.blobs, blob) {
            Ok(()) => return,
            Err(Damage::Found(what)) => what,
            Err(Damage::Unreadable(error)) => error.to_string(),
        };
        self.find(Some(id), format!("{name}: blob {} is damaged: {what}", blob.id));
    }
}
