//! Queues with limits: the choice of jobs, carried out on the database.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row};

use super::super::Shared;
use super::super::outbox::Outbox;
use super::super::step::{Step, StepError, Tx};
use super::lease::{HandedOut, hand_out, next_due, set_aside};
use super::row::{JobRow, number, priority, rank, state};
use crate::clock::Timestamp;
use crate::job::{CredentialHash, Priority, State};
use crate::lock::lock;
use crate::pacing::{Candidate, Fairness, Hold, Shelf, Terms, Turns, choose};
use crate::store::signals::{Effect, QueueSignal};
use crate::store::{BATCH_LIMIT, LOW_WAITS_AT_MOST, LeasedJob, pending_order};

/// Leases what may begin of a queue with limits.
#[derive(Debug)]
pub(in super::super) struct LeaseWithin {
    pub(in super::super) queue: String,
    pub(in super::super) terms: Terms,
    /// When it was asked for. A rate goes by that, and not by when the writer comes to it: a slow disk would lower the rate.
    pub(in super::super) asked_at: Timestamp,
    pub(in super::super) outbox: Outbox,
    pub(in super::super) shared: Arc<Shared>,
}

impl Step for LeaseWithin {
    type Output = (HandedOut, Option<Hold>);

    fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Output, StepError> {
        let queue = tx.shared.signals.queue(&self.queue);
        if queue.is_paused() {
            tx.tell(Effect::NextDue(queue, None)); // nobody is woken by what is due
            return Ok((HandedOut::new(Vec::new(), &self.shared, &self.outbox), None));
        }
        let pace = self.shared.paces.of(&self.queue);
        let mut pace = lock(&pace);
        pace.turns.set_limits(self.terms.limits, self.asked_at);
        if !pace.knows_files {
            learn_files(tx, &self.queue, &mut pace.turns)?;
            pace.knows_files = true;
        }
        let now = self.asked_at;
        // Where credentials take turns, more are filed than are handed out.
        let takes_turns = self.terms.limits.fairness == Fairness::Credential;
        let ahead_max = if takes_turns { BATCH_LIMIT } else { self.terms.max.clamp(1, BATCH_LIMIT) };
        let mut table = TableShelf {
            tx,
            queue: &self.queue,
            signal: Arc::clone(&queue),
            ahead: VecDeque::new(),
            ahead_max,
            no_more: false,
            jobs: Vec::new(),
        };
        let chosen = choose(&mut pace.turns, &mut table, &self.terms, now)?;
        let jobs = table.jobs;
        let next = next_due(tx, &queue)?.into_iter().chain(chosen.next).min();
        tx.tell(Effect::NextDue(Arc::clone(&queue), next));
        if chosen.more {
            tx.tell(Effect::Ready(queue));
        }
        Ok((HandedOut::new(jobs, &self.shared, &self.outbox), chosen.held))
    }
}

/// Learns which credentials have filed jobs, which a former run left.
fn learn_files(tx: &mut Tx<'_>, queue: &str, turns: &mut Turns) -> Result<(), StepError> {
    let mut after: Vec<u8> = Vec::new();
    while let Some(credential) = next_credential(tx, queue, &after)? {
        let hash = CredentialHash(credential);
        if let Some(first) = first_filed(tx, queue, hash)? {
            turns.file(hash, first.order, tx.steady);
        }
        after = credential.to_vec();
    }
    Ok(())
}

pub(in super::super) const NEXT_CREDENTIAL: &str =
    "SELECT credential FROM jobs WHERE state = 0 AND filed = 1 AND queue = ?1 AND credential > ?2
     ORDER BY credential LIMIT 1";

/// The next credential that has filed jobs.
fn next_credential(tx: &Tx<'_>, queue: &str, after: &[u8]) -> rusqlite::Result<Option<[u8; 32]>> {
    tx.connection.prepare_cached(NEXT_CREDENTIAL)?.query_row((queue, after), |row| row.get(0)).optional()
}

pub(in super::super) const FIRST_FILED: &str = "SELECT priority, due, seq, credential, state FROM jobs
     WHERE state = 0 AND filed = 1 AND queue = ?1 AND credential = ?2 ORDER BY priority, due, seq LIMIT ?3";

