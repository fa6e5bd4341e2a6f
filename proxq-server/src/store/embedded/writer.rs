//! The one thread that writes. It takes whatever steps wait, does them in one transaction with one sync, and answers
//! everybody after the commit (group commit). Nobody waits for company that is not there yet.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::folder::Folder;
use super::signals::{Effect, lock};
use super::steps::{ReclaimLeftovers, Recover, Unsettled};
use super::vault::Vault;
use crate::clock::Timestamp;
use crate::store::{BATCH_LIMIT, RECLAIM_AFTER_OUTAGE, StoreError};

/// The most steps that share a transaction.
const BATCH_STEPS: usize = 256;

/// Steps that may wait for the thread; who comes later waits to be let in.
const QUEUE_STEPS: usize = 1_024;

/// How long the log must have been left alone before it is emptied into the database.
const IDLE: Duration = Duration::from_secs(1);

/// How long the log may keep what was erased while there is always something to write.
const LOG_EMPTIED_EVERY: Duration = Duration::from_secs(30);

/// How long a statement waits for another program that has the database open.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One atomic step on the database.
pub(super) trait Step: fmt::Debug + Send + 'static {
    /// What the step gives.
    type Output: fmt::Debug + Send + 'static;

    /// Does the step. Done again after a roll-back, it starts afresh.
    ///
    /// A step that refuses must not have changed anything: its neighbours' changes are committed.
    fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Output, StepError>;
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
    pub(super) books: &'a mut Books,
    /// The time that decides.
    pub(super) now: Timestamp,
    /// The time of day.
    pub(super) wall: Timestamp,
    /// Whether leases may be taken away.
    pub(super) may_reclaim: bool,
}

impl Tx<'_> {
    /// Tells somebody something, if the transaction is committed.
    pub(super) fn tell(&mut self, effect: Effect) {
        self.books.effects.push(effect);
    }
}

/// What the writer remembers beside the database.
#[derive(Debug)]
pub(super) struct Books {
    effects: Vec<Effect>,
    pub(super) vault: Vault,
    last_token: u64,
    /// Rows that a later version of proxq wrote: left alone, and named in the log once.
    pub(super) newer: HashSet<i64>,
    /// The log should be emptied after this transaction.
    pub(super) empty_log: bool,
}

impl Books {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let last_token: i64 = connection.query_row("SELECT coalesce(max(token), 0) FROM jobs", (), |row| row.get(0))?;
        Ok(Self {
            effects: Vec::new(),
            vault: Vault::load(connection)?,
            last_token: last_token.unsigned_abs(),
            newer: HashSet::new(),
            empty_log: false,
        })
    }

    /// A token that no lease of any job had: a cancelled job's id may come again.
    pub(super) fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }
}

/// What the writer shows to others.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The last transaction that wrote failed.
    failing: AtomicBool,
    commits: AtomicU64,
    steps: AtomicU64,
}

impl Health {
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Transactions that wrote, and steps done in all.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.commits.load(Ordering::Relaxed), self.steps.load(Ordering::Relaxed))
    }
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct Outbox(mpsc::Sender<Message>);

#[derive(Debug)]
enum Message {
    Step(Box<dyn Waiting>),
    /// Leases were given back, or the store is closing.
    LookAround,
}

