//! The rows of the time that jobs have. A job with all the time there is has no row, and neither has one that has ended.

use rusqlite::OptionalExtension;

use super::super::step::Tx;
use crate::clock::Timestamp;
use crate::job::{Progress, TimeBounds};

/// Sets the time of a new job.
pub(super) fn set(tx: &Tx<'_>, seq: i64, bounds: TimeBounds) -> rusqlite::Result<()> {
    let Some(to_begin) = bounds.to_begin() else { return Ok(()) };
    let from_now = |span| tx.now.after(span).as_millis();
    tx.connection
        .prepare_cached("INSERT INTO bounds (seq, start_by, end_by, ends) VALUES (?1, ?2, ?3, ?2)")?
        .execute((seq, from_now(to_begin), bounds.deadline.map(from_now)))
        .map(drop)
}

/// When a job ends if it still waits, and its deadline.
pub(super) fn instants(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<[Option<Timestamp>; 2]> {
    let mut select = tx.connection.prepare_cached("SELECT ends, end_by FROM bounds WHERE seq = ?1")?;
    let instants: Option<[Option<i64>; 2]> =
        select.query_row((seq,), |row| Ok([row.get(0)?, row.get(1)?])).optional()?;
    Ok(instants.unwrap_or_default().map(|instant| instant.map(Timestamp::from_millis)))
}

/// Notes that an attempt at a job runs.
pub(super) fn run(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.connection.prepare_cached("UPDATE bounds SET ends = NULL WHERE seq = ?1")?.execute((seq,)).map(drop)
}

/// Notes that a job waits again, whose attempt has ended or was never made.
pub(super) fn wait(tx: &Tx<'_>, seq: i64, progress: &Progress) -> rusqlite::Result<()> {
    let update = if progress.attempts == 0 {
        "UPDATE bounds SET ends = start_by WHERE seq = ?1"
    } else {
        "UPDATE bounds SET ends = end_by WHERE seq = ?1"
    };
    tx.connection.prepare_cached(update)?.execute((seq,)).map(drop)
}

pub(super) const FORGET: &str = "DELETE FROM bounds WHERE seq = ?1";

/// Forgets the time of a job that has ended.
pub(super) fn forget(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.connection.prepare_cached(FORGET)?.execute((seq,)).map(drop)
}
