//! Lists the jobs of a queue in one state, a page at a time, each on a connection of `reader/pool.rs`.
//!
//! Pending jobs are listed in the order of their index, which is that in which they are leased; a cursor says a place in it
//! (`pending_place.rs`). Jobs in another state are listed in the order of their submission; a cursor is the number of the last
//! job. Active jobs are sorted for that: there are no more of them than attempts that run.

use rusqlite::{Connection, OptionalExtension};

use super::reader::{JobColumns, ReadError, is_damage};
use super::steps::number;
use crate::failure::chain;
use crate::job::{Job, QueueName, State};
use crate::sealing::Keyring;
use crate::store::pending_place::{AHEAD_MAX, NUMBER_MASK, Part, PendingPlace};
use crate::store::{JobOrder, JobPage};

/// Which page of which list.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) queue: QueueName,
    pub(super) state: State,
    pub(super) order: JobOrder,
    pub(super) cursor: Option<u64>,
    pub(super) max: usize,
}

impl Asked {
    fn limit(&self) -> i64 {
        i64::try_from(self.max).unwrap_or(i64::MAX)
    }
}

/// The rows of a page, and where the next one begins.
type Rows = (Vec<i64>, Option<u64>);

/// A page. Jobs that cannot be read are left out.
pub(super) fn page(connection: &Connection, keys: &Keyring, asked: &Asked) -> Result<JobPage, ReadError> {
    let (rows, next) = match asked.state {
        State::Pending => pending(connection, asked)?,
        State::Scheduled | State::Active | State::Retry | State::Completed | State::Archived => {
            by_number(connection, asked)?
        }
    };
    let mut jobs = Vec::with_capacity(rows.len());
    for seq in rows {
        jobs.extend(job(connection, keys, seq)?);
    }
    Ok(JobPage { jobs, next })
}

fn job(connection: &Connection, keys: &Keyring, seq: i64) -> Result<Option<Job>, ReadError> {
    let mut select = connection.prepare_cached(
        "SELECT jobs.id, state, due, progress, facts
         FROM jobs LEFT JOIN requests ON requests.seq = jobs.seq WHERE jobs.seq = ?1",
    )?;
    let columns = match select.query_row((seq,), JobColumns::read).optional() {
        Ok(Some(columns)) => columns,
        Ok(None) => return Ok(None),
        Err(error) if is_damage(&error) => {
            tracing::warn!(seq, error = chain(&error), "job left out of a list");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let id = columns.id;
    let read = columns.job(keys);
    if let Err(error) = &read {
        tracing::warn!(job.id = %id, error = chain(error), "job left out of a list");
    }
    Ok(read.ok())
}

/// Those of a state other than pending.
fn by_number(connection: &Connection, asked: &Asked) -> Result<Rows, ReadError> {
    let from = asked.cursor.map(|cursor| i64::try_from(cursor).unwrap_or(i64::MAX));
    let from = from.unwrap_or(match asked.order {
        JobOrder::OldestFirst => i64::MIN,
        JobOrder::NewestFirst => i64::MAX,
    });
    let mut select = connection.prepare_cached(&by_number_sql(asked.state, asked.order))?;
    let rows: Vec<i64> = select
        .query_map((asked.queue.as_str(), number(asked.state), from, asked.limit()), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let next = rows.last().filter(|_| rows.len() == asked.max).map(|seq| seq.unsigned_abs());
    Ok((rows, next))
}

/// The planner would rather go through all jobs in their order: good where most are in this state, bad where few are.
pub(super) fn by_number_sql(of: State, order: JobOrder) -> String {
    let (index, condition) = match of {
        State::Pending => ("pending", "state = 0"),
        State::Active => ("leased", "state = 2"),
        State::Scheduled | State::Retry => ("waiting_by_number", "state IN (1, 3)"),
        State::Completed | State::Archived => ("ended", "state IN (4, 5)"),
    };
    let (behind, direction) = sides(order);
    format!(
        "SELECT seq FROM jobs INDEXED BY {index}
         WHERE {condition} AND queue = ?1 AND state = ?2 AND seq {behind} ?3 ORDER BY seq {direction} LIMIT ?4"
    )
}

/// How SQL says what is behind a place, and in which direction that lies.
fn sides(order: JobOrder) -> (&'static str, &'static str) {
    match order {
        JobOrder::OldestFirst => (">", "ASC"),
        JobOrder::NewestFirst => ("<", "DESC"),
    }
}

fn pending(connection: &Connection, asked: &Asked) -> Result<Rows, ReadError> {
    let queue = asked.queue.as_str();
    let nowhere = match asked.order {
        JobOrder::OldestFirst => i64::MIN,
        JobOrder::NewestFirst => i64::MAX,
    };
    let (part, due, seq) = match asked.cursor.map(PendingPlace::from_cursor) {
        None => (Part { filed: nowhere, rank: nowhere }, nowhere, nowhere),
        Some(PendingPlace { part, due_ms, number }) => {
            let mut select = connection.prepare_cached(&edge_sql(asked.order))?;
            let parameters = (queue, part.filed, part.rank, due_ms, number.cast_signed());
            let edge: Option<i64> = select.query_row(parameters, |row| row.get(0))?;
            (part, due_ms, edge.unwrap_or(nowhere))
        }
    };
    let mut select = connection.prepare_cached(&pending_sql(asked.order))?;
    let rows: Vec<(i64, i64, i64, i64)> = select
        .query_map((queue, part.filed, part.rank, due, seq, asked.limit()), |row| row.try_into())?
        .collect::<Result<_, _>>()?;
    let next = rows.last().filter(|_| rows.len() == asked.max).and_then(|(filed, rank, due_ms, seq)| {
        let part = Part { filed: *filed, rank: *rank };
        PendingPlace { part, due_ms: *due_ms, number: seq.unsigned_abs() }.cursor()
    });
    Ok((rows.into_iter().map(|(.., seq)| seq).collect(), next))
}

pub(super) fn pending_sql(order: JobOrder) -> String {
    let (behind, direction) = sides(order);
    format!(
        "SELECT filed, priority, due, seq FROM jobs INDEXED BY pending
         WHERE state = 0 AND queue = ?1 AND (filed, priority, due, seq) {behind} (?2, ?3, ?4, ?5)
         ORDER BY filed {direction}, priority {direction}, due {direction}, seq {direction} LIMIT ?6"
    )
}

/// Of the jobs that became due in the millisecond of a cursor: the last one up to the cursor.
pub(super) fn edge_sql(order: JobOrder) -> String {
    let ahead = format!("((seq - ?5) & {NUMBER_MASK})");
    let (edge, up_to) = match order {
        JobOrder::OldestFirst => ("max", format!("({ahead} = 0 OR {ahead} > {AHEAD_MAX})")),
        JobOrder::NewestFirst => ("min", format!("{ahead} <= {AHEAD_MAX}")),
    };
    format!(
        "SELECT {edge}(seq) FROM jobs INDEXED BY pending
         WHERE state = 0 AND queue = ?1 AND filed = ?2 AND priority = ?3 AND due = ?4 AND {up_to}"
    )
}
