//! SQLite in a bare loop: the embedded store's statements with the bytes of a real job, in one thread, and nothing else.
//!
//! The tables come from the database of a running proxq, so a column that a statement here lacks makes it fail.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tempfile::TempDir;
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::Instant;

use crate::messages::Messages;
use crate::requests::post;
use crate::server::Server;
use crate::{BODY_BYTES, Problem};

/// Length of what is stored beside the body of a response.
const RESPONSE_HEAD_BYTES: usize = 128;

/// As the embedded store sets its writer, except that a commit copies the log: here is no thread that does so beside it.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = FAST;
    PRAGMA wal_autocheckpoint = 3000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
    PRAGMA cell_size_check = ON;
";

/// A database like that of a server, and a job to fill it with.
#[derive(Debug)]
pub(crate) struct SqliteLoop {
    database: Connection,
    job: Job,
    /// Jobs in one transaction.
    group: u32,
    /// Number of the next job, which makes its id.
    next: u128,
    _folder: TempDir,
}

/// What a job's rows contain.
#[derive(Debug)]
struct Job {
    queue: String,
    credential: Value,
    progress: Value,
    facts: Value,
    body: Value,
}

impl SqliteLoop {
    /// Takes tables and a job from a server on the embedded store, which has accepted nothing else yet.
    pub(crate) async fn like(server: &Server, folder: &Path, group: u32) -> Result<Self, Problem> {
        Messages::connect(server.target.address).await?.expect(&post("/job", ""), 202).await?;
        let (source, folder) = (server.data().join("jobs.sqlite3"), tempfile::tempdir_in(folder)?);
        spawn_blocking(move || {
            let source = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let job = source.query_row(
                "SELECT queue, credential, progress, facts, body FROM jobs JOIN requests USING (seq)",
                (),
                |row| {
                    Ok(Job {
                        queue: row.get(0)?,
                        credential: row.get(1)?,
                        progress: row.get(2)?,
                        facts: row.get(3)?,
                        body: row.get(4)?,
                    })
                },
            )?;
            let mut tables = source.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rootpage")?;
            let tables: Vec<String> = tables.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
            let database = Connection::open(folder.path().join("loop.sqlite3"))?;
            database.execute_batch(SETTINGS)?;
            database.execute_batch(&(tables.join(";\n") + ";"))?;
            Ok(Self { database, job, group, next: 0, _folder: folder })
        })
        .await?
    }

    /// Submissions per second.
    pub(crate) fn submissions(&mut self, span: Duration) -> Result<f64, Problem> {
        self.repeat(span, |database, job, ids| {
            let began = Instant::now();
            in_one(database, |commit| job.submit_all(commit, ids))?;
            Ok(began.elapsed())
        })
    }

    /// Jobs leased and settled per second, in two transactions for each group. Their submissions do not count.
    pub(crate) fn completions(&mut self, span: Duration) -> Result<f64, Problem> {
        let count = self.group;
        self.repeat(span, |database, job, ids| {
            let group = in_one(database, |commit| job.submit_all(commit, ids))?;
            let began = Instant::now();
            in_one(database, |commit| job.lease(commit, count))?;
            in_one(database, |commit| group.iter().try_for_each(|seq| job.settle(commit, *seq)))?;
            Ok(began.elapsed())
        })
    }

    /// Does something with group after group of new ids, and says how long that took, until it has taken the span.
    fn repeat(
        &mut self,
        span: Duration,
        step: impl Fn(&mut Connection, &Job, Range<u128>) -> rusqlite::Result<Duration>,
    ) -> Result<f64, Problem> {
        block_in_place(|| {
            let (mut spent, mut count) = (Duration::ZERO, 0);
            while spent < span {
                let ids = self.next..self.next + u128::from(self.group);
                self.next = ids.end;
                spent += step(&mut self.database, &self.job, ids)?;
                count += self.group;
            }
            Ok(f64::from(count) / spent.as_secs_f64())
        })
    }
}

/// Runs a step in a transaction of its own.
fn in_one<T>(
    database: &mut Connection,
    step: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = step(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

impl Job {
    fn submit_all(&self, transaction: &Transaction<'_>, ids: Range<u128>) -> rusqlite::Result<Vec<i64>> {
        ids.map(|id| self.submit(transaction, id)).collect()
    }

    /// Gives the number of the new row.
    fn submit(&self, transaction: &Transaction<'_>, id: u128) -> rusqlite::Result<i64> {
        // Ids are random in proxq, too: spread over the whole index.
        let id = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes();
        let mut there = transaction.prepare_cached("SELECT credential FROM jobs WHERE id = ?1")?;
        assert!(!there.exists((id,))?, "the multiplier is odd, so no two numbers have the same id");
        transaction
            .prepare_cached(
                "INSERT INTO jobs (id, queue, state, due, token, retention, credential, secrets, progress, priority)
                 VALUES (?1, ?2, 0, 1, 0, 3600000, ?3, NULL, ?4, 1)",
            )?
            .execute((id, &self.queue, &self.credential, &self.progress))?;
        let seq = transaction.last_insert_rowid();
        transaction.prepare_cached("INSERT INTO requests (seq, facts, body) VALUES (?1, ?2, ?3)")?.execute((
            seq,
            &self.facts,
            &self.body,
        ))?;
        Ok(seq)
    }

    /// Leases so many jobs, those that have been due longest.
    fn lease(&self, transaction: &Transaction<'_>, count: u32) -> rusqlite::Result<()> {
        let mut select = transaction.prepare_cached(
            "SELECT seq FROM jobs WHERE state = 0 AND queue = ?1 AND due <= 1 ORDER BY priority, due, seq LIMIT ?2",
        )?;
        let due = select.query_map((&self.queue, count), |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        for seq in due {
            let mut read = transaction.prepare_cached("SELECT facts, body FROM requests WHERE seq = ?1")?;
            read.query_row((seq,), |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            transaction
                .prepare_cached(
                    "UPDATE jobs SET state = 2, lease_until = 30000, token = ?1, progress = ?2 WHERE seq = ?1",
                )?
                .execute((seq, &self.progress))?;
        }
        Ok(())
    }

    /// Completes a job.
    fn settle(&self, transaction: &Transaction<'_>, seq: i64) -> rusqlite::Result<()> {
        transaction.prepare_cached("INSERT INTO results (seq, head, body) VALUES (?1, ?2, ?3)")?.execute((
            seq,
            [b'h'; RESPONSE_HEAD_BYTES],
            [b'y'; BODY_BYTES],
        ))?;
        transaction
            .prepare_cached(
                "UPDATE jobs SET state = 4, lease_until = NULL, expires = ?1, progress = ?2 WHERE seq = ?1",
            )?
            .execute((seq, &self.progress))
            .map(drop)
    }
}
