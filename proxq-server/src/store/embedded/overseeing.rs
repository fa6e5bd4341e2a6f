//! What an operator asks of this store.

use async_trait::async_trait;

use super::EmbeddedStore;
use super::listing::{self, Asked};
use crate::job::{QueueName, State};
use crate::store::{JobOrder, JobPage, Oversight, StoreError};

#[async_trait]
impl Oversight for EmbeddedStore {
    async fn list(
        &self,
        queue: &QueueName,
        state: State,
        order: JobOrder,
        cursor: Option<u64>,
        max: usize,
    ) -> Result<JobPage, StoreError> {
        let asked = Asked { queue: queue.clone(), state, order, cursor, max };
        let page = self.readers.read(move |connection| listing::page(connection, &asked)).await?;
        Ok(JobPage { jobs: page.jobs.into_iter().map(|job| self.shared.time.job_shown(job)).collect(), ..page })
    }
}
