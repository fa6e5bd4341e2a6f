//! The database of an embedded store: its tables, its settings, and how old ones are brought up to date.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::OpenError;
use super::time::Moment;
use crate::clock::Timestamp;
use crate::config::SyncMode;
use crate::sealing::Keyring;
use crate::store::Deployment;
use crate::store::kept_key::{self, PLAIN_ENTRY};

/// The format that this program writes, kept in SQLite's `user_version`. Below it lie [`MIGRATIONS`].
pub(super) const FORMAT: u32 = 7;

/// `user_version` 0 → 1 → 2 …: each makes a database one version newer, in one transaction.
const MIGRATIONS: [&str; FORMAT as usize] =
    [FIRST_FORMAT, WITH_CLAIMS, WITH_CALLS, WITH_PRIORITIES, WITH_BOUNDS, WITH_FILES, WITH_OVERSIGHT];

/// Marks a database as proxq's: "prxq".
const APPLICATION_ID: i32 = 0x7072_7871;

/// `jobs` is small and changes at every step; bodies and facts lie apart, so that a step does not copy them.
///
/// Instants are milliseconds of the store's time (`time.rs`), except that a lease lasts until `lease_until` by the time of
/// the process that gave it. The numbers of states are in `steps/row.rs`. `due` is since when, or
/// from when on, a worker may take the job. A lease's `token` is never given twice. `secrets` names a row of `vault`.
///
/// Rows of `vault` are never deleted, only overwritten by as many bytes: they never move, so that an erased secret
/// leaves no copy on a page that was split or merged (see `vault.rs`).
const FIRST_FORMAT: &str = "
CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE,
    queue       TEXT    NOT NULL,
    state       INTEGER NOT NULL,
    due         INTEGER NOT NULL,
    lease_until INTEGER,
    token       INTEGER NOT NULL,
    expires     INTEGER,
    retention   INTEGER NOT NULL,
    credential  BLOB    NOT NULL,
    secrets     INTEGER,
    progress    BLOB    NOT NULL
) STRICT;
CREATE INDEX pending ON jobs (queue, due) WHERE state = 0;
CREATE INDEX waiting ON jobs (queue, due, state) WHERE state IN (1, 3);
CREATE INDEX leased ON jobs (lease_until) WHERE state = 2;
CREATE INDEX ended ON jobs (queue, state) WHERE state IN (4, 5);
CREATE INDEX expiring ON jobs (expires) WHERE expires IS NOT NULL;

