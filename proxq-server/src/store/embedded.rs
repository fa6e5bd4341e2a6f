//! Jobs in files of this process: SQLite for everything small, a file for each large body.
//!
//! All changes go through one thread, which does whatever waits in one transaction (`writer.rs`); reading has
//! connections of its own (`reader.rs`). What the verbs do is in `steps/`.

mod blobs;
mod folder;
mod listing;
mod moves;
mod outbox;
mod overseeing;
mod paces;
mod reader;
mod reserve;
mod schema;
mod step;
mod steps;
mod submitted;
mod tally;
#[cfg(test)]
mod tests;
mod time;
mod vault;
mod verify;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use self::blobs::{Blobs, FileWriter};
use self::folder::Folder;
use self::paces::Paces;
use self::reader::Readers;
use self::steps::{
    Abandon, Cancel, EndCall, Expire, LeaseJobs, LeaseWithin, Probe, Renew, Resume, RetryFailed, Settle, Submit,
    Unreferred, Upkeep,
};
use self::tally::Tally;
use self::time::StoreTime;
pub(crate) use self::verify::verify;
pub use self::verify::{Finding, Verified};
use self::writer::{Health, Writer};
use super::locked::LockedJobs;
use super::sealed_blobs;
use super::signals::Signals;
use super::{
    BATCH_LIMIT, BlobStore, BlobStream, BlobWriter, Content, Deployment, HeldBack, JobAccess, JobLookup, JobWatch,
    Lease, Leased, LeasedJob, LeftBy, LimitedQueues, NewJob, Owner, Requeued, StoreControl, StoreError, StoreSettings,
    Submissions, Submitted, Turn, Turns, UPKEEP_EVERY, Upkept, WorkQueues,
};
use crate::clock::{Clock, Timestamp};
use crate::config::SyncMode;
use crate::current::Current;
use crate::job::{BlobRef, CredentialHash, Job, JobId, QueueName, Verdict};
use crate::lock::lock;
use crate::metrics::StoreMetrics;
use crate::pacing::{Hold, Terms};
use crate::sealing::Keyring;

/// How an embedded store is opened.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The folder, made if there is none.
    pub data_dir: PathBuf,
    /// When a write counts as done.
    pub sync: SyncMode,
    /// What may change later.
    pub settings: StoreSettings,
    /// Names this process in the history of the jobs that it works on.
    pub instance: String,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) metrics: StoreMetrics,
}

/// Why an embedded store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds it.
    #[error("{} is in use by another proxq process; give each its own dataDir", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be made or used.
    #[error("use {} as data folder", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a proxq database", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A later version of proxq wrote it.
    #[error("{} has format {found}, but this proxq knows formats up to {known}; use a later proxq", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest that this program reads.
        known: i64,
    },
    /// It is damaged.
    #[error("{} is damaged ({what}); restore it, or move it away to start with an empty store", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// SQLite failed.
    #[error("open {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// What the last run left could not be put in order.
    #[error("take over the jobs in {}", path.display())]
    Recover {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: StoreError,
    },
}

/// How often blobs are looked for that no job refers to. Several times within the hour that is promised.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// Jobs in files of this process.
///
/// Dropped without [`StoreControl::close`], it waits for what was begun, blocking the thread.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    deployment: Deployment,
    readers: Readers,
    blobs: Arc<Blobs>,
    last_sweep: Mutex<Option<Timestamp>>,
    /// Tells this run of the process from others.
    run: Uuid,
    started_at: Timestamp,
    draining: AtomicBool,
    writer: Writer,
}

/// What the writer's thread and everybody else need.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    time: StoreTime,
    settings: Current<StoreSettings>,
    instance: String,
    keys: Arc<Keyring>,
    locked: LockedJobs,
    signals: Signals,
    paces: Paces,
    tally: Tally,
    health: Health,
    metrics: StoreMetrics,
    /// Leases that never reached their worker.
    given_back: Mutex<Vec<Lease>>,
}

