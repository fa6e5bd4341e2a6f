//! What an operator needs of a store: how queues stand, and their jobs a page at a time.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderName;

use super::{JobLookup, StoreError};
use crate::clock::Timestamp;
use crate::job::{Body, Job, JobId, JobRequest, QueueName, State};

/// Looks up queues.
#[async_trait]
pub trait QueueLookup: fmt::Debug + Send + Sync {
    /// How a queue stands. Costs the same however many jobs it has.
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, StoreError>;
}

/// Where an operator looks into queues.
#[async_trait]
pub trait Oversight: JobLookup + QueueLookup {
    /// Up to `max` jobs in a state, in this order, behind `cursor` (the `next` of a former page of the same queue, state
    /// and order). Costs as much as the page has jobs, however many the queue has. Reads no body.
    ///
    /// What oldest means depends on the state: of pending jobs, the one that begins first; of active ones, in Redis, the one
    /// that was leased first; of all others, in Redis, the one whose next instant (to be due, to be dropped) comes first.
    /// Elsewhere it is the one that was submitted first. Jobs that change their place between two pages may be left out, or
    /// given twice. Any other cursor gives any page, or an empty one.
    async fn list(
        &self,
        queue: &QueueName,
        state: State,
        order: JobOrder,
        cursor: Option<u64>,
        max: usize,
    ) -> Result<JobPage, StoreError>;

    /// Has no job of the queue begin, at any instance and also after a restart, until it is resumed. Attempts that run go on.
    /// Gives whether it was not paused before.
    async fn pause_queue(&self, queue: &QueueName) -> Result<bool, StoreError>;

    /// Has jobs of the queue begin again, and wakes its workers. Gives whether it was paused before.
    async fn resume_queue(&self, queue: &QueueName) -> Result<bool, StoreError>;

    /// What was submitted as this job, to be submitted again as a new one. A blob belongs to its job: a new job needs a copy.
    async fn submitted(&self, id: JobId) -> Result<Option<SubmittedRequest>, StoreError>;

    /// This instance, and the others that work on its queues.
    async fn instances(&self) -> Result<Vec<Instance>, StoreError>;
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// Pending jobs: those that begin first.
    OldestFirst,
    /// The reverse.
    NewestFirst,
}

impl JobOrder {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OldestFirst, Self::NewestFirst];
}

/// Some jobs of a queue, and where to go on.
#[derive(Clone, Debug)]
pub struct JobPage {
    /// The jobs, in the order that was asked for.
    pub jobs: Vec<Job>,
    /// Gives the next page; `None` after the last.
    pub next: Option<u64>,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    counts: [u64; State::ALL.len()],
    /// For how long the job that has been pending for longest could have begun; `None` if none is pending. A delayed or
    /// resting job is not pending before it is woken. One of low priority may count only from the time on at which it counts
    /// as normal.
    pub oldest: Option<Duration>,
    /// Whether no job of it begins, by an operator's order.
    pub paused: bool,
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

/// What was submitted as a job. Not to be shown: it has secrets.
#[derive(Clone, Debug)]
pub struct SubmittedRequest {
    /// Its head, with those of its secret headers that are still there.
    pub request: JobRequest,
    /// Its body.
    pub body: Body,
}

impl SubmittedRequest {
    /// The names of secret headers that it had, and that were forgotten when the job ended.
    pub fn forgotten(&self) -> impl Iterator<Item = &HeaderName> {
        let JobRequest { secret_names, headers, added_headers, .. } = &self.request;
        secret_names.iter().filter(|name| !headers.contains_key(*name) && !added_headers.contains_key(*name))
    }
}

/// A process that works on queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its host and its process there, for people: `host:pid`.
    pub name: String,
    /// Tells it from all others, also from former ones with its name.
    pub id: String,
    /// Which program it is.
    pub kind: InstanceKind,
    /// Whether it is this process.
    pub is_this: bool,
    /// By its own clock.
    pub started_at: Timestamp,
    /// The names of its queues.
    pub queues: Vec<String>,
    /// How many attempts it makes at once.
    pub concurrency: usize,
    /// How many it makes now. Others say it every 5 s.
    pub running: usize,
    /// Whether it takes more jobs; it does not before it stops.
    pub begins_jobs: bool,
}

/// What program an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceKind {
    /// This one, or another version of it.
    Proxq,
    /// A worker by asynq: Go's proxq, or another program.
    Asynq,
}
