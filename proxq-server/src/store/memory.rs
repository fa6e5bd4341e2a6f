//! A store in memory, for the tests of its callers: it keeps the whole contract, fast and without a file or a server.
//!
//! Each verb is one step under one lock; `jobs.rs` and `entry.rs` say what it does. Its one clock is the steady one.

mod blob_writer;
mod blobs;
mod claims;
mod entry;
mod jobs;
mod limits;
mod overseeing;
mod tests;
mod turns;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use uuid::Uuid;

use self::blob_writer::MemoryWriter;
use self::jobs::Jobs;
use super::{
    BlobStore, BlobStream, BlobWriter, Content, Deployment, HeldBack, Instance, JobAccess, JobLookup, JobOrder,
    JobPage, JobWatch, Lease, Leased, LeasedJob, LeftBy, LimitedQueues, NewJob, Oversight, Owner, QueueLookup,
    QueueStats, Requeued, StoreControl, StoreError, StoreSettings, Submissions, Submitted, SubmittedRequest, Turn,
    Turns, Upkept, WorkQueues,
};
use crate::clock::Clock;
use crate::job::{BlobRef, CredentialHash, Job, JobId, QueueName, State, Verdict};
use crate::lock::lock;
use crate::pacing::{Hold, Terms};

/// Jobs in memory.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    jobs: Arc<Mutex<Jobs>>,
    clock: Clock,
    deployment: Deployment,
}

impl MemoryStore {
    /// An empty store.
    pub(crate) fn new(settings: StoreSettings, clock: Clock) -> Self {
        let jobs = Arc::new(Mutex::new(Jobs::new(settings, clock)));
        Self { jobs, clock, deployment: Deployment::made_now() }
    }

    /// Opens the store again after it was closed, with all its jobs and without those who waited.
    pub(crate) fn reopen(&self) {
        lock(&self.jobs).reopen();
    }

    /// Has so many calls of `settle` fail, as if the store were away, from now on.
    pub(crate) fn fail_to_settle(&self, calls: usize) {
        lock(&self.jobs).failing_settles = calls;
    }

    /// Has so many reports of ended turns fail, as if the store were away, from now on.
    pub(crate) fn fail_to_note_turns(&self, reports: usize) {
        lock(&self.jobs).failing_turns = reports;
    }

    /// Who ended the latest turn of a job.
    pub(crate) fn left_by(&self, id: JobId) -> Option<LeftBy> {
        lock(&self.jobs).calls.left_by(id)
    }

    /// Does one step. As with an answer that comes from elsewhere, others have their turn first.
    async fn step<T>(&self, step: impl FnOnce(&mut Jobs) -> T + Send) -> Result<T, StoreError> {
        tokio::task::yield_now().await;
        let mut jobs = lock(&self.jobs);
        if jobs.closed {
            return Err(StoreError::Closed);
        }
        Ok(step(&mut jobs))
    }
}

#[async_trait]
impl Submissions for MemoryStore {
    async fn submit(&self, job: NewJob) -> Result<Submitted, StoreError> {
        self.step(|jobs| jobs.submit(job)).await
    }
}

#[async_trait]
impl WorkQueues for MemoryStore {
    async fn lease(&self, queue: &QueueName, max: usize) -> Result<Vec<LeasedJob>, StoreError> {
        self.step(|jobs| jobs.lease(queue, max)).await
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        self.step(|jobs| jobs.renew(leases)).await
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<(), StoreError> {
        self.step(|jobs| jobs.settle(lease, verdict)).await?
    }

    async fn due(&self, queue: &QueueName) {
        let signal = lock(&self.jobs).signals.queue(queue.as_str());
        signal.due(self.clock).await;
    }
}

#[async_trait]
impl LimitedQueues for MemoryStore {
    async fn lease_within(&self, queue: &QueueName, terms: &Terms) -> Result<Leased, StoreError> {
        self.step(|jobs| jobs.lease_within(queue, terms)).await
    }

    async fn park(&self, queue: &QueueName, credential: CredentialHash, span: Duration) -> Result<(), StoreError> {
        self.step(|jobs| jobs.park(queue, credential, span)).await
    }

