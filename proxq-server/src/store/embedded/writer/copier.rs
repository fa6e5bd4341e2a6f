//! A thread that copies the log into the database while the writer goes on. What is left to the writer is what it has
//! written meanwhile, so it never stands still for as long as it takes to copy the whole log.

use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::failure::chain;

/// How long a statement waits for another program that has the database open.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The thread, in the hands of the writer. Dropped, it ends.
#[derive(Debug)]
pub(super) struct LogCopier {
    /// `None` once the thread is to end.
    orders: Option<SyncSender<()>>,
    ends: Receiver<()>,
    is_copying: bool,
    thread: Option<JoinHandle<()>>,
}

impl LogCopier {
    /// Starts the thread, which has nothing to do yet. It needs a connection of its own.
    pub(super) fn start(connection: Connection) -> Self {
        let ((orders, ordered), (ended, ends)) = (sync_channel(1), channel());
        let thread = std::thread::Builder::new()
            .name("proxq-store-log".to_owned())
            .spawn(move || copy_when_told(&connection, &ordered, &ended))
            .expect("the operating system has room for one thread more");
        Self { orders: Some(orders), ends, is_copying: false, thread: Some(thread) }
    }

    /// Whether a copy is under way.
    pub(super) fn is_copying(&self) -> bool {
        self.is_copying
    }

    /// Begins a copy, unless one is under way.
    pub(super) fn begin(&mut self) {
        if !self.is_copying {
            self.is_copying = self.orders.as_ref().is_some_and(|orders| orders.try_send(()).is_ok());
        }
    }

    /// Whether a copy has ended since this was asked last.
    pub(super) fn has_ended(&mut self) -> bool {
        let ended = self.is_copying && !matches!(self.ends.try_recv(), Err(TryRecvError::Empty));
        self.is_copying &= !ended;
        ended
    }

    /// Waits for the end of a copy, if one is under way.
    pub(super) fn wait(&mut self) {
        if std::mem::take(&mut self.is_copying) {
            let _thread_is_gone = self.ends.recv();
        }
    }
}

impl Drop for LogCopier {
    /// Waits for the thread: its connection must not outlive the writer's.
    fn drop(&mut self) {
        self.orders = None;
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

fn copy_when_told(connection: &Connection, ordered: &Receiver<()>, ended: &Sender<()>) {
    while ordered.recv().is_ok() {
        if let Err(error) = checkpoint(connection, "PASSIVE") {
            // On a full disk, or because somebody else copies: the writer tries it, too, and says so if it matters.
            tracing::debug!(error = chain(&error), "store could not copy its log");
        }
        let _writer_is_gone = ended.send(());
    }
}

/// Copies the log into the database, and begins it again as `mode` says. Gives whether that was possible: does not wait
/// for those who read.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let busy: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |row| row.get(0))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(busy == 0)
}