impl Outbox {
    /// Has a step done. Given up while it waits, it may be done all the same.
    pub(super) async fn run<S: Step>(&self, step: S) -> Result<S::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope { step, outcome: None, reply };
        self.0.send(Message::Step(Box::new(envelope))).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Has a step done, from a thread that may block.
    pub(super) fn run_blocking<S: Step>(&self, step: S) -> Result<S::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope { step, outcome: None, reply };
        self.0.blocking_send(Message::Step(Box::new(envelope))).map_err(|_| StoreError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Whether the thread takes steps.
    pub(super) fn is_open(&self) -> Result<(), StoreError> {
        if self.0.is_closed() { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Has the thread look at what is shared with it. Where there is no room to say so, it is awake anyway.
    pub(super) fn look_around(&self) {
        let _awake = self.0.try_send(Message::LookAround);
    }
}

/// A step and whoever waits for it.
trait Waiting: fmt::Debug + Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), rusqlite::Error>;

    /// Answers with what the step gave, or with why nothing was committed.
    fn answer(self: Box<Self>, failure: Option<&Failure>);
}

#[derive(Debug)]
struct Envelope<S: Step> {
    step: S,
    outcome: Option<Result<S::Output, StoreError>>,
    reply: oneshot::Sender<Result<S::Output, StoreError>>,
}

impl<S: Step> Waiting for Envelope<S> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), rusqlite::Error> {
        self.outcome = Some(match self.step.run(tx) {
            Ok(output) => Ok(output),
            Err(StepError::Refused(refusal)) => Err(refusal),
            Err(StepError::Database(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&Failure>) {
        let outcome = match failure {
            Some(failure) => Err(failure.to_store_error()),
            None => self.outcome.expect("a step was run before its transaction was committed"),
        };
        let _nobody_waits = self.reply.send(outcome);
    }
}

/// A transaction that was not committed, or not for sure.
#[derive(Clone, Debug)]
struct Failure {
    source: Arc<rusqlite::Error>,
    may_be_done: bool,
}

impl Failure {
    fn to_store_error(&self) -> StoreError {
        let source = Box::new(Arc::clone(&self.source));
        match self.source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full { source },
            _ => StoreError::Unavailable { may_be_done: self.may_be_done, source },
        }
    }

    /// Whether the cause lies in one of the steps, so that the others may succeed without it.
    fn is_of_one_step(&self) -> bool {
        let environment = matches!(
            self.source.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::ReadOnly
            )
        );
        !environment && !self.may_be_done
    }
}

/// The thread, as its owner sees it.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) outbox: Outbox,
    closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Puts in order what the last run left, and starts the thread, which holds the folder until it ends.
    pub(super) fn start(connection: Connection, folder: Folder, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (sender, inbox) = mpsc::channel(QUEUE_STEPS);
        let outbox = Outbox(sender);
        let closing = Arc::new(AtomicBool::new(false));
        let mut desk = Desk::new(connection, folder, shared, Arc::clone(&closing))
            .map_err(|error| StoreError::Unavailable { may_be_done: false, source: Box::new(error) })?;
        desk.recover()?;
        let thread = std::thread::Builder::new()
            .name("proxq-store".to_owned())
            .spawn(move || desk.work(inbox))
            .expect("the operating system has room for one thread more");
        Ok(Self { outbox, closing, thread: Mutex::new(Some(thread)) })
    }

    /// Has everything done that was asked for, then ends the thread.
    pub(super) async fn close(&self) {
        let Some(thread) = self.begin_to_close() else { return };
        if tokio::task::spawn_blocking(|| thread.join()).await.is_ok_and(|ended| ended.is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }

    fn begin_to_close(&self) -> Option<JoinHandle<()>> {
        self.closing.store(true, Ordering::Release);
        self.outbox.look_around();
        lock(&self.thread).take()
    }
}

impl Drop for Writer {
    /// Waits for the thread, so that whoever drops a store may open it again.
    fn drop(&mut self) {
        let _panicked = self.begin_to_close().map(JoinHandle::join);
    }
}

/// The thread's own things.
#[derive(Debug)]
pub(super) struct Desk {
    connection: Connection,
    books: Books,
    shared: Arc<Shared>,
    /// Since when transactions have been written without a failure.
    answering_since: Timestamp,
    last_write: Timestamp,
    /// When the log was emptied last; `None` while it is empty.
    log_filled_since: Option<Timestamp>,
    closing: Arc<AtomicBool>,
    _folder: Folder,
}

impl Desk {
    fn new(
        connection: Connection,
        folder: Folder,
        shared: Arc<Shared>,
        closing: Arc<AtomicBool>,
    ) -> rusqlite::Result<Self> {
        let now = shared.clock.steady();
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self {
            books: Books::load(&connection)?,
            connection,
            shared,
            answering_since: now.before(RECLAIM_AFTER_OUTAGE), // a clean start is not an outage
            last_write: now,
            log_filled_since: Some(now), // the last run may have left a log
            closing,
            _folder: folder,
        })
    }

    /// Puts in order what the last run left.
    fn recover(&mut self) -> Result<(), StoreError> {
        self.run_now(Recover)?;
        let mut reclaimed = 0;
        loop {
            let batch = self.run_now(ReclaimLeftovers)?;
            reclaimed += batch;
            if batch < BATCH_LIMIT {
                break;
            }
        }
        if reclaimed > 0 {
            tracing::info!(jobs = reclaimed, "jobs that the last run was working on are taken over");
        }
        Ok(())
    }

    fn run_now<S: Step>(&mut self, step: S) -> Result<S::Output, StoreError> {
        let (reply, mut answer) = oneshot::channel();
        self.process(&mut vec![Box::new(Envelope { step, outcome: None, reply })]);
        answer.try_recv().expect("every step that was processed is answered")
    }

