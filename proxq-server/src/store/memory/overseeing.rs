//! What operators ask of jobs in memory.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::entry::Entry;
use super::jobs::Jobs;
use crate::job::{JobId, QueueName, State};
use crate::store::{Instance, InstanceKind, JobOrder, JobPage, QueueStats, SubmittedRequest};

impl Jobs {
    pub(super) fn stats(&self, queue: &QueueName) -> QueueStats {
        let now = self.now();
        let mut stats = QueueStats::default();
        stats.paused = self.paused.contains(queue);
        for entry in self.entries.values().filter(|entry| entry.queue == *queue) {
            stats.set(entry.state, stats.count(entry.state) + 1);
            if entry.state == State::Pending {
                stats.oldest = stats.oldest.max(Some(now.since(entry.due)));
            }
        }
        stats
    }

    /// The one process that has these jobs.
    pub(super) fn instance(&self) -> Instance {
        let queues: BTreeSet<_> = self.entries.values().map(|entry| entry.queue.as_str().to_owned()).collect();
        Instance {
            name: "memory".to_owned(),
            id: "memory".to_owned(),
            kind: InstanceKind::Proxq,
            is_this: true,
            started_at: self.started_at,
            queues: queues.into_iter().collect(),
            concurrency: self.settings.concurrency,
            running: self.entries.values().filter(|entry| entry.state == State::Active).count(),
            begins_jobs: !self.draining,
        }
    }

    pub(super) fn submitted(&self, id: JobId) -> Option<SubmittedRequest> {
        let entry = self.entries.get(&id)?;
        Some(SubmittedRequest { request: entry.whole_request(), body: entry.body.clone() })
    }

    pub(super) fn list(
        &self,
        queue: &QueueName,
        state: State,
        order: JobOrder,
        cursor: Option<u64>,
        max: usize,
    ) -> JobPage {
        let behind = match order {
            JobOrder::OldestFirst => Ordering::Greater,
            JobOrder::NewestFirst => Ordering::Less,
        };
        let is_behind = |entry: &&Entry| cursor.is_none_or(|cursor| entry.beside(cursor) == behind);
        let in_state = |entry: &&Entry| entry.queue == *queue && entry.state == state;
        let mut found: Vec<_> = self.entries.values().filter(in_state).filter(is_behind).collect();
        found.sort_unstable_by_key(|entry| entry.place());
        if order == JobOrder::NewestFirst {
            found.reverse();
        }
        let more = found.len() > max;
        found.truncate(max);
        let next = found.last().filter(|_| more).and_then(|entry| entry.cursor());
        JobPage { jobs: found.into_iter().map(Entry::job).collect(), next }
    }
}
