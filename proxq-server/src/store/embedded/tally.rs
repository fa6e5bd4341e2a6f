//! How many jobs each queue has in each state. It is in memory: counted when the store is opened, and changed with each
//! transaction that is committed, for a database counts its rows by reading them.

use std::collections::HashMap;
use std::sync::Mutex;

use rusqlite::Connection;

use super::moves::{Counts, Moves};
use super::steps::state;
use crate::job::State;
use crate::lock::lock;
use crate::store::QueueStats;

/// The counts as the last transaction left them.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<String, Counts>>);

impl Tally {
    /// Counts what is there.
    pub(super) fn count(connection: &Connection) -> rusqlite::Result<Self> {
        let tally = Self::default();
        tally.recount(connection)?;
        Ok(tally)
    }

    /// Counts again.
    pub(super) fn recount(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut counted: HashMap<String, Counts> = HashMap::new();
        for sql in COUNTS {
            let mut select = connection.prepare(sql)?;
            let mut rows = select.query(())?;
            while let Some(row) = rows.next()? {
                if let Some(state) = state(row.get(1)?) {
                    counted.entry(row.get(0)?).or_default()[state as usize] += row.get::<_, i64>(2)?;
                }
            }
        }
        *lock(&self.0) = counted;
        Ok(())
    }

    /// The counts of a queue.
    pub(super) fn stats(&self, queue: &str) -> QueueStats {
        let counts = self.counts(queue);
        let mut stats = QueueStats::default();
        for state in State::ALL {
            stats.set(state, u64::try_from(counts[state as usize]).unwrap_or_default());
        }
        stats
    }

    /// How many attempts run, in all queues.
    pub(super) fn active(&self) -> usize {
        let active: i64 = lock(&self.0).values().map(|counts| counts[State::Active as usize]).sum();
        usize::try_from(active).unwrap_or_default()
    }

    fn counts(&self, queue: &str) -> Counts {
        lock(&self.0).get(queue).copied().unwrap_or_default()
    }

    /// How many jobs of a queue wait in the middle of a transaction.
    pub(super) fn waiting(&self, queue: &str, moves: &Moves) -> i64 {
        let (counts, changes) = (self.counts(queue), moves.of(queue));
        let waiting = [State::Pending, State::Scheduled, State::Retry];
        waiting.into_iter().map(|state| counts[state as usize] + changes[state as usize]).sum()
    }

    /// The transaction was committed.
    pub(super) fn commit(&self, moves: &mut Moves) {
        if moves.is_empty() {
            return;
        }
        let mut queues = lock(&self.0);
        for (queue, moved) in moves.take() {
            if !queues.contains_key(&queue.name) {
                queues.insert(queue.name.clone(), Counts::default());
            }
            let counts = queues.get_mut(&queue.name).expect("it was made if there was none");
            for (count, moved) in counts.iter_mut().zip(moved) {
                *count += moved;
            }
        }
    }
}

/// One for each index, whose condition it repeats word for word. A number that is known is not read from the rows.
pub(super) const COUNTS: [&str; 4] = [
    "SELECT queue, 0, count(*) FROM jobs WHERE state = 0 GROUP BY queue",
    "SELECT queue, state, count(*) FROM jobs WHERE state IN (1, 3) GROUP BY queue, state",
    "SELECT queue, 2, count(*) FROM jobs WHERE state = 2 GROUP BY queue",
    "SELECT queue, state, count(*) FROM jobs WHERE state IN (4, 5) GROUP BY queue, state",
];
