//! What an operator asks of this store.

use async_trait::async_trait;

use super::{RedisStore, instances, listing, pausing, read, whole_request};
use crate::job::{JobId, QueueName, State};
use crate::store::{Instance, JobOrder, JobPage, Oversight, QueueLookup, QueueStats, StoreError, SubmittedRequest};

#[async_trait]
impl QueueLookup for RedisStore {
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, StoreError> {
        read::stats(&self.shared, queue).await
    }
}

#[async_trait]
impl Oversight for RedisStore {
    async fn list(
        &self,
        queue: &QueueName,
        state: State,
        order: JobOrder,
        cursor: Option<u64>,
        max: usize,
    ) -> Result<JobPage, StoreError> {
        listing::page(&self.shared, queue, state, order, cursor, max).await
    }

    async fn pause_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        pausing::pause(&self.shared, queue).await
    }

    async fn resume_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        pausing::resume(&self.shared, queue).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        instances::instances(&self.shared, &self.identity).await
    }

    async fn submitted(&self, id: JobId) -> Result<Option<SubmittedRequest>, StoreError> {
        whole_request::submitted(&self.shared, id).await
    }
}
