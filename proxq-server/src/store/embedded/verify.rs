//! Looks a store over, without changing it: for `proxq check --store`.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};

use super::OpenError;
use super::blobs::{self, Damage};
use super::folder::Folder;
use super::schema::{self, LogIndex};
use super::steps::{job_id, state};
use super::vault;
use crate::job::{BlobRef, JobId, State};
use crate::sealing::{Keyring, Unopened, text_key};
use crate::store::record::{BodyFields, Facts, Head, Record, Secrets, decode_progress, sealed_with};
use crate::store::{KeyUse, StoreError, sealed_blobs};

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

/// What a look at a whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is not as it was written.
    pub findings: Vec<Finding>,
    /// How many jobs are sealed with which key.
    pub keys: KeyUse,
}

/// Checks the database by SQLite's own means, and then the checksum of every record, body and blob. Reads all of it, and opens
/// what is sealed with one of these keys.
///
/// # Errors
/// Where the folder is in use, or its database cannot be opened at all.
pub(crate) fn verify(data_dir: &Path, keys: &Keyring) -> Result<Verified, OpenError> {
    let folder = Folder::hold_existing(data_dir)?;
    let database = folder.database();
    let fails = |source| schema::open_error(&database, source);
    let connection = schema::open_reader(&database, LogIndex::File).map_err(fails)?;
    schema::recognise(&connection, &database)?;
    let mut check = Check { connection: &connection, blobs: folder.blobs(), keys, found: Verified::default() };
    if let Err(error) = check.everything() {
        check.find(None, format!("reading stopped: {error}"));
    }
    Ok(check.found)
}

struct Check<'a> {
    connection: &'a Connection,
    blobs: PathBuf,
    keys: &'a Keyring,
    found: Verified,
}

impl Check<'_> {
    fn find(&mut self, job: Option<JobId>, what: String) {
        self.found.findings.push(Finding { job, what });
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
        let progress = self.keep(id, decode_progress(id, bytes(4)?.into()));
        let error = progress.and_then(|progress| text_key(&progress.last_error?));
        let (facts, head) = (Bytes::from(bytes(5)?), Bytes::from(bytes(7)?));
        let sealed = [sealed_with(Facts::NAME, id, facts.clone()), sealed_with(Head::NAME, id, head.clone()), error];
        self.found.keys.count(sealed.into_iter().flatten());
        if let Some(slot) = row.get(3)? {
            let record = vault::read(self.connection, slot)?;
            self.keep(id, Secrets::decode_open(id, record.into(), self.keys));
        }
        if let Some(facts) = self.keep(id, Facts::decode_open(id, facts, self.keys)) {
            self.body(seq, id, "request body", facts.body, bytes(6)?)?;
        }
        let state = state(row.get(2)?);
        if state.is_none() {
            self.find(Some(id), "state is none that there is".to_owned());
        }
        if state == Some(State::Completed)
            && let Some(head) = self.keep(id, Head::decode_open(id, head, self.keys))
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
                | StoreError::KeyUnknown { .. }
                | StoreError::BlobKeyUnknown { .. }
                | StoreError::KeyMissing { .. }
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
            let opened =
                if fields.is_intact(&beside) { fields.body(beside, self.keys).err() } else { Some(Unopened::Broken) };
            if opened == Some(Unopened::Broken) {
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
        let what = match blobs::verify(&self.blobs, sealed_blobs::stored(&blob)) {
            Ok(()) => return,
            Err(Damage::Found(what)) => what,
            Err(Damage::Unreadable(error)) => error.to_string(),
        };
        self.find(Some(id), format!("{name}: blob {} is damaged: {what}", blob.id));
    }
}