CREATE TABLE requests (seq INTEGER PRIMARY KEY, facts BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE results (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE vault (slot INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

CREATE TABLE blobs (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_of_job ON blobs (seq);

CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// Who has which idempotency key: a claim of the job `seq`, which lapses at `until` or when it is `freed`.
const WITH_CLAIMS: &str = "
CREATE TABLE claims (
    scope       BLOB    PRIMARY KEY,
    seq         INTEGER NOT NULL UNIQUE,
    fingerprint BLOB    NOT NULL,
    until       INTEGER NOT NULL,
    freed       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Who waits for the job `seq`, whose call has not ended: the latest turn has a `number`, and lasts or was abandoned `since`
/// then. `holder` is the run of the process that holds the client, 0 where that process let it go as it stopped, NULL where the
/// client went away. `joiner` is the submission that began the turn by joining.
const WITH_CALLS: &str = "
CREATE TABLE calls (
    seq     INTEGER PRIMARY KEY,
    key     BLOB,
    number  INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    holder  INTEGER,
    joiner  BLOB,
    give_up INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_by_key ON calls (key, since) WHERE key IS NOT NULL;
CREATE INDEX given_up ON calls (since) WHERE give_up = 1 AND holder IS NULL;
";

/// `priority` is a job's present one, by its number in `steps/row.rs`: what is leased first has the lowest. The index has the
/// pending jobs in the order in which they are leased. Jobs that were there before are of normal priority.
const WITH_PRIORITIES: &str = "
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
DROP INDEX pending;
CREATE INDEX pending ON jobs (queue, priority, due) WHERE state = 0;
";

/// The jobs that have not all the time there is: the first attempt begins before `start_by`, any before `end_by`. `ends` is
/// the one of the two that ends the job `seq` while it waits, and NULL while it runs. A job that has ended has no row.
const WITH_BOUNDS: &str = "
CREATE TABLE bounds (
    seq      INTEGER PRIMARY KEY,
    start_by INTEGER NOT NULL,
    end_by   INTEGER,
    ends     INTEGER
) STRICT;
CREATE INDEX ending ON bounds (ends) WHERE ends IS NOT NULL;
";

/// `filed` is 1 for a pending job that was put aside because its credential held it back: it is found by its credential then, and
/// those behind it without passing it.
const WITH_FILES: &str = "
ALTER TABLE jobs ADD COLUMN filed INTEGER NOT NULL DEFAULT 0;
DROP INDEX pending;
CREATE INDEX pending ON jobs (queue, filed, priority, due) WHERE state = 0;
CREATE INDEX filed ON jobs (queue, credential, priority, due) WHERE state = 0 AND filed = 1;
";

/// Lists of delayed and resting jobs are read in the order of their numbers. Of the queues that are `paused`, no job begins.
const WITH_OVERSIGHT: &str = "
CREATE INDEX waiting_by_number ON jobs (queue, state) WHERE state IN (1, 3);
CREATE TABLE paused (queue TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// A database up to this size is checked as a whole at every start: reading so much takes well under a second.
const CHECKED_AT_OPEN_BYTES: i64 = 64 << 20;

/// Where SQLite keeps the index of its log.
#[derive(Clone, Copy, Debug)]
pub(super) enum LogIndex {
    /// In a file, so that other programs can open the database at the same time.
    File,
    /// In this process, which then has the database to itself.
    Memory,
}

impl LogIndex {
    fn open(self, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let vfs = match self {
            Self::File => c"unix",
            Self::Memory => c"unix-excl",
        };
        Connection::open_with_flags_and_vfs(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX, vfs)
    }
}

/// Opens the writer's connection, and makes or migrates the tables. The readers' connections must have the same index.
pub(super) fn open_writer(path: &Path, sync: SyncMode) -> Result<(Connection, LogIndex), OpenError> {
    match open_with(LogIndex::File, path, sync) {
        Err(OpenError::Database { source, .. }) if lacks_room(&source) => {
            tracing::warn!(
                "there is no room for the index of the store's log, which is kept in memory until the next start"
            );
            Ok((open_with(LogIndex::Memory, path, sync)?, LogIndex::Memory))
        }
        opened => Ok((opened?, LogIndex::File)),
    }
}

fn open_with(index: LogIndex, path: &Path, sync: SyncMode) -> Result<Connection, OpenError> {
    let fails = |source| open_error(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = index.open(path, flags).map_err(fails)?;
    let bytes = recognise(&connection, path)?;
    check_small(&connection, path, bytes)?;
    configure_writer(&connection, sync).map_err(fails)?;
    migrate(&mut connection).map_err(fails)?;
    Ok(connection)
}

/// Opens a connection that copies the log into the database, beside the writer's.
pub(super) fn open_copier(path: &Path, index: LogIndex, sync: SyncMode) -> rusqlite::Result<Connection> {
    let connection = index.open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(&format!("PRAGMA synchronous = {}; PRAGMA wal_autocheckpoint = 0;", synchronous(sync)))?;
    Ok(connection)
}

/// Opens a connection that only reads, beside the writer's or alone.
pub(super) fn open_reader(path: &Path, index: LogIndex) -> rusqlite::Result<Connection> {
    let connection = index.open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("PRAGMA cache_size = -2048; PRAGMA cell_size_check = ON;")?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Makes sure that the file is a database of proxq's and of no later version. Gives its size in bytes.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let fails = |source| open_error(path, source);
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(fails);
    let (format, application, pages) = (number("user_version")?, number("application_id")?, number("page_count")?);
    if pages == 0 {
        return Ok(0); // made just now, or the last process died before it wrote anything
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(OpenError::NotOurs { path: path.to_owned() });
    }
    if format > i64::from(FORMAT) {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT.into() });
    }
    Ok(pages.saturating_mul(number("page_size")?))
}

fn check_small(connection: &Connection, path: &Path, bytes: i64) -> Result<(), OpenError> {
    if bytes > CHECKED_AT_OPEN_BYTES {
        return Ok(()); // what is damaged shows when it is read, and to `proxq check --store`
    }
    let verdict: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(|source| open_error(path, source))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Corrupt { path: path.to_owned(), what: verdict }) }
}

fn configure_writer(connection: &Connection, sync: SyncMode) -> rusqlite::Result<()> {
    let synchronous = synchronous(sync);
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA secure_delete = FAST;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON;
         PRAGMA foreign_keys = OFF;
         PRAGMA trusted_schema = OFF;"
    ))?;
    keep_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn synchronous(sync: SyncMode) -> &'static str {
    match sync {
        SyncMode::Durable => "FULL",
        SyncMode::OperatingSystem => "NORMAL", // commits are not synced, checkpoints are: old jobs survive a power loss
    }
}

/// Has the plan of a statement not depend on what is bound to it: else it is made again for every new value, which took
/// a third of the writer's time.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = MIGRATIONS.get(format as usize..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    if format > 0 {
        tracing::info!(from = format, to = FORMAT, "store migrated");
    }
    Ok(())
}

