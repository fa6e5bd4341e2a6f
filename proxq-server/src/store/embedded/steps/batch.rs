//! A batch of rows: the numbers of the next ones that a step works on.

use super::super::step::Tx;
use crate::store::BATCH_LIMIT;

/// A batch, and as many more as are passed over.
pub(super) fn limit(tx: &Tx<'_>) -> i64 {
    i64::try_from(BATCH_LIMIT + tx.state.newer.len()).unwrap_or(i64::MAX)
}

/// The numbers of the rows that are next.
pub(super) fn batch(tx: &Tx<'_>, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<i64>> {
    let mut select = tx.connection.prepare_cached(sql)?;
    let mut rows: Vec<i64> = select.query_map(params, |row| row.get(0))?.collect::<Result<_, _>>()?;
    rows.retain(|seq| !tx.state.newer.contains(seq));
    rows.truncate(BATCH_LIMIT);
    Ok(rows)
}
