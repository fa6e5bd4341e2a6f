//! The connections that read, beside the writer and without waiting for it, on threads that may block.
//!
//! Reads of single jobs take some microseconds each, less than it takes to wake a thread for one. So they gather while others
//! are read: a thread takes all that have gathered at once, and reads them in one transaction. It began after all of them were
//! asked for, so each sees what was committed before. Reads that may take long have threads of their own.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::super::schema::{self, LogIndex};
use super::{ReadError, unavailable};
use crate::lock::lock;
use crate::metrics::StoreMetrics;
use crate::store::StoreError;
use crate::tasks::Tasks;

/// The most threads that read single jobs, and the most that read what may take long. More would only wait for each other's
/// processors.
const THREADS_MAX: usize = 4;
/// So many reads are taken at once. A further thread begins when more than that have gathered: those that read are slow, for
/// the disk is, or there are many who ask.
const BATCH: usize = 32;

/// The connections.
#[derive(Clone, Debug)]
pub(in super::super) struct Readers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: PathBuf,
    index: LogIndex,
    idle: Mutex<Vec<Connection>>,
    gathered: Mutex<Gathered>,
    /// For reads that may take long.
    permits: Arc<Semaphore>,
    threads: Tasks,
    metrics: StoreMetrics,
}

/// The reads that wait for a thread.
#[derive(Default)]
struct Gathered {
    reads: Vec<Box<dyn Read>>,
    threads: usize,
    closed: bool,
}

/// A read, and whoever waits for it.
trait Read: Send {
    /// Does it, where there is a connection to do it with. Gives whether the connection can be used further.
    fn run(self: Box<Self>, connection: Result<&Connection, &rusqlite::Error>) -> Fate;
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    Close,
}

/// A read, and where its outcome goes.
struct Waiting<R, T> {
    read: R,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<R, T> Read for Waiting<R, T>
where
    R: FnOnce(&Connection) -> Result<T, ReadError> + Send,
    T: Send,
{
    fn run(self: Box<Self>, connection: Result<&Connection, &rusqlite::Error>) -> Fate {
        if self.answer.is_closed() {
            return Fate::Keep; // nobody waits for it any more
        }
        let outcome = match connection {
            Ok(connection) => (self.read)(connection),
            Err(error) => Err(StoreError::Unavailable { may_be_done: false, source: error.to_string().into() }.into()),
        };
        let fate = if matches!(outcome, Err(ReadError::Database(_))) { Fate::Close } else { Fate::Keep };
        let _gone = self.answer.send(outcome.map_err(ReadError::into));
        fate
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, threads, closed } = self;
        let mut shown = f.debug_struct("Gathered");
        shown.field("reads", &reads.len()).field("threads", threads).field("closed", closed).finish()
    }
}

impl Readers {
    pub(in super::super) fn new(database: PathBuf, index: LogIndex, metrics: StoreMetrics) -> Self {
        Self(Arc::new(Shared {
            database,
            index,
            idle: Mutex::default(),
            gathered: Mutex::default(),
            permits: Arc::new(Semaphore::new(THREADS_MAX)),
            threads: Tasks::default(),
            metrics,
        }))
    }

    /// Reads what is there of a single job.
    pub(in super::super) async fn read_one<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let measuring = self.0.metrics.begin("Read");
        let (answer, answered) = oneshot::channel();
        if let Some(thread) = Shared::gather(&self.0, Box::new(Waiting { read, answer }))? {
            let _not_waited_for = self.0.threads.blocking(move || thread.read_all());
        }
        // None is sent where the read panicked.
        let answer = answered.await.unwrap_or_else(|lost| Err(unavailable(lost)));
        measuring.end(answer.as_ref().is_err_and(StoreError::is_failure));
        answer
    }

    /// Reads what may take long.
    pub(in super::super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.0.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        let task = self.0.threads.blocking(move || {
            let _until_done = permit;
            shared.with_connection(|connection| Box::new(Waiting { read, answer }).run(connection));
        });
        task.await.map_err(unavailable)?;
        answered.await.unwrap_or_else(|lost| Err(unavailable(lost)))
    }

    /// Closes the connections once all that read are done.
    pub(in super::super) async fn close(&self) {
        lock(&self.0.gathered).closed = true;
        self.0.permits.close();
        self.0.threads.all_ended().await;
        lock(&self.0.idle).clear();
    }
}

impl Shared {
    /// Leaves a read for a thread. Gives one that has to begin, if there are too few.
    fn gather(self: &Arc<Self>, read: Box<dyn Read>) -> Result<Option<ReadingThread>, StoreError> {
        let mut gathered = lock(&self.gathered);
        if gathered.closed {
            return Err(StoreError::Closed);
        }
        gathered.reads.push(read);
        let begins = match gathered.threads {
            0 => true,
            threads => threads < THREADS_MAX && gathered.reads.len() > BATCH,
        };
        gathered.threads += usize::from(begins);
        Ok(begins.then(|| ReadingThread { shared: Arc::clone(self), ended: false }))
    }

    /// Does something with a connection, if there can be one, and keeps it for the next.
    fn with_connection(&self, read: impl FnOnce(Result<&Connection, &rusqlite::Error>) -> Fate) {
        let pooled = lock(&self.idle).pop();
        let connection = pooled.map_or_else(|| schema::open_reader(&self.database, self.index), Ok);
        let fate = read(connection.as_ref());
        let closed = lock(&self.gathered).closed;
        if let (Fate::Keep, false, Ok(connection)) = (fate, closed, connection) {
            lock(&self.idle).push(connection);
        }
    }
}

