//! What workers need of a store: jobs under leases, and a way to end the leases.

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{BlobStore, JobLookup, LimitedQueues, QueueLookup, StoreError};
use crate::clock::Timestamp;
use crate::job::{Body, JobId, JobRequest, Priority, Progress, QueueName, Verdict};

/// How long a lease lasts unless it is renewed.
pub const LEASE_TERM: Duration = Duration::from_secs(30);
/// How often a worker renews its leases: five chances before one expires.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long after its expiry a lease may be taken away: we prefer to wait for a late renewal.
pub const RECLAIM_GRACE: Duration = Duration::from_secs(5);
/// How long a store must have answered before leases are taken away, so that after an outage living owners renew first.
pub const RECLAIM_AFTER_OUTAGE: Duration = Duration::from_secs(10);

/// How long a job of low priority waits before it counts as normal: long enough for a burst of others to pass, short enough
/// for a client that waits for it.
pub const LOW_WAITS_AT_MOST: Duration = Duration::from_mins(1);

/// The place of a pending job among all of its queue: what begins first has the lowest. One of low priority is treated as if it
/// had come as much later as it waits at most.
pub(crate) fn pending_order(priority: Priority, since: Timestamp) -> i64 {
    /// Longer than any job waits, in milliseconds.
    const BEFORE_ALL: i64 = 1 << 50;
    match priority {
        Priority::High => since.as_millis() - BEFORE_ALL,
        Priority::Normal => since.as_millis(),
        Priority::Low => since.after(LOW_WAITS_AT_MOST).as_millis(),
    }
}

/// Where workers get their jobs, and bring their verdicts.
#[async_trait]
pub trait WorkQueues: JobLookup + BlobStore + LimitedQueues + QueueLookup {
    /// Hands out up to `max` jobs, each under a lease of its own: those of a higher priority first, and of one priority those
    /// that have been due longest.
    ///
    /// The lease is durable on return: it is the record that something may have been sent. A job is never under two
    /// leases at once.
    ///
    /// A job whose time is over ([`TimeBounds`](crate::job::TimeBounds)) is not handed out: it ends.
    async fn lease(&self, queue: &QueueName, max: usize) -> Result<Vec<LeasedJob>, StoreError>;

    /// Prolongs leases to a full term from now, also expired ones that nobody took away. Gives those that are gone.
    async fn renew(&self, leases: &[Lease]) -> Result<Vec<Lease>, StoreError>;

    /// Ends a lease. Fails with [`StoreError::LeaseLost`], changing nothing, if the job has been handed on since.
    ///
    /// A job that ends forgets its secret headers, unless it failed and can still be retried.
    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<(), StoreError>;

    /// Returns when something may be due in the queue. Cancel safe: a wake-up that was not waited for is kept.
    async fn due(&self, queue: &QueueName);
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
    /// What was left of its deadline when it was handed out; `None` where it has none.
    pub left: Option<Duration>,
    /// For how long it had been able to begin when it was handed out; `None` where the store does not know.
    pub waited: Option<Duration>,
    /// Cancelled when this process learns that the lease is gone: the job was cancelled or handed on.
    pub revoked: CancellationToken,
}