impl EmbeddedStore {
    /// Opens the store, or makes one. Leases of the last run are lost leases. Reads and writes files.
    ///
    /// A store that is there is opened on a full disk, too. It then takes its jobs over when there is room.
    ///
    /// # Errors
    /// Where the folder cannot be used, or what is in it.
    pub fn open(options: EmbeddedOptions, clock: Clock) -> Result<Self, OpenError> {
        let EmbeddedOptions { data_dir, sync, settings, instance, keys, metrics } = options;
        let folder = Folder::hold(&data_dir)?;
        let database = folder.database();
        let fails = |source| schema::open_error(&database, source);
        let (mut connection, index) = schema::open_writer(&database, sync)?;
        let deployment = schema::deployment(&mut connection, &keys).map_err(fails)?;
        let blobs = Blobs::new(folder.blobs(), sync);
        if sync == SyncMode::Durable {
            folder.sync().map_err(|source| OpenError::Folder { folder: data_dir, source })?;
        }
        let last = schema::kept_moment(&connection).map_err(fails)?;
        let passed = schema::latest_pending(&connection).map_err(fails)?;
        let shared = Arc::new(Shared {
            clock,
            time: StoreTime::resume(clock, last, passed),
            settings: Current::new(settings),
            instance,
            keys,
            locked: LockedJobs::default(),
            signals: Signals::default(),
            paces: Paces::default(),
            tally: Tally::count(&connection).map_err(fails)?,
            health: Health::default(),
            metrics: metrics.clone(),
            given_back: Mutex::default(),
        });
        let copying = schema::open_copier(&database, index, sync).map_err(fails)?;
        let writer = Writer::start(connection, copying, folder, Arc::clone(&shared))
            .map_err(|source| OpenError::Recover { path: database.clone(), source })?;
        let readers = Readers::new(database, index, metrics);
        Ok(Self {
            shared,
            deployment,
            readers,
            blobs: Arc::new(blobs),
            last_sweep: Mutex::new(None),
            run: Uuid::new_v4(),
            started_at: clock.wall(),
            draining: AtomicBool::new(false),
            writer,
        })
    }

    /// Removes the blobs that no job refers to, if it is time.
    async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.shared.clock.steady();
        if lock(&self.last_sweep).is_some_and(|last| now.since(last) < SWEEP_EVERY) {
            return Ok(());
        }
        let unheld = self.blobs.unheld().await?;
        for blobs in unheld.chunks(BATCH_LIMIT) {
            let unreferred = self.writer.outbox.run(Unreferred { blobs: blobs.to_vec() }).await?;
            if !unreferred.is_empty() {
                tracing::info!(blobs = unreferred.len(), "blobs that no job refers to are removed");
            }
            self.blobs.remove(unreferred).await;
        }
        *lock(&self.last_sweep) = Some(now);
        Ok(())
    }
}

#[async_trait]
impl Submissions for EmbeddedStore {
    async fn submit(&self, job: NewJob) -> Result<Submitted, StoreError> {
        let settings = self.shared.settings.get();
        self.writer.outbox.run(Submit::new(job, &settings.secret_headers, &self.shared.keys, &self.shared.time)).await
    }
}

#[async_trait]
impl WorkQueues for EmbeddedStore {
    async fn lease(&self, queue: &QueueName, max: usize) -> Result<Vec<LeasedJob>, StoreError> {
        let step = LeaseJobs {
            queue: queue.as_str().to_owned(),
            max: max.min(BATCH_LIMIT),
            outbox: self.writer.outbox.clone(),
            shared: Arc::clone(&self.shared),
        };
        Ok(self.writer.outbox.run(step).await?.accept())
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        self.writer.outbox.run(Renew { leases: leases.to_vec() }).await
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<(), StoreError> {
        self.writer.outbox.run(Settle::new(*lease, verdict, &self.shared.keys)).await
    }

    async fn due(&self, queue: &QueueName) {
        self.shared.signals.queue(queue.as_str()).due(self.shared.clock).await;
    }
}

/// There is one instance, so a limit over all is one that this process keeps.
#[async_trait]
impl LimitedQueues for EmbeddedStore {
    async fn lease_within(&self, queue: &QueueName, terms: &Terms) -> Result<Leased, StoreError> {
        let step = LeaseWithin {
            queue: queue.as_str().to_owned(),
            terms: Terms { max: terms.max.min(BATCH_LIMIT), ..terms.clone() },
            asked_at: self.shared.clock.steady(),
            outbox: self.writer.outbox.clone(),
            shared: Arc::clone(&self.shared),
        };
        let (handed_out, held) = self.writer.outbox.run(step).await?;
        Ok(Leased { jobs: handed_out.accept(), held })
    }

    async fn park(&self, queue: &QueueName, credential: CredentialHash, span: Duration) -> Result<(), StoreError> {
        let (pace, now) = (self.shared.paces.of(queue.as_str()), self.shared.clock.steady());
        lock(&pace).turns.park(credential, now.after(span), now);
        Ok(())
    }

    async fn admit(
        &self,
        queue: &QueueName,
        credential: CredentialHash,
        terms: &Terms,
        _: Uuid,
    ) -> Result<Result<(), Hold>, StoreError> {
        let (pace, now) = (self.shared.paces.of(queue.as_str()), self.shared.clock.steady());
        Ok(lock(&pace).turns.admit(credential, terms, now))
    }