fn first_filed(tx: &Tx<'_>, queue: &str, credential: CredentialHash) -> rusqlite::Result<Option<Candidate<Place>>> {
    let limit = i64::try_from(1 + tx.state.newer.len()).unwrap_or(i64::MAX);
    let mut select = tx.connection.prepare_cached(FIRST_FILED)?;
    for row in select.query_map((queue, credential.0, limit), candidate)? {
        let row = row?;
        if !tx.state.newer.contains(&row.job.seq) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

pub(in super::super) const FIRST_PENDING: &str =
    "SELECT priority, due, seq, credential, state FROM jobs WHERE state = 0 AND queue = ?1 AND filed = 0 AND due <= ?2
     ORDER BY priority, due, seq LIMIT ?3";

pub(in super::super) const FIRST_WAITING: &str =
    "SELECT priority, due, seq, credential, state FROM jobs WHERE state IN (1, 3) AND queue = ?1 AND due <= ?2
     ORDER BY due, seq LIMIT ?3";

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    seq: i64,
    priority: Priority,
    due: Timestamp,
    /// `None` where it cannot be read.
    state: Option<State>,
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate<Place>> {
    // What a later version may write there is treated as normal.
    let (priority, due) = (priority(row.get(0)?).unwrap_or_default(), Timestamp::from_millis(row.get(1)?));
    let job = Place { seq: row.get(2)?, priority, due, state: state(row.get(4)?) };
    Ok(Candidate { job, credential: CredentialHash(row.get(3)?), order: pending_order(priority, due) })
}

/// The jobs of a queue in their table.
struct TableShelf<'s, 'tx> {
    tx: &'s mut Tx<'tx>,
    queue: &'s str,
    signal: Arc<QueueSignal>,
    /// The next ones that are not filed, read ahead.
    ahead: VecDeque<Candidate<Place>>,
    /// How many are read at once.
    ahead_max: usize,
    /// There are none behind those.
    no_more: bool,
    jobs: Vec<LeasedJob>,
}

impl TableShelf<'_, '_> {
    fn read_ahead(&mut self) -> rusqlite::Result<()> {
        let tx = &*self.tx;
        let limit = self.ahead_max + tx.state.newer.len();
        let mut found: Vec<Candidate<Place>> = Vec::new();
        let mut no_more = true;
        for sql in [FIRST_PENDING, FIRST_WAITING] {
            let mut select = tx.connection.prepare_cached(sql)?;
            let parameters = (self.queue, tx.now.as_millis(), i64::try_from(limit).unwrap_or(i64::MAX));
            let rows = select.query_map(parameters, candidate)?.collect::<Result<Vec<_>, _>>()?;
            no_more &= rows.len() < limit;
            found.extend(rows);
        }
        self.no_more = no_more;
        found.retain(|first| !tx.state.newer.contains(&first.job.seq));
        found.sort_by_key(|first| (first.order, first.job.seq));
        if !no_more {
            found.truncate(self.ahead_max); // of what lies behind, others may come first
        }
        self.ahead = found.into();
        Ok(())
    }

    fn leaves(&mut self, seq: i64) {
        if self.ahead.front().is_some_and(|first| first.job.seq == seq) {
            self.ahead.pop_front();
        }
    }
}

impl Shelf for TableShelf<'_, '_> {
    type Job = Place;
    type Error = StepError;

    fn first_pending(&mut self) -> Result<Option<Candidate<Place>>, StepError> {
        if self.ahead.is_empty() && !self.no_more {
            self.read_ahead()?;
        }
        Ok(self.ahead.front().copied())
    }

    fn first_filed(&mut self, credential: CredentialHash) -> Result<Option<Candidate<Place>>, StepError> {
        Ok(first_filed(self.tx, self.queue, credential)?)
    }

    /// What is due counts as pending from then on, and a job of low priority as a normal one that came later.
    fn file(&mut self, job: Place) -> Result<(), StepError> {
        self.tx.needs_room()?;
        let (priority, due) = match job.priority {
            Priority::Low => (Priority::Normal, job.due.after(LOW_WAITS_AT_MOST)),
            other @ (Priority::High | Priority::Normal) => (other, job.due),
        };
        self.tx
            .connection
            .prepare_cached("UPDATE jobs SET filed = 1, state = ?2, priority = ?3, due = ?4 WHERE seq = ?1")?
            .execute((job.seq, number(State::Pending), rank(priority), due.as_millis()))?;
        self.tx.moves(&self.signal, job.state, Some(State::Pending));
        self.leaves(job.seq);
        Ok(())
    }

    fn hand_out(&mut self, job: Place) -> Result<bool, StepError> {
        self.tx.needs_room()?; // for the response, too
        let row = JobRow::numbered(self.tx, job.seq)?;
        self.leaves(job.seq);
        match hand_out(self.tx, &row) {
            Ok(Some(job)) => {
                self.jobs.push(job);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(StepError::Refused(error)) => {
                set_aside(self.tx, &row, error)?;
                Ok(false)
            }
            Err(error @ StepError::Database(_)) => Err(error),
        }
    }
}
