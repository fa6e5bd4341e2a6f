//! Where secrets are kept until they are erased, such that nothing of them is left then.
//!
//! SQLite zeroes what it deletes, but a row that moves (because its page is split or merged with another) may leave a
//! copy behind in the unused part of a page, where nothing erases it. So secrets have a table whose rows never move:
//! each keeps its length for ever, is overwritten in place, and is used again for another job's secrets.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

/// The free rows of the vault.
#[derive(Debug, Default)]
pub(super) struct Vault {
    free: BTreeMap<i64, Vec<FreeRow>>,
    /// Were free before this transaction.
    taken: Vec<FreeRow>,
    /// Will be free after this transaction.
    erased: Vec<FreeRow>,
}

#[derive(Clone, Copy, Debug)]
struct FreeRow {
    slot: i64,
    length: i64,
}

/// In front of the record: its length, so that the rest of the row can be told from it.
const LENGTH_BYTES: usize = size_of::<u32>();

/// The shortest row: the usual bearer token fits.
const SHORTEST_ROW: usize = 256;

impl Vault {
    /// Looks for the free rows.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut vault = Self::default();
        let mut select =
            connection.prepare("SELECT slot, length(bytes) FROM vault WHERE substr(bytes, 1, 4) = x'00000000'")?;
        for row in select.query_map((), |row| Ok(FreeRow { slot: row.get(0)?, length: row.get(1)? }))? {
            vault.release(row?);
        }
        Ok(vault)
    }

    /// Puts a record into a free row, or into a new one. Gives the row's number.
    pub(super) fn store(&mut self, connection: &Connection, record: &[u8]) -> rusqlite::Result<i64> {
        let row_bytes = (LENGTH_BYTES + record.len()).next_power_of_two().max(SHORTEST_ROW);
        let mut bytes = Vec::with_capacity(row_bytes);
        let length = u32::try_from(record.len()).expect("secret headers are shorter than a request head");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(record);
        bytes.resize(row_bytes, 0);
        let free = i64::try_from(row_bytes).ok().and_then(|length| self.free.get_mut(&length));
        if let Some(row) = free.and_then(Vec::pop) {
            self.taken.push(row);
            connection.prepare_cached("UPDATE vault SET bytes = ?2 WHERE slot = ?1")?.execute((row.slot, bytes))?;
            return Ok(row.slot);
        }
        connection.prepare_cached("INSERT INTO vault (bytes) VALUES (?1)")?.execute((bytes,))?;
        Ok(connection.last_insert_rowid())
    }

    /// Overwrites a row with zeros, in place.
    pub(super) fn erase(&mut self, connection: &Connection, slot: i64) -> rusqlite::Result<()> {
        let mut update = connection.prepare_cached(
            "UPDATE vault SET bytes = zeroblob(length(bytes)) WHERE slot = ?1 RETURNING length(bytes)",
        )?;
        let length = update.query_row((slot,), |row| row.get(0)).optional()?;
        self.erased.extend(length.map(|length| FreeRow { slot, length }));
        Ok(())
    }

    /// The transaction was committed.
    pub(super) fn commit(&mut self) {
        self.taken.clear();
        while let Some(row) = self.erased.pop() {
            self.release(row);
        }
    }

    /// The transaction was rolled back.
    pub(super) fn roll_back(&mut self) {
        self.erased.clear();
        while let Some(row) = self.taken.pop() {
            self.release(row);
        }
    }

    fn release(&mut self, row: FreeRow) {
        self.free.entry(row.length).or_default().push(row);
    }
}

/// The record in a row; empty, which is no record, if the row is gone or holds none.
pub(super) fn read(connection: &Connection, slot: i64) -> rusqlite::Result<Vec<u8>> {
    let mut select = connection.prepare_cached("SELECT bytes FROM vault WHERE slot = ?1")?;
    Ok(record_in(select.query_row((slot,), |row| row.get(0)).optional()?.unwrap_or_default()))
}

/// The record in the bytes of a row.
pub(super) fn record_in(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some(length) = bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize) else {
        return Vec::new();
    };
    bytes.drain(..LENGTH_BYTES);
    bytes.truncate(length);
    bytes
}
