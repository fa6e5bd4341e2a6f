//! How many jobs each queue has in each state. It is in memory: counted when the store is opened, and changed with each
//! transaction that is committed, for a database counts its rows by reading them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::steps::state;
use crate::job::State;
use crate::lock::lock;
use crate::store::QueueStats;
use crate::store::signals::QueueSignal;

/// How many jobs are in each state, by the state's place in [`State::ALL`].
type Counts = [i64; State::ALL.len()];

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
        let of_transaction = moves.0.iter().filter(|(changed, _)| changed.name == queue).map(|(_, counts)| *counts);
        let all = std::iter::once(self.counts(queue)).chain(of_transaction);
        all.flat_map(|counts| [State::Pending, State::Scheduled, State::Retry].map(|state| counts[state as usize]))
            .sum()
    }

    /// The transaction was committed.
    pub(super) fn commit(&self, moves: &mut Moves) {
        if moves.0.is_empty() {
            return;
        }
        let mut queues = lock(&self.0);
        for (queue, moved) in moves.0.drain(..) {
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

/// By how much a transaction changes the counts, by queue.
#[derive(Debug, Default)]
pub(super) struct Moves(Vec<(Arc<QueueSignal>, Counts)>);

impl Moves {
    /// A job goes from one state to another. `None` is none that this program knows, or no job.
    pub(super) fn note(&mut self, queue: &Arc<QueueSignal>, from: Option<State>, to: Option<State>) {
        let known = self.0.iter().position(|(moved, _)| Arc::ptr_eq(moved, queue));
        let at = known.unwrap_or_else(|| {
            self.0.push((Arc::clone(queue), Counts::default()));
            self.0.len() - 1
        });
        let counts = &mut self.0[at].1;
        for (state, by) in [(from, -1), (to, 1)] {
            if let Some(state) = state {
                counts[state as usize] += by;
            }
        }
    }

    /// The transaction was rolled back.
    pub(super) fn roll_back(&mut self) {
        self.0.clear();
    }
}

/// One for each index, whose condition it repeats word for word. A number that is known is not read from the rows.
pub(super) const COUNTS: [&str; 4] = [
    "SELECT queue, 0, count(*) FROM jobs WHERE state = 0 GROUP BY queue",
    "SELECT queue, state, count(*) FROM jobs WHERE state IN (1, 3) GROUP BY queue, state",
    "SELECT queue, 2, count(*) FROM jobs WHERE state = 2 GROUP BY queue",
    "SELECT queue, state, count(*) FROM jobs WHERE state IN (4, 5) GROUP BY queue, state",
];
