//! What the jobs API and waiting clients need of a store: how jobs stand, their responses, and orders for single jobs.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;

use super::{BlobStore, StoreError};
use crate::job::{CredentialHash, Job, JobId, StoredResponse};

/// Ends at the watched job's next change.
pub type JobWatch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Looks up jobs and tells when they change.
#[async_trait]
pub trait JobLookup: fmt::Debug + Send + Sync {
    /// The job as it stands. Never reads a body.
    async fn get(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// Whose the job is. Reads nothing else, and costs as much whether there is such a job or not.
    async fn owner(&self, id: JobId) -> Result<Owner, StoreError>;

    /// A future that ends at the job's next change after this call. Subscribe first, then read: no lost wake-up.
    async fn watch(&self, id: JobId) -> Result<JobWatch, StoreError>;
}

/// Whose a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// There is no such job.
    NoJob,
    /// Another program's: it put the job into the queue, and says nothing of an owner.
    Unknown,
    /// That of who shows this credential.
    Credential(CredentialHash),
}

/// Where clients ask about jobs and give orders for them, and where probes ask about the store.
#[async_trait]
pub trait JobAccess: JobLookup + BlobStore {
    /// The job's response.
    async fn response(&self, id: JobId) -> Result<Content, StoreError>;

    /// Removes a job in any state, with its bodies, and revokes its lease. Gives whether there was one.
    async fn cancel(&self, id: JobId) -> Result<bool, StoreError>;

    /// Makes a failed job pending again, with its budgets restored. A job that may have reached its upstream is retried
    /// only if `confirmed` is true.
    async fn retry_failed(&self, id: JobId, confirmed: bool) -> Result<Requeued, StoreError>;

    /// Whether the store takes and gives jobs at this moment.
    async fn ready(&self) -> Result<(), StoreError>;
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
