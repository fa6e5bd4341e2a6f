//! The one thread that writes. It takes whatever steps wait, does them in one transaction with one sync, and answers
//! everybody after the commit (group commit). Nobody waits for company that is not there yet.

mod copier;
mod thread;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;

use self::copier::LogCopier;
use self::thread::WriterThread;
use super::Shared;
use super::folder::Folder;
use super::outbox::Outbox;
use crate::lock::lock;
use crate::store::StoreError;
use crate::tasks;

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

/// The thread, as its owner sees it.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) outbox: Outbox,
    closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Puts in order what the last run left, and starts the thread, which holds the folder until it ends. `connection` writes,
    /// `copying` copies the log.
    pub(super) fn start(
        connection: Connection,
        copying: Connection,
        folder: Folder,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let (outbox, inbox) = Outbox::new(shared.metrics.clone());
        let closing = Arc::new(AtomicBool::new(false));
        let mut work = WriterThread::new(connection, LogCopier::start(copying), folder, shared, Arc::clone(&closing))
            .map_err(|error| StoreError::Unavailable { may_be_done: false, source: Box::new(error) })?;
        work.recover()?;
        let thread = std::thread::Builder::new()
            .name("proxq-store".to_owned())
            .spawn(move || work.run(inbox))
            .expect("the operating system has room for one thread more");
        Ok(Self { outbox, closing, thread: Mutex::new(Some(thread)) })
    }

    /// Has everything done that was asked for, then ends the thread.
    pub(super) async fn close(&self) {
        let Some(thread) = self.begin_to_close() else { return };
        if tasks::blocking(|| thread.join()).await.is_ok_and(|ended| ended.is_err()) {
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
