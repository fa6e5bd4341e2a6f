//! Where jobs live: the trait that every backend implements, its promises and its errors. Names no backend.
//!
//! Each verb is one atomic step. Its doc is a promise, which `store/contract.rs` tests on every backend.

#[cfg(test)]
mod contract;
pub mod embedded;
mod record;
pub mod redis;
mod settings;
mod signals;
mod values;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::settings::StoreSettings;
pub use self::values::SharedValues;
use crate::job::{BlobRef, Body, Job, JobId, JobRequest, Progress, QueueName, State, StoredResponse, Verdict};

/// How long a lease lasts unless it is renewed.
pub const LEASE_TERM: Duration = Duration::from_secs(30);
/// How often a worker renews its leases: five chances before one expires.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long after its expiry a lease may be taken away: a late renewal is worth more than an early rescue.
pub const RECLAIM_GRACE: Duration = Duration::from_secs(5);
/// How long a store must have answered before leases are taken away, so that after an outage living owners renew first.
pub const RECLAIM_AFTER_OUTAGE: Duration = Duration::from_secs(10);
/// How often [`JobStore::upkeep`] is called.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// The most jobs that one step moves, so that no step holds up the others.
pub const BATCH_LIMIT: usize = 100;

/// What is submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Where it waits.
    pub queue: QueueName,
    /// What is to be sent, secret headers included.
    pub request: JobRequest,
    /// The request's body.
    pub body: Body,
    /// Not before this span from now has passed, by the store's clock.
    pub delay: Option<Duration>,
    /// What it claims by its idempotency key, if it has one.
    pub claim: Option<Claim>,
}

/// A submission's claim to be the only one under its idempotency key.
///
/// It holds from the submission on for as long as it says, and is given up when the job is cancelled or ends so that
/// another try is due ([`Verdict::frees_claim`]). A failed job that is retried takes it back, unless another has it by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed: hash of the key, the upstream and the credential.
    pub scope: [u8; 32],
    /// Hash of what makes the request the same.
    pub fingerprint: [u8; 32],
    /// For how long it holds.
    pub ttl: Duration,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is a new job.
    New,
    /// The same credential submitted this job before. So it is taken to be where the job's record cannot be read.
    Existing(JobId),
    /// This job has the idempotency key, and its request was the same.
    Replayed(JobId),
    /// The id belongs to a job of another credential, or to another request of this one: one with another method, path,
    /// query or length of its body.
    Taken,
    /// The idempotency key was used for another request.
    Mismatch,
}

/// A worker's exclusive right to a job, until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub id: JobId,
    /// Grows with every lease of a job; a store refuses whoever shows an older one.
    pub token: u64,
}

/// A job under a lease.
#[derive(Debug)]
pub struct LeasedJob {
    /// The right to work on it.
    pub lease: Lease,
    /// What to send, secret headers included.
    pub request: JobRequest,
    /// The body to send.
    pub body: Body,
    /// How far it has come; the attempt that the lease is for is counted already.
    pub progress: Progress,
    /// Cancelled when this process learns that the lease is gone: the job was cancelled or handed on.
    pub revoked: CancellationToken,
}

/// What there is to read of a job's response.
#[derive(Clone, Debug)]
pub enum Content {
    /// No such job.
    Unknown,
    /// It has not ended.
    NotReady,
    /// It ended without a response.
    Failed {
        /// Why.
        error: String,
    },
    /// The upstream's response.
    Ready(StoredResponse),
}

/// What became of an order to run a failed job again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeued {
    /// It is pending again.
    Queued,
    /// It is in another state.
    NotFailed,
    /// It may have reached its upstream, and nobody said that it may be sent again.
    MayDuplicate,
    /// No such job.
    Unknown,
}

/// Secrets that the instances of one deployment share; made at first start and kept in the store.
#[derive(Clone)]
pub struct Deployment {
    /// Names the deployment in `Via`, where the configuration does not.
    pub via_name: String,
    /// Keys the hashes of credentials.
    pub credential_key: [u8; 32],
}

impl Deployment {
    /// Secrets that nobody has had before, from the operating system's generator.
    pub(crate) fn made_now() -> Self {
        let (random, ..) = Uuid::new_v4().as_fields();
        Self { via_name: format!("proxq-{random:08x}"), credential_key: random_key() }
    }
}

/// Three random UUIDs have more random bits than the key.
fn random_key() -> [u8; 32] {
    let random = [(); 3].map(|()| Uuid::new_v4());
    random.iter().fold(Sha256::new(), |hash, uuid| hash.chain_update(uuid.as_bytes())).finalize().into()
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("via_name", &self.via_name).finish_non_exhaustive()
    }
}

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkept {
    /// Delayed and resting jobs that became pending.
    pub woken: usize,
    /// Jobs whose lost leases were taken away.
    pub reclaimed: usize,
    /// Ended jobs that were dropped: their retention was over, or the store has room for so many only.
    pub expired: usize,
}

/// How many jobs a queue has in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    counts: [u64; State::ALL.len()],
}

impl QueueStats {
    /// Jobs in this state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.counts[state as usize]
    }

    pub(crate) fn set(&mut self, state: State, count: u64) {
        self.counts[state as usize] = count;
    }
}

/// Some jobs of a queue, and where to go on.
#[derive(Clone, Debug)]
pub struct JobPage {
    /// The jobs, oldest first.
    pub jobs: Vec<Job>,
    /// Gives the next page; `None` after the last.
    pub next: Option<u64>,
}

