//! The turns of clients that wait for jobs: whose job a later try joins, and which job is given up.

use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::super::step::{Step, StepError, Tx};
use super::batch::{batch, limit};
use super::order::newer_version;
use super::row::{JobRow, job_id};
use crate::clock::Timestamp;
use crate::job::JobId;
use crate::store::signals::Effect;
use crate::store::turns::CANDIDATES_MAX;
use crate::store::{CANCEL_ABANDONED_AFTER, Call, JOIN_WINDOW, Join, LOST_TURN_WINDOW, LeftBy, Submitted, Turn};

/// What stands for the holder of a turn whose process let it go as it stopped. Any other run that is not the present one has
/// ended without a word.
const STOPPED: i64 = 0;

/// The latest of the jobs whose calls are equal, the latest first.
pub(in super::super) const SAME_CALL: &str = "SELECT calls.seq, jobs.id, number, since, holder, joiner
    FROM calls JOIN jobs ON jobs.seq = calls.seq WHERE key = ?1 ORDER BY since DESC LIMIT ?2";

/// A call that has not ended.
struct OpenCall {
    seq: i64,
    id: JobId,
    number: u32,
    since: Timestamp,
    holder: Option<i64>,
    joiner: Option<[u8; 16]>,
}

impl OpenCall {
    fn is_held(&self, run: i64) -> bool {
        self.holder == Some(run)
    }

    fn can_be_joined(&self, run: i64, now: Timestamp) -> bool {
        let window = match self.holder {
            None | Some(STOPPED) => JOIN_WINDOW,
            Some(_ended) => LOST_TURN_WINDOW,
        };
        !self.is_held(run) && now.since(self.since) < window
    }
}

/// What a submission meets that may be a later try; `None` where it becomes a job.
pub(super) fn join(tx: &mut Tx<'_>, call: &Call, submission: JobId) -> Result<Option<Submitted>, StepError> {
    let Some(key) = call.key.filter(|_| call.join != Join::Never) else { return Ok(None) };
    let (run, now) = (tx.state.run, tx.now);
    let same = same_calls(tx, key)?;
    if let Some(own) = same.iter().find(|open| open.joiner.as_ref() == Some(submission.as_bytes())) {
        return Ok(Some(Submitted::Joined(Turn { id: own.id, number: own.number })));
    }
    if let Some(open) = same.iter().rfind(|open| open.can_be_joined(run, now)) {
        tx.needs_room()?;
        let number = take_turn(tx, open.seq, Some(submission))?;
        return Ok(Some(Submitted::Joined(Turn { id: open.id, number })));
    }
    let held = same.iter().find(|open| open.is_held(run)).filter(|_| call.join == Join::OrWait);
    Ok(held.map(|open| Submitted::StillHeld(open.id)))
}

fn same_calls(tx: &Tx<'_>, key: [u8; 32]) -> rusqlite::Result<Vec<OpenCall>> {
    let mut select = tx.connection.prepare_cached(SAME_CALL)?;
    let rows = select.query_map((key, CANDIDATES_MAX), |row| {
        Ok(OpenCall {
            seq: row.get(0)?,
            id: job_id(row.get(1)?),
            number: row.get(2)?,
            since: Timestamp::from_millis(row.get(3)?),
            holder: row.get(4)?,
            joiner: row.get(5)?,
        })
    })?;
    rows.collect()
}

/// Begins the next turn of a job. Gives its number.
fn take_turn(tx: &Tx<'_>, seq: i64, joiner: Option<JobId>) -> rusqlite::Result<u32> {
    tx.connection
        .prepare_cached(
            "UPDATE calls SET number = number + 1, since = ?2, holder = ?3, joiner = ?4 WHERE seq = ?1 RETURNING number",
        )?
        .query_row((seq, tx.now.as_millis(), tx.state.run, joiner.map(|id| *id.as_bytes())), |row| row.get(0))
}