/// Whether a statement failed because the file system is full.
pub(super) fn lacks_room(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    error.code == ErrorCode::DiskFull || error.extended_code == SQLITE_IOERR_SHMSIZE
}

/// What a failure to open or read the database at start means.
pub(super) fn open_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path: PathBuf = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotOurs { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, what: source.to_string() },
        _ => OpenError::Database { path, source },
    }
}

/// The moment that the last run kept, if there is one.
pub(super) fn kept_moment(connection: &Connection) -> rusqlite::Result<Option<Moment>> {
    let mut select = connection.prepare("SELECT value FROM meta WHERE key = 'moment'")?;
    let kept: Option<Vec<u8>> = select.query_row((), |row| row.get(0)).optional()?;
    Ok(kept.and_then(|kept| String::from_utf8(kept).ok()?.parse().ok()))
}

/// Since when the latest of the pending jobs waits: an instant that has passed.
pub(super) fn latest_pending(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let due: Option<i64> = connection.query_row("SELECT max(due) FROM jobs WHERE state = 0", (), |row| row.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}

/// The deployment's secrets, made at first start.
pub(super) fn deployment(connection: &mut Connection, keys: &Keyring) -> rusqlite::Result<Deployment> {
    let made_now = Deployment::made_now();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let kept = |key: &str, value: &[u8]| {
        transaction.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)", (key, value))?;
        transaction.query_row("SELECT value FROM meta WHERE key = ?1", (key,), |row| row.get::<_, Vec<u8>>(0))
    };
    let name = kept("via_name", made_now.via_name.as_bytes())?;
    let entries: Vec<(String, Vec<u8>)> = transaction
        .prepare("SELECT key, value FROM meta WHERE key LIKE ?1 || '%'")?
        .query_map((PLAIN_ENTRY,), |row| row.try_into())?
        .collect::<Result<_, _>>()?;
    let (credential_key, missing_key) = match kept_key::find(keys, &entries) {
        Ok(found) => {
            let credential_key = found.unwrap_or(made_now.credential_key);
            kept(&kept_key::entry(keys), &kept_key::kept(keys, &credential_key))?;
            for (name, _) in entries.iter().filter(|(name, _)| kept_key::is_outdated(keys, name)) {
                transaction.execute("DELETE FROM meta WHERE key = ?1", (name,))?;
            }
            (credential_key, None)
        }
        Err(missing) => (made_now.credential_key, Some(missing)),
    };
    transaction.commit()?;
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error);
    let via_name = String::from_utf8(name).map_err(|error| wrong(error.into()))?;
    Ok(Deployment { via_name, credential_key, missing_key })
}