    fn work(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut batch: Vec<Box<dyn Waiting>> = Vec::with_capacity(BATCH_STEPS);
        while let Some(message) = inbox.blocking_recv() {
            if self.closing.load(Ordering::Acquire) {
                inbox.close(); // what is in it is still received
            }
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Step(step) => batch.push(step),
                    Message::LookAround => {}
                }
                next = (batch.len() < BATCH_STEPS).then(|| inbox.try_recv().ok()).flatten();
            }
            self.give_back(&mut batch);
            self.process(&mut batch);
            self.tend_log();
        }
        self.empty_log();
    }

    /// Adds the release of leases whose workers were gone when they were handed out.
    fn give_back(&self, batch: &mut Vec<Box<dyn Waiting>>) {
        let leases = std::mem::take(&mut *lock(&self.shared.given_back));
        if !leases.is_empty() {
            let step = Unsettled { leases };
            batch.push(Box::new(Envelope { step, outcome: None, reply: oneshot::channel().0 }));
        }
    }

    /// Does the steps and answers them.
    fn process(&mut self, batch: &mut Vec<Box<dyn Waiting>>) {
        match self.transact(batch) {
            Ok(()) => batch.drain(..).for_each(|step| step.answer(None)),
            Err(failure) if failure.is_of_one_step() && batch.len() > 1 => {
                for step in batch.drain(..) {
                    let mut alone = [step];
                    let failure = self.transact(&mut alone).err();
                    let [step] = alone;
                    step.answer(failure.as_ref());
                }
            }
            Err(failure) => batch.drain(..).for_each(|step| step.answer(Some(&failure))),
        }
    }

    /// Does the steps in one transaction and tells what there is to tell.
    fn transact(&mut self, batch: &mut [Box<dyn Waiting>]) -> Result<(), Failure> {
        let now = self.shared.clock.steady();
        let changes_before = self.connection.total_changes();
        match self.write(batch, now) {
            Ok(()) => {
                let wrote = self.connection.total_changes() != changes_before;
                self.committed(now, wrote, batch.len());
                Ok(())
            }
            Err(failure) => {
                self.rolled_back(&failure);
                Err(failure)
            }
        }
    }

    fn write(&mut self, batch: &mut [Box<dyn Waiting>], now: Timestamp) -> Result<(), Failure> {
        let before = |source| Failure { source: Arc::new(source), may_be_done: false };
        let statement = |sql| self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(()));
        statement("BEGIN IMMEDIATE").map_err(before)?;
        let health = &self.shared.health;
        let mut tx = Tx {
            connection: &self.connection,
            shared: &self.shared,
            books: &mut self.books,
            now,
            wall: self.shared.clock.wall(),
            may_reclaim: !health.is_failing() && now >= self.answering_since.after(RECLAIM_AFTER_OUTAGE),
        };
        for step in batch {
            step.run(&mut tx).map_err(before)?;
        }
        statement("COMMIT").map_err(|source| Failure { source: Arc::new(source), may_be_done: true })?;
        Ok(())
    }

    fn committed(&mut self, now: Timestamp, wrote: bool, steps: usize) {
        let health = &self.shared.health;
        health.steps.fetch_add(steps as u64, Ordering::Relaxed);
        if wrote {
            health.commits.fetch_add(1, Ordering::Relaxed);
            self.last_write = now;
            self.log_filled_since.get_or_insert(now);
            if health.failing.swap(false, Ordering::AcqRel) {
                self.answering_since = now;
                tracing::info!("store works again");
            }
        }
        self.books.vault.commit();
        for effect in self.books.effects.drain(..) {
            self.shared.signals.apply(effect);
        }
    }

    fn rolled_back(&mut self, failure: &Failure) {
        // SQLite ends the transaction by itself after some failures.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = &error as &dyn std::error::Error, "store could not roll back");
        }
        self.books.vault.roll_back();
        self.books.effects.clear();
        self.books.empty_log = false;
        if !failure.is_of_one_step() && !self.shared.health.failing.swap(true, Ordering::AcqRel) {
            tracing::error!(error = &*failure.source as &dyn std::error::Error, "store cannot write");
        }
    }

    /// Empties the log when upkeep asked for it and it is time.
    fn tend_log(&mut self) {
        if !std::mem::take(&mut self.books.empty_log) {
            return;
        }
        let Some(filled_since) = self.log_filled_since else { return };
        let now = self.shared.clock.steady();
        if now.since(self.last_write) >= IDLE || now.since(filled_since) >= LOG_EMPTIED_EVERY {
            self.empty_log();
        }
    }

    /// Copies the log into the database and cuts it to nothing: what was erased is then gone from both.
    fn empty_log(&mut self) {
        match truncate_log(&self.connection) {
            Ok(true) => self.log_filled_since = None,
            Ok(false) => {} // somebody reads; the next tick tries again
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "store could not empty its log"),
        }
    }
}

/// Gives whether the log is empty now. Does not wait for those who read.
fn truncate_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(busy == 0)
}
