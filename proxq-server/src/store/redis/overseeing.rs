//! What an operator asks of this store.

use async_trait::async_trait;

use super::{RedisStore, listing};
use crate::job::{QueueName, State};
use crate::store::{JobOrder, JobPage, Oversight, StoreError};

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
}
