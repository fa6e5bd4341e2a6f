//! The writer's thread: it runs batches of steps and empties the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::sync::mpsc;

use super::super::Shared;
use super::super::folder::Folder;
use super::super::outbox::{Envelope, Failure, Message, Waiting};
use super::super::reserve::Reserve;
use super::super::step::{Step, Tx, WriterState};
use super::super::steps::{KeepMoment, Probe, Recover, TakeOver, Unsettled};
use super::copier::{BUSY_TIMEOUT, LogCopier, checkpoint};
use crate::clock::Timestamp;
use crate::failure::chain;
use crate::lock::lock;
use crate::store::{RECLAIM_AFTER_OUTAGE, StoreError};

/// The most steps that share a transaction.
const BATCH_STEPS: usize = 256;

/// How long the log must have been left alone before it is emptied into the database.
const IDLE: Duration = Duration::from_secs(1);

/// How long the log may keep what was erased while there is always something to write.
const LOG_EMPTIED_EVERY: Duration = Duration::from_secs(30);

/// Pages (of 4 KiB) that the log grows by before it is copied. Later copies would be cheaper, for a page that was written
/// often is copied once.
const COPIED_EVERY_PAGES: u32 = 3_000;

/// Pages of the log beyond which the writer waits until they are copied: 64 MiB.
const LOG_PAGES_MAX: u32 = 16_384;

/// What the database grows by.
const PAGE_BYTES: u64 = 4096;

/// What the writer's thread owns.
#[derive(Debug)]
pub(super) struct WriterThread {
    copier: LogCopier, // ends before the connection is closed
    connection: Connection,
    state: WriterState,
    shared: Arc<Shared>,
    /// Since when transactions have been written without a failure.
    answering_since: Timestamp,
    last_write: Timestamp,
    /// When the log was emptied last; `None` while it is empty.
    log_filled_since: Option<Timestamp>,
    /// Pages in the log, as the last transaction left it.
    log_pages: Arc<AtomicU32>,
    /// Pages in the log when it was copied last.
    copied_pages: u32,
    /// The log is emptied after the copy that is under way.
    empty_after_copy: bool,
    closing: Arc<AtomicBool>,
    folder: Folder,
    reserve: Reserve,
    /// The disk is full, and has had no room for the reserve since.
    is_full: bool,
}