    async fn hold_places(&self, _: &QueueName, _: &[(Uuid, CredentialHash)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn give_place_back(&self, _: &QueueName, _: (Uuid, CredentialHash)) -> Result<(), StoreError> {
        Ok(())
    }

    fn held_back(&self, queue: &QueueName, credential: CredentialHash) -> Option<HeldBack> {
        if self.shared.signals.queue(queue.as_str()).is_paused() {
            return Some(HeldBack::Paused);
        }
        let (pace, now) = (self.shared.paces.of(queue.as_str()), self.shared.clock.steady());
        let rest = lock(&pace).turns.rest(credential, now);
        rest.and_then(HeldBack::by)
    }

    async fn leftover_queues(&self, known: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
        let known = known.to_vec();
        self.readers.read(move |connection| reader::other_queues(connection, &known)).await
    }
}

#[async_trait]
impl JobLookup for EmbeddedStore {
    async fn get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let keys = Arc::clone(&self.shared.keys);
        let job = self.readers.read_one(move |connection| reader::job(connection, &keys, id)).await?;
        Ok(job.map(|job| self.shared.time.job_shown(job)))
    }

    async fn owner(&self, id: JobId) -> Result<Owner, StoreError> {
        self.readers.read_one(move |connection| reader::owner(connection, id)).await
    }

    async fn watch(&self, id: JobId) -> Result<JobWatch, StoreError> {
        Ok(self.shared.signals.watch(id))
    }
}

#[async_trait]
impl JobAccess for EmbeddedStore {
    async fn response(&self, id: JobId) -> Result<Content, StoreError> {
        let keys = Arc::clone(&self.shared.keys);
        self.readers.read_one(move |connection| reader::content(connection, &keys, id)).await
    }

    async fn cancel(&self, id: JobId) -> Result<bool, StoreError> {
        let Some(blobs) = self.writer.outbox.run(Cancel { id }).await? else { return Ok(false) };
        self.blobs.remove(blobs).await;
        Ok(true)
    }

    async fn retry_failed(&self, id: JobId, confirmed: bool) -> Result<Requeued, StoreError> {
        self.writer.outbox.run(RetryFailed { id, confirmed }).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        if self.shared.health.is_failing() {
            self.writer.outbox.run(Probe).await?;
        }
        self.writer.outbox.is_open()?;
        self.shared.locked.none_lately(self.shared.clock)
    }
}

#[async_trait]
impl Turns for EmbeddedStore {
    async fn resume(&self, id: JobId) -> Result<Option<Turn>, StoreError> {
        self.writer.outbox.run(Resume { id }).await
    }

    async fn answered(&self, turn: Turn) -> Result<(), StoreError> {
        self.writer.outbox.run(EndCall { turn }).await
    }

    async fn abandoned(&self, turn: Turn, by: LeftBy) -> Result<(), StoreError> {
        self.writer.outbox.run(Abandon { turn, by }).await
    }
}

#[async_trait]
impl BlobStore for EmbeddedStore {
    async fn new_blob(&self, _: &QueueName) -> Result<Box<dyn BlobWriter>, StoreError> {
        let file = FileWriter::begin(Arc::clone(&self.blobs), self.writer.outbox.clone()).await?;
        Ok(sealed_blobs::sealing(Box::new(file), &self.shared.keys))
    }

    async fn open_blob(&self, blob: &BlobRef) -> Result<BlobStream, StoreError> {
        let stored = blobs::stream(&self.blobs, sealed_blobs::stored(blob)).await?;
        sealed_blobs::opened(stored, blob, &self.shared.keys)
    }
}

#[async_trait]
impl StoreControl for EmbeddedStore {
    async fn deployment(&self) -> Result<Deployment, StoreError> {
        Ok(self.deployment.clone())
    }

    async fn upkeep(&self) -> Result<Upkept, StoreError> {
        let begun = self.shared.clock.steady();
        let mut sum = Upkept::default();
        loop {
            let round = match self.writer.outbox.run(Upkeep).await {
                // Whatever is past its retention makes room.
                Err(full @ StoreError::Full { .. }) => {
                    let round = self.writer.outbox.run(Expire).await?;
                    if round.upkept.expired == 0 {
                        return Err(full);
                    }
                    round
                }
                done => done?,
            };
            sum.woken += round.upkept.woken;
            sum.reclaimed += round.upkept.reclaimed;
            sum.expired += round.upkept.expired;
            sum.overdue += round.upkept.overdue;
            let more = round.is_full();
            self.blobs.remove(round.blobs).await;
            if !more || self.shared.clock.steady().since(begun) >= UPKEEP_EVERY {
                break;
            }
        }
        self.sweep().await?;
        Ok(sum)
    }

    fn reconfigure(&self, settings: StoreSettings) {
        self.shared.settings.replace(settings);
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
