//! A step of the writer: what a verb of the store does in one transaction, and what it works with.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use rusqlite::Connection;
use uuid::Uuid;

use super::Shared;
use super::moves::Moves;
use super::time::Moment;
use super::vault::Vault;
use crate::clock::Timestamp;
use crate::job::State;
use crate::store::StoreError;
use crate::store::signals::{Effect, QueueSignal};

/// One atomic step on the database.
pub(super) trait Step: fmt::Debug + Send + 'static {
    /// What the step gives.
    type Output: fmt::Debug + Send + 'static;

    /// Does the step. Done again after a roll-back, it starts afresh.
    ///
    /// A step that refuses must not have changed anything: its neighbours' changes are committed.
    fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Output, StepError>;

    /// Whether it gives room back, and may for that use what the store keeps back for a full disk.
    fn makes_room(&self) -> bool {
        false
    }
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum StepError {
    /// It may not be done. Nothing was changed.
    Refused(StoreError),
    /// The database failed.
    Database(rusqlite::Error),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for StepError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// What a step works with.
#[derive(Debug)]
pub(super) struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) shared: &'a Shared,
    pub(super) state: &'a mut WriterState,
    /// The store's time, of which all instants in the database are, except those at which leases expire.
    pub(super) now: Timestamp,
    /// The time of this process, by which leases expire: they end with it, and a worker that slept is not lost.
    pub(super) steady: Timestamp,
    /// Whether leases may be taken away.
    pub(super) may_reclaim: bool,
    /// The disk is full.
    pub(super) is_full: bool,
}

impl Tx<'_> {
    /// Tells somebody something, if the transaction is committed.
    pub(super) fn tell(&mut self, effect: Effect) {
        self.state.effects.push(effect);
    }

    /// Notes that a job goes from one state to another; `None` for no job, and for a state that this program does not know.
    pub(super) fn moves(&mut self, queue: &Arc<QueueSignal>, from: Option<State>, to: Option<State>) {
        self.state.moves.note(queue, from, to);
    }

    /// The instant of this process's time at which the store's time will be `due`.
    pub(super) fn steady_at(&self, due: Timestamp) -> Timestamp {
        self.steady.shifted(due.millis_since(self.now))
    }

    /// Refuses on a full disk what would take room from those that make some.
    pub(super) fn needs_room(&self) -> Result<(), StoreError> {
        if self.is_full {
            return Err(StoreError::Full { source: io::Error::from(io::ErrorKind::StorageFull).into() });
        }
        Ok(())
    }
}

/// What the writer remembers beside the database.
#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) effects: Vec<Effect>,
    pub(super) vault: Vault,
    /// What the transaction changes in the counts of `shared.tally`.
    pub(super) moves: Moves,
    last_token: u64,
    /// Tells the turns that this run of the process holds from those of former runs. Never 0.
    pub(super) run: i64,
    /// Rows that a later version of proxq wrote: left alone, and named in the log once.
    pub(super) newer: HashSet<i64>,
    /// The moment that was kept last; `None` where it is to be kept again.
    pub(super) kept_moment: Option<Moment>,
    /// What the last run was working on.
    pub(super) leftovers: Leftovers,
    /// The log should be emptied after this transaction.
    pub(super) empty_log: bool,
}

impl WriterState {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let last_token: i64 = connection.query_row("SELECT coalesce(max(token), 0) FROM jobs", (), |row| row.get(0))?;
        Ok(Self {
            effects: Vec::new(),
            vault: Vault::load(connection)?,
            moves: Moves::default(),
            last_token: last_token.unsigned_abs(),
            run: new_run(),
            newer: HashSet::new(),
            kept_moment: None,
            leftovers: Leftovers { up_to_token: Some(last_token), taken_now: false },
            empty_log: false,
        })
    }

    /// A token that no lease of any job had: a cancelled job's id may come again.
    pub(super) fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }
}

/// A number that no run had before.
fn new_run() -> i64 {
    let (high, ..) = Uuid::new_v4().as_u64_pair();
    i64::from_ne_bytes(high.to_ne_bytes()) | 1
}

/// The leases of the last run, until they are taken away.
#[derive(Debug)]
pub(super) struct Leftovers {
    /// Where there may be some, the latest token among them.
    up_to_token: Option<i64>,
    /// This transaction takes the last of them.
    taken_now: bool,
}

impl Leftovers {
    /// Where there may be some, the latest token among them.
    pub(super) fn up_to_token(&self) -> Option<i64> {
        self.up_to_token.filter(|_| !self.taken_now)
    }

    /// There are none after this transaction.
    pub(super) fn all_taken(&mut self) {
        self.taken_now = true;
    }

    /// The transaction was committed.
    pub(super) fn commit(&mut self) {
        if std::mem::take(&mut self.taken_now) {
            self.up_to_token = None;
        }
    }

    /// The transaction was rolled back.
    pub(super) fn roll_back(&mut self) {
        self.taken_now = false;
    }
}