/// Ends at the watched job's next change.
pub type JobWatch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The bytes of a blob, in order.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// The seam between proxq and whatever keeps its jobs.
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync {
    /// The deployment's shared secrets; the first caller's are kept.
    async fn deployment(&self) -> Result<Deployment, StoreError>;

    /// Whether the store takes and gives jobs at this moment.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Takes a job in: durable on return, and idempotent by the job's id and by its claim.
    async fn submit(&self, job: NewJob) -> Result<Submitted, StoreError>;

    /// Hands out up to `max` jobs that have been due longest, each under a lease of its own.
    ///
    /// The lease is durable on return: it is the record that something may have been sent. A job is never under two
    /// leases at once.
    async fn lease(&self, queue: &QueueName, max: usize) -> Result<Vec<LeasedJob>, StoreError>;

    /// Prolongs leases to a full term from now, also expired ones that nobody took away. Gives those that are gone.
    async fn renew(&self, leases: &[Lease]) -> Result<Vec<Lease>, StoreError>;

    /// Ends a lease. Fails with [`StoreError::LeaseLost`], changing nothing, if the job has been handed on since.
    ///
    /// A job that ends forgets its secret headers, unless it failed and can still be retried.
    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<(), StoreError>;

    /// The job as it stands. Never reads a body.
    async fn get(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// The job's response.
    async fn response(&self, id: JobId) -> Result<Content, StoreError>;

    /// Removes a job in any state, with its bodies, and revokes its lease. Gives whether there was one.
    async fn cancel(&self, id: JobId) -> Result<bool, StoreError>;

    /// Makes a failed job pending again, with its budgets restored. One that may have reached its upstream only if that
    /// is `confirmed`.
    async fn retry_failed(&self, id: JobId, confirmed: bool) -> Result<Requeued, StoreError>;

    /// A future that ends at the job's next change after this call. Subscribe first, then read: no lost wake-up.
    async fn watch(&self, id: JobId) -> Result<JobWatch, StoreError>;

    /// Returns when something may be due in the queue. Cancel safe: a wake-up that was not waited for is kept.
    async fn due(&self, queue: &QueueName);

    /// Wakes what is due, takes lost leases away, drops what is past its retention. Works in bounded batches, and for
    /// no longer than [`UPKEEP_EVERY`] before it returns.
    async fn upkeep(&self) -> Result<Upkept, StoreError>;

    /// How many jobs the queue has.
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, StoreError>;

    /// Up to `max` jobs in a state, oldest first, after `cursor` (a former page's `next`).
    async fn list(
        &self,
        queue: &QueueName,
        state: State,
        cursor: Option<u64>,
        max: usize,
    ) -> Result<JobPage, StoreError>;

    /// Begins a blob. One that no job refers to is gone within an hour, whatever crashed.
    async fn new_blob(&self) -> Result<Box<dyn BlobWriter>, StoreError>;

    /// The bytes of a blob. Its length and checksum are verified before the first byte is given.
    async fn open_blob(&self, blob: &BlobRef) -> Result<BlobStream, StoreError>;

    /// From now on this instance asks for no more jobs, and ends those that it has. A store that shows its instances to
    /// others shows that.
    fn drain(&self) {}

    /// Where all instances find the values that one of them keeps. `None` where there is only one instance.
    fn shared_values(&self) -> Option<Arc<dyn SharedValues>> {
        None
    }

    /// Goes by these settings from now on. What was begun under the former ones may end under them; the secret headers of
    /// a job stay those of its submission.
    fn reconfigure(&self, settings: StoreSettings);

    /// Finishes what was begun and lets go of the store. Nothing may be asked of it afterwards.
    async fn close(&self);
}

/// A blob while it is written, in memory that does not depend on its size. Dropped, it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: fmt::Debug + Send {
    /// Appends a chunk. After an error nothing of it counts as written, and it may be written again.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError>;

    /// Makes the blob durable. After an error it may be called again.
    async fn finish(&mut self) -> Result<BlobRef, StoreError>;

    /// Hands the finished blob to the store: a job refers to it, or may do so, or the next sweep removes it.
    fn keep(self: Box<Self>);
}

/// Why a store did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The job has been handed on, cancelled or settled since the lease was given.
    #[error("the lease on job {id} is gone")]
    LeaseLost {
        /// The job.
        id: JobId,
    },
    /// What is stored cannot be read, or does not match its checksum.
    #[error("{what} of job {id} cannot be read, or does not match its checksum")]
    CorruptJob {
        /// The job.
        id: JobId,
        /// Which part of it.
        what: &'static str,
    },
    /// A blob does not match its checksum or its length.
    #[error("blob {blob} is damaged: {what}")]
    CorruptBlob {
        /// The blob's name.
        blob: uuid::Uuid,
        /// What was found.
        what: String,
    },
    /// The record was written by a later version of proxq.
    #[error("job {id} has a record of version {version}, which is newer than this proxq")]
    NewerRecord {
        /// The job.
        id: JobId,
        /// Its version.
        version: u32,
    },
    /// There is no room.
    #[error("the store is full")]
    Full {
        /// What the backend said.
        source: Cause,
    },
    /// The store does not answer, or not as it should.
    #[error("the store is unavailable")]
    Unavailable {
        /// Whether the step may have been done all the same.
        may_be_done: bool,
        /// What the backend said.
        source: Cause,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// An error of a backend.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    /// A failed file operation: full, or unavailable.
    pub(crate) fn from_io(error: io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if full {
            Self::Full { source: error.into() }
        } else {
            Self::Unavailable { may_be_done: false, source: error.into() }
        }
    }
}