/// Begins the first turn of a new job.
pub(super) fn begin(tx: &Tx<'_>, seq: i64, call: &Call) -> rusqlite::Result<()> {
    tx.connection
        .prepare_cached("INSERT INTO calls (seq, key, number, since, holder, give_up) VALUES (?1, ?2, 1, ?3, ?4, ?5)")?
        .execute((seq, call.key, tx.now.as_millis(), tx.state.run, call.cancel_when_abandoned))
        .map(drop)
}

/// Ends the call of a job, if there is one.
pub(super) fn end(tx: &Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.connection.prepare_cached("DELETE FROM calls WHERE seq = ?1")?.execute((seq,)).map(drop)
}

/// The row of a call whose latest turn this is.
fn of_turn(tx: &Tx<'_>, turn: Turn) -> rusqlite::Result<Option<i64>> {
    let mut select = tx.connection.prepare_cached(
        "SELECT calls.seq FROM calls JOIN jobs ON jobs.seq = calls.seq WHERE jobs.id = ?1 AND number = ?2",
    )?;
    select.query_row((turn.id.as_bytes(), turn.number), |row| row.get(0)).optional()
}

/// Begins the next turn of a job.
#[derive(Debug)]
pub(in super::super) struct Resume {
    pub(in super::super) id: JobId,
}

impl Step for Resume {
    type Output = Option<Turn>;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Option<Turn>, StepError> {
        let mut select = tx
            .connection
            .prepare_cached("SELECT calls.seq FROM calls JOIN jobs ON jobs.seq = calls.seq WHERE jobs.id = ?1")?;
        let Some(seq) = select.query_row((self.id.as_bytes(),), |row| row.get(0)).optional()? else { return Ok(None) };
        Ok(Some(Turn { id: self.id, number: take_turn(tx, seq, None)? }))
    }
}

/// Ends the call with this turn.
#[derive(Debug)]
pub(in super::super) struct EndCall {
    pub(in super::super) turn: Turn,
}

impl Step for EndCall {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        if let Some(seq) = of_turn(tx, self.turn)? {
            end(tx, seq)?;
            tx.tell(Effect::Changed(self.turn.id));
        }
        Ok(())
    }

    fn makes_room(&self) -> bool {
        true
    }
}

/// Ends a turn whose client has no final answer.
#[derive(Debug)]
pub(in super::super) struct Abandon {
    pub(in super::super) turn: Turn,
    pub(in super::super) by: LeftBy,
}

impl Step for Abandon {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        let Some(seq) = of_turn(tx, self.turn)? else { return Ok(()) };
        let holder = match self.by {
            LeftBy::Client => None,
            LeftBy::Server => Some(STOPPED),
        };
        tx.connection.prepare_cached("UPDATE calls SET since = ?2, holder = ?3 WHERE seq = ?1")?.execute((
            seq,
            tx.now.as_millis(),
            holder,
        ))?;
        tx.tell(Effect::Changed(self.turn.id));
        Ok(())
    }
}

/// Cancels a batch of the jobs to which nobody has come back. Gives their blobs, whose files are left to remove.
pub(super) fn cancel_given_up(tx: &mut Tx<'_>) -> Result<Vec<Uuid>, StepError> {
    let mut blobs = Vec::new();
    let until = tx.now.before(CANCEL_ABANDONED_AFTER);
    for seq in batch(tx, GIVEN_UP, (until.as_millis(), limit(tx)))? {
        let row = JobRow::numbered(tx, seq)?;
        let has_ended = row.state.is_none_or(|state| state.status().is_final());
        if has_ended || newer_version(tx, &row)?.is_some() {
            tx.connection.prepare_cached("UPDATE calls SET give_up = 0 WHERE seq = ?1")?.execute((seq,))?;
            continue;
        }
        tracing::info!(job.id = %row.id, "cancelled: its client went away, and nobody came back");
        blobs.extend(row.remove(tx)?);
        tx.tell(Effect::Revoked(row.id));
        tx.tell(Effect::Changed(row.id));
    }
    Ok(blobs)
}

pub(in super::super) const GIVEN_UP: &str = "SELECT seq FROM calls
    WHERE give_up = 1 AND holder IS NULL AND since <= ?1 ORDER BY since LIMIT ?2";
