//! What an operator asks of this store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::listing::{self, Asked};
use super::steps::{PauseQueue, ResumeQueue};
use super::submitted::submitted;
use super::{EmbeddedStore, reader};
use crate::job::{JobId, QueueName, State};
use crate::store::{
    Instance, InstanceKind, JobOrder, JobPage, Oversight, QueueLookup, QueueStats, StoreError, SubmittedRequest,
};

#[async_trait]
impl QueueLookup for EmbeddedStore {
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, StoreError> {
        self.writer.outbox.is_open()?;
        let mut stats = self.shared.tally.stats(queue.as_str());
        if stats.count(State::Pending) > 0 {
            let queue = queue.clone();
            let oldest = self.readers.read(move |connection| reader::oldest_pending(connection, &queue)).await?;
            stats.oldest = oldest.map(|since| self.shared.time.now().since(since));
        }
        stats.paused = self.shared.signals.queue(queue.as_str()).is_paused();
        Ok(stats)
    }
}

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
        let keys = Arc::clone(&self.shared.keys);
        let page = self.readers.read(move |connection| listing::page(connection, &keys, &asked)).await?;
        Ok(JobPage { jobs: page.jobs.into_iter().map(|job| self.shared.time.job_shown(job)).collect(), ..page })
    }

    async fn pause_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        self.writer.outbox.run(PauseQueue { queue: queue.as_str().to_owned() }).await
    }

    async fn resume_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        self.writer.outbox.run(ResumeQueue { queue: queue.as_str().to_owned() }).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.writer.outbox.is_open()?;
        let mut queues: Vec<_> = self.shared.signals.queues().iter().map(|queue| queue.name.clone()).collect();
        queues.sort_unstable();
        Ok(vec![Instance {
            name: self.shared.instance.clone(),
            id: self.run.simple().to_string(),
            kind: InstanceKind::Proxq,
            is_this: true,
            started_at: self.started_at,
            queues,
            concurrency: self.shared.settings.get().concurrency,
            running: self.shared.tally.active(),
            begins_jobs: !self.draining.load(Ordering::Acquire),
        }])
    }

    async fn submitted(&self, id: JobId) -> Result<Option<SubmittedRequest>, StoreError> {
        let keys = Arc::clone(&self.shared.keys);
        let submitted = self.readers.read_one(move |connection| submitted(connection, &keys, id)).await?;
        Ok(submitted.map(|SubmittedRequest { request, body }| SubmittedRequest {
            request: self.shared.time.request_shown(request),
            body,
        }))
    }
}