/// A thread that reads what gathers, counted until it has ended.
struct ReadingThread {
    shared: Arc<Shared>,
    ended: bool,
}

impl ReadingThread {
    /// Reads until nothing is left.
    fn read_all(mut self) {
        while let Some(batch) = self.next() {
            self.shared.with_connection(|connection| {
                let together = batch.len() > 1 && connection.is_ok_and(|connection| run(connection, "BEGIN"));
                let mut fate = Fate::Keep;
                for read in batch {
                    // A mistake in one of them must not take the thread from the others.
                    let read = AssertUnwindSafe(|| read.run(connection));
                    if catch_unwind(read).unwrap_or(Fate::Close) == Fate::Close {
                        fate = Fate::Close;
                    }
                }
                let ended = !together || connection.is_ok_and(|connection| run(connection, "COMMIT"));
                if ended { fate } else { Fate::Close }
            });
        }
    }

    /// What it reads next. `None` where nothing has gathered: then it has ended.
    fn next(&mut self) -> Option<Vec<Box<dyn Read>>> {
        let mut gathered = lock(&self.shared.gathered);
        let count = gathered.reads.len().min(BATCH);
        if count == 0 {
            gathered.threads -= 1;
            self.ended = true;
            return None;
        }
        Some(gathered.reads.drain(..count).collect())
    }
}

/// One that could not be started, or panicked, is missed by nobody: whoever waits for what has gathered is told so, unless
/// another thread reads it.
impl Drop for ReadingThread {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut gathered = lock(&self.shared.gathered);
        gathered.threads -= 1;
        if gathered.threads == 0 {
            gathered.reads.clear();
        }
    }
}

fn run(connection: &Connection, statement: &str) -> bool {
    connection.prepare_cached(statement).and_then(|mut statement| statement.execute(())).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;

    /// A pool on a database with one number, and a connection that can change it.
    fn pool() -> (TempDir, Connection, Readers) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("database");
        let writer = Connection::open(&database).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (0)")
            .unwrap();
        (folder, writer, Readers::new(database, LogIndex::File, StoreMetrics::default()))
    }

    fn number(connection: &Connection) -> Result<i64, ReadError> {
        Ok(connection.query_row("SELECT n FROM t", (), |row| row.get(0))?)
    }

    /// A read that has begun, and goes on when the sender is used or dropped.
    async fn held(readers: &Readers) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<i64, StoreError>>) {
        let (begun, has_begun) = oneshot::channel();
        let (go_on, goes_on) = mpsc::channel();
        let readers = readers.clone();
        let read = Tasks::default().spawn_for(async move {
            let read = move |connection: &Connection| {
                begun.send(()).unwrap();
                let _either_way = goes_on.recv();
                number(connection)
            };
            readers.read_one(read).await
        });
        has_begun.await.unwrap();
        (go_on, read)
    }

    #[tokio::test]
    async fn what_has_gathered_is_read_as_it_stands_then() {
        let (_folder, writer, readers) = pool();
        let (go_on, first) = held(&readers).await;
        writer.execute("UPDATE t SET n = 1", ()).unwrap();
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..BATCH {
            let readers = readers.clone();
            others.spawn(async move { readers.read_one(number).await.unwrap() });
        }
        while lock(&readers.0.gathered).reads.len() < BATCH {
            tokio::task::yield_now().await;
        }
        assert_eq!(lock(&readers.0.gathered).threads, 1);
        go_on.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(others.join_all().await, vec![1; BATCH]);
        writer.execute("UPDATE t SET n = 2", ()).unwrap();
        assert_eq!(readers.read_one(number).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn slow_reads_do_not_hold_up_many_others() {
        let (_folder, _writer, readers) = pool();
        let (_slow, _read) = held(&readers).await;
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..=BATCH {
            let readers = readers.clone();
            others.spawn(async move { readers.read_one(number).await.unwrap() });
        }
        assert_eq!(others.join_all().await, vec![0; BATCH + 1], "another thread reads them");
        assert_eq!(readers.read(number).await.unwrap(), 0, "what may take long has threads of its own");
    }

    #[tokio::test]
    async fn a_panic_costs_whoever_waits_for_it_and_nobody_else() {
        let (_folder, _writer, readers) = pool();
        let panics = readers.read_one(|_| -> Result<i64, ReadError> { panic!("a mistake") });
        assert!(matches!(panics.await, Err(StoreError::Unavailable { may_be_done: false, .. })));
        assert_eq!(readers.read_one(number).await.unwrap(), 0);
        readers.close().await;
        assert!(matches!(readers.read_one(number).await, Err(StoreError::Closed)));
        assert!(matches!(readers.read(number).await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn a_thread_that_does_not_start_costs_those_who_wait_for_it_and_nobody_else() {
        let (_folder, _writer, readers) = pool();
        let (answer, answered) = oneshot::channel();
        let thread = Shared::gather(&readers.0, Box::new(Waiting { read: number, answer })).unwrap();
        drop(thread.expect("the first one begins"));
        answered.await.unwrap_err();
        assert_eq!(readers.read_one(number).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_read_is_said_to_be_so_and_asked_again() {
        let (folder, writer, readers) = pool();
        drop(writer);
        std::fs::rename(folder.path().join("database"), folder.path().join("away")).unwrap();
        assert!(matches!(readers.read_one(number).await, Err(StoreError::Unavailable { .. })));
        assert!(matches!(readers.read(number).await, Err(StoreError::Unavailable { .. })));
        std::fs::rename(folder.path().join("away"), folder.path().join("database")).unwrap();
        assert_eq!(readers.read_one(number).await.unwrap(), 0);
    }
}