impl WriterThread {
    pub(super) fn new(
        mut connection: Connection,
        copier: LogCopier,
        folder: Folder,
        shared: Arc<Shared>,
        closing: Arc<AtomicBool>,
    ) -> rusqlite::Result<Self> {
        let now = shared.clock.steady();
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let log_pages = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&log_pages);
        // In place of SQLite's own hook, which copies the log within a commit.
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            counted.store(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            state: WriterState::load(&connection)?,
            connection,
            shared,
            answering_since: now.before(RECLAIM_AFTER_OUTAGE), // a clean start is not an outage
            last_write: now,
            log_filled_since: Some(now), // the last run may have left a log
            copier,
            log_pages,
            copied_pages: 0,
            empty_after_copy: false,
            closing,
            reserve: Reserve::keep(folder.reserve()),
            folder,
            is_full: false,
        })
    }

    /// Puts in order what the last run left. On a full disk, that is done by the first upkeep that has room.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        self.run_now(Recover)?;
        match self.take_over() {
            Ok(0) => Ok(()),
            Ok(jobs) => {
                tracing::info!(jobs, "jobs that the last run was working on are taken over");
                Ok(())
            }
            Err(StoreError::Full { .. }) => {
                tracing::warn!("the disk is full: the store takes jobs over, and new ones in, when there is room");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn take_over(&mut self) -> Result<usize, StoreError> {
        self.run_now(Probe)?; // also where there is nothing to take over
        self.run_now(KeepMoment)?;
        let mut taken = 0;
        while self.state.leftovers.up_to_token().is_some() {
            taken += self.run_now(TakeOver)?;
        }
        Ok(taken)
    }

    fn run_now<S: Step>(&mut self, step: S) -> Result<S::Output, StoreError> {
        let (envelope, mut answer) = Envelope::new(step);
        self.process(&mut vec![envelope]);
        answer.try_recv().expect("every step that was processed is answered")
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut batch: Vec<Box<dyn Waiting>> = Vec::with_capacity(BATCH_STEPS);
        loop {
            // Looked at before every wait: what wakes for it may have been taken along with a batch.
            if self.closing.load(Ordering::Acquire) {
                inbox.close(); // what is in it is still received
            }
            let mut next = inbox.blocking_recv();
            if next.is_none() {
                break;
            }
            while let Some(message) = next {
                match message {
                    Message::Step(step) => batch.push(step),
                    Message::LookAround => {}
                }
                next = (batch.len() < BATCH_STEPS).then(|| inbox.try_recv().ok()).flatten();
            }
            self.give_back(&mut batch);
            if !batch.is_empty() {
                self.process(&mut batch);
                self.bound_log();
                self.tend_log();
            }
        }
        if let Err(error) = self.run_now(KeepMoment) {
            tracing::debug!(error = chain(&error), "the time of the store's end was not kept");
        }
        self.empty_log();
    }

    /// Adds the release of leases whose workers were gone when they were handed out.
    fn give_back(&self, batch: &mut Vec<Box<dyn Waiting>>) {
        let leases = std::mem::take(&mut *lock(&self.shared.given_back));
        if !leases.is_empty() {
            batch.push(Envelope::new(Unsettled { leases }).0);
        }
    }

    /// Does the steps and answers them.
    fn process(&mut self, batch: &mut Vec<Box<dyn Waiting>>) {
        self.look_for_room();
        match self.transact(batch) {
            Ok(()) => batch.drain(..).for_each(|step| step.answer(None)),
            Err(failure) if failure.is_of_one_step() && batch.len() > 1 => {
                for step in batch.drain(..) {
                    self.process(&mut vec![step]);
                }
            }
            Err(failure) => {
                let full = failure.is_for_want_of_room();
                let (mut making, refused): (Vec<_>, Vec<_>) =
                    batch.drain(..).partition(|step| full && step.makes_room());
                for step in refused {
                    step.answer(Some(&failure));
                }
                if !making.is_empty() {
                    let failure = self.make_room(&mut making).err();
                    for step in making {
                        step.answer(failure.as_ref());
                    }
                }
            }
        }
    }

    /// Does the steps that make room, with all the room that can be found for them.
    fn make_room(&mut self, making: &mut [Box<dyn Waiting>]) -> Result<(), Failure> {
        loop {
            self.reuse_log();
            match self.transact(making) {
                Err(failure) if failure.is_for_want_of_room() && self.reserve.give_up() => {}
                outcome => return outcome,
            }
        }
    }

    /// Copies the log into the database and has it written from its beginning again. It keeps its length: what it gave
    /// away might be gone.
    fn reuse_log(&mut self) {
        self.copier.wait(); // two cannot copy at once
        if self.database_can_grow()
            && let Err(error) = checkpoint(&self.connection, "RESTART")
        {
            tracing::debug!(error = chain(&error), "store could not begin its log again");
        }
    }

    /// Whether there is room for the pages that are only in the log.
    fn database_can_grow(&self) -> bool {
        let pages = self.connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        let length = self.folder.database().metadata().map_or(0, |database| database.len());
        let grown = |pages: i64| (pages.unsigned_abs() * PAGE_BYTES).saturating_sub(length);
        pages.is_ok_and(|pages| grown(pages) <= self.reserve.free_bytes())
    }

    /// Finds out whether the disk is still full, and keeps the reserve back again as soon as there is room for it.
    fn look_for_room(&mut self) {
        if self.reserve.is_missing() {
            let log_helps = self.reserve.fits_into(self.folder.log_bytes()) && self.database_can_grow();
            if !self.reserve.fits_into(0) && log_helps {
                self.empty_log();
            }
            if self.reserve.fits_into(0) {
                self.reserve.restore();
            }
        }
        self.is_full = self.reserve.is_missing() || (self.is_full && !self.reserve.fits_into(0));
        if self.is_full && !self.shared.health.failing.swap(true, Ordering::AcqRel) {
            tracing::error!("store is full: the disk has no room for its reserve");
        }
    }

    /// Does the steps in one transaction and tells what there is to tell.
    fn transact(&mut self, batch: &mut [Box<dyn Waiting>]) -> Result<(), Failure> {
        let steady = self.shared.clock.steady();
        let changes_before = self.connection.total_changes();
        match self.write(batch, steady) {
            Ok(()) => {
                let wrote = self.connection.total_changes() != changes_before;
                self.committed(steady, wrote, batch.len());
                Ok(())
            }
            Err(failure) => {
                self.rolled_back(&failure);
                Err(failure)
            }
        }
    }

    fn write(&mut self, batch: &mut [Box<dyn Waiting>], steady: Timestamp) -> Result<(), Failure> {
        let failure = |source, may_be_done| Failure {
            source: Arc::new(source),
            may_be_done,
            log_at_limit: self.folder.log_is_at_limit(),
        };
        let before = |source| failure(source, false);
        let statement = |sql| self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(()));
        statement("BEGIN IMMEDIATE").map_err(before)?;
        let health = &self.shared.health;
        let mut tx = Tx {
            connection: &self.connection,
            shared: &self.shared,
            state: &mut self.state,
            now: self.shared.time.now(),
            steady,
            may_reclaim: !health.is_failing() && steady >= self.answering_since.after(RECLAIM_AFTER_OUTAGE),
            is_full: self.is_full,
        };
        for step in batch {
            step.run(&mut tx).map_err(before)?;
        }
        statement("COMMIT").map_err(|source| failure(source, true))?;
        Ok(())
    }

    fn committed(&mut self, now: Timestamp, wrote: bool, steps: usize) {
        let health = &self.shared.health;
        health.steps.fetch_add(steps as u64, Ordering::Relaxed);
        if wrote {
            health.commits.fetch_add(1, Ordering::Relaxed);
            self.last_write = now;
            self.log_filled_since.get_or_insert(now);
            // What was written on a full disk may have been let in to make room.
            if !self.is_full && health.failing.swap(false, Ordering::AcqRel) {
                self.answering_since = now;
                tracing::info!("store works again");
            }
        }
        self.state.vault.commit();
        self.state.leftovers.commit();
        self.shared.tally.commit(&mut self.state.moves);
        for effect in self.state.effects.drain(..) {
            self.shared.signals.apply(effect);
        }
    }

    fn rolled_back(&mut self, failure: &Failure) {
        // SQLite ends the transaction by itself after some failures.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = chain(&error), "store could not roll back");
        }
        self.state.vault.roll_back();
        self.state.leftovers.roll_back();
        self.state.moves.roll_back();
        if failure.may_be_done
            && let Err(error) = self.shared.tally.recount(&self.connection)
        {
            tracing::debug!(error = chain(&error), "store could not count its jobs after a failed commit");
        }
        self.shared.paces.forget_files();
        self.state.kept_moment = None;
        self.state.effects.clear();
        self.state.empty_log = false;
        self.is_full |= failure.is_for_want_of_room();
        if !failure.is_of_one_step() && !self.shared.health.failing.swap(true, Ordering::AcqRel) {
            tracing::error!(error = chain(&failure.to_store_error()), "store cannot write");
        }
    }

    /// Empties the log when upkeep asked for it and it is time.
    fn tend_log(&mut self) {
        if !std::mem::take(&mut self.state.empty_log) {
            return;
        }
        let Some(filled_since) = self.log_filled_since else { return };
        let now = self.shared.clock.steady();
        if now.since(self.last_write) >= IDLE {
            self.empty_log();
        } else if now.since(filled_since) >= LOG_EMPTIED_EVERY {
            self.empty_after_copy = true;
            self.copier.begin();
        }
    }

    /// Has the log copied once it has grown, and then copies what was written meanwhile. After that, it is written from its
    /// beginning again.
    fn bound_log(&mut self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.copied_pages {
            self.copied_pages = 0; // it was begun again
        }
        if pages >= LOG_PAGES_MAX {
            self.copier.wait();
            self.copy_rest(pages);
        } else if self.copier.has_ended() {
            self.copy_rest(pages);
        } else if !self.copier.is_copying() && pages >= self.copied_pages + COPIED_EVERY_PAGES {
            self.copier.begin();
        }
    }

    fn copy_rest(&mut self, pages: u32) {
        self.copied_pages = pages;
        if std::mem::take(&mut self.empty_after_copy) {
            self.empty_log();
        } else if let Err(error) = checkpoint(&self.connection, "PASSIVE") {
            tracing::debug!(error = chain(&error), "store could not copy the end of its log");
        }
    }

    /// Copies the log into the database and cuts it to nothing: what was erased is then gone from both.
    fn empty_log(&mut self) {
        self.copier.wait(); // two cannot copy at once
        match checkpoint(&self.connection, "TRUNCATE") {
            Ok(true) => self.log_filled_since = None,
            Ok(false) => {} // somebody reads; the next tick tries again
            Err(error) => tracing::warn!(error = chain(&error), "store could not empty its log"),
        }
    }
}