    async fn admit(
        &self,
        queue: &QueueName,
        credential: CredentialHash,
        terms: &Terms,
        _: Uuid,
    ) -> Result<Result<(), Hold>, StoreError> {
        self.step(|jobs| jobs.admit(queue, credential, terms)).await
    }

    async fn hold_places(&self, _: &QueueName, _: &[(Uuid, CredentialHash)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn give_place_back(&self, _: &QueueName, _: (Uuid, CredentialHash)) -> Result<(), StoreError> {
        Ok(())
    }

    fn held_back(&self, queue: &QueueName, credential: CredentialHash) -> Option<HeldBack> {
        lock(&self.jobs).held_back(queue, credential)
    }

    async fn leftover_queues(&self, known: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
        self.step(|jobs| jobs.leftover_queues(known)).await
    }
}

#[async_trait]
impl JobLookup for MemoryStore {
    async fn get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.step(|jobs| jobs.get(id)).await
    }

    async fn owner(&self, id: JobId) -> Result<Owner, StoreError> {
        self.step(|jobs| jobs.owner(id)).await
    }

    async fn watch(&self, id: JobId) -> Result<JobWatch, StoreError> {
        self.step(|jobs| jobs.signals.watch(id)).await
    }
}

#[async_trait]
impl QueueLookup for MemoryStore {
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, StoreError> {
        self.step(|jobs| jobs.stats(queue)).await
    }
}

#[async_trait]
impl JobAccess for MemoryStore {
    async fn response(&self, id: JobId) -> Result<Content, StoreError> {
        self.step(|jobs| jobs.response(id)).await
    }

    async fn cancel(&self, id: JobId) -> Result<bool, StoreError> {
        self.step(|jobs| jobs.cancel(id)).await
    }

    async fn retry_failed(&self, id: JobId, confirmed: bool) -> Result<Requeued, StoreError> {
        self.step(|jobs| jobs.retry_failed(id, confirmed)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.step(|_| ()).await
    }
}

#[async_trait]
impl Turns for MemoryStore {
    async fn resume(&self, id: JobId) -> Result<Option<Turn>, StoreError> {
        self.step(|jobs| jobs.resume(id)).await
    }

    async fn answered(&self, turn: Turn) -> Result<(), StoreError> {
        self.step(|jobs| jobs.answered(turn)).await?
    }

    async fn abandoned(&self, turn: Turn, by: LeftBy) -> Result<(), StoreError> {
        self.step(|jobs| jobs.abandoned(turn, by)).await?
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn new_blob(&self, _: &QueueName) -> Result<Box<dyn BlobWriter>, StoreError> {
        self.step(|_| Box::new(MemoryWriter::begin(Arc::clone(&self.jobs))) as _).await
    }

    async fn open_blob(&self, blob: &BlobRef) -> Result<BlobStream, StoreError> {
        let bytes = self.step(|jobs| jobs.blobs.read(blob)).await??;
        Ok(Box::pin(stream::iter([Ok(bytes)])))
    }
}

#[async_trait]
impl Oversight for MemoryStore {
    async fn list(
        &self,
        queue: &QueueName,
        state: State,
        order: JobOrder,
        cursor: Option<u64>,
        max: usize,
    ) -> Result<JobPage, StoreError> {
        self.step(|jobs| jobs.list(queue, state, order, cursor, max)).await
    }

    async fn pause_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        self.step(|jobs| jobs.pause(queue)).await
    }

    async fn resume_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        self.step(|jobs| jobs.resume_queue(queue)).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.step(|jobs| vec![jobs.instance()]).await
    }

    async fn submitted(&self, id: JobId) -> Result<Option<SubmittedRequest>, StoreError> {
        self.step(|jobs| jobs.submitted(id)).await
    }
}

#[async_trait]
impl StoreControl for MemoryStore {
    async fn deployment(&self) -> Result<Deployment, StoreError> {
        Ok(self.deployment.clone())
    }

    async fn upkeep(&self) -> Result<Upkept, StoreError> {
        self.step(Jobs::upkeep).await
    }

    fn reconfigure(&self, settings: StoreSettings) {
        lock(&self.jobs).settings = settings;
    }

    fn drain(&self) {
        lock(&self.jobs).draining = true;
    }

    async fn close(&self) {
        lock(&self.jobs).closed = true;
    }
}
