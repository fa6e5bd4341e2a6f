//! Idempotency keys: of all jobs that claim the same one, one has it.

use rusqlite::OptionalExtension;

use super::super::step::Tx;
use super::row::{job_id, millis};
use crate::job::JobId;
use crate::store::{Claim, Submitted};

/// Who has what a new submission claims, and what that means for it; `None` where it is free.
pub(super) fn holder(tx: &Tx<'_>, claim: &Claim) -> rusqlite::Result<Option<(JobId, Submitted)>> {
    let mut select = tx.connection.prepare_cached(HOLDER)?;
    let holder: Option<(JobId, [u8; 32])> =
        select.query_row((claim.scope, tx.now.as_millis()), |row| Ok((job_id(row.get(0)?), row.get(1)?))).optional()?;
    Ok(holder.map(|(id, fingerprint)| {
        let same = fingerprint == claim.fingerprint;
        (id, if same { Submitted::Replayed(id) } else { Submitted::Mismatch })
    }))
}

const HOLDER: &str = "SELECT jobs.id, fingerprint FROM claims JOIN jobs ON jobs.seq = claims.seq
    WHERE scope = ?1 AND until > ?2 AND freed = 0";

/// Notes the claim of a new job, in place of one that is void.
pub(super) fn take(tx: &Tx<'_>, seq: i64, claim: &Claim) -> rusqlite::Result<()> {
    let ttl_ms = millis(u64::try_from(claim.ttl.as_millis()).unwrap_or(u64::MAX));
    tx.connection
        .prepare_cached(
            "INSERT OR REPLACE INTO claims (scope, seq, fingerprint, until, freed) VALUES (?1, ?2, ?3, ?4, 0)",
        )?
        .execute((claim.scope, seq, claim.fingerprint, tx.now.as_millis().saturating_add(ttl_ms)))
        .map(drop)
}

/// Frees a job's claim, if it has one.
pub(super) fn free(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.connection.prepare_cached("UPDATE claims SET freed = 1 WHERE seq = ?1")?.execute((seq,)).map(drop)
}

/// Claims again for a job that goes on, unless another job has claimed the same meanwhile.
pub(super) fn take_back(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.connection.prepare_cached("UPDATE claims SET freed = 0 WHERE seq = ?1")?.execute((seq,)).map(drop)
}
