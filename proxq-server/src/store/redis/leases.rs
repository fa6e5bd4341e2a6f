//! The leases of this process: those that it holds, and the orders for more whose answers were lost.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderName;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::envelope::REQUEST;
use super::message::{StoredTask, TaskMessage};
use super::queues::Queue;
use crate::clock::Timestamp;
use crate::job::JobId;
use crate::lock::lock;
use crate::store::Lease;

/// A lease in the hands of this process, and what of its job is needed to end it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) token: u64,
    pub(super) queue: Queue,
    pub(super) message: StoredTask,
    /// How often a failure was charged to the job.
    pub(super) retried: u32,
    /// The upstream; `None` for a job that asynq's client put there, whose message says how often it may be retried.
    pub(super) upstream: Option<String>,
    /// The message's headers that are to be forgotten.
    pub(super) secrets: Vec<HeaderName>,
    pub(super) retention: Duration,
    pub(super) since: Timestamp,
    pub(super) timeout: Duration,
    /// Cancelled when the lease is gone.
    pub(super) revoked: CancellationToken,
}

/// The leases of this process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobId, Held>>,
    /// The last order of each queue whose answer was lost.
    unanswered: Mutex<HashMap<String, String>>,
}

impl Leases {
    /// How many this process holds.
    pub(super) fn count(&self) -> usize {
        lock(&self.held).len()
    }

    /// Notes a lease that this process was given.
    pub(super) fn hold(&self, id: JobId, held: Held) {
        lock(&self.held).insert(id, held);
    }

    /// The lease, if this process holds it.
    pub(super) fn get(&self, lease: &Lease) -> Option<Held> {
        lock(&self.held).get(&lease.id).filter(|held| held.token == lease.token).cloned()
    }

    /// The lease under which this process holds the job, if it does.
    pub(super) fn of(&self, id: JobId) -> Option<Lease> {
        lock(&self.held).get(&id).map(|held| Lease { id, token: held.token })
    }

    /// All leases that this process holds.
    pub(super) fn all(&self) -> Vec<(JobId, Held)> {
        lock(&self.held).iter().map(|(id, held)| (*id, held.clone())).collect()
    }

    /// Lets go of a lease. Gives it, if it was held.
    pub(super) fn let_go(&self, lease: &Lease) -> Option<Held> {
        let mut held = lock(&self.held);
        if held.get(&lease.id).is_some_and(|held| held.token == lease.token) { held.remove(&lease.id) } else { None }
    }

    /// Ends the attempt under a lease that is gone. If the job has another lease here by now, that one stays.
    pub(super) fn revoke(&self, lease: &Lease) {
        if let Some(held) = self.let_go(lease) {
            held.revoked.cancel();
        }
    }

    /// Names the next order for jobs of a queue. If the answer to the last order was lost, it is that order again, for it may
    /// have been carried out.
    pub(super) fn next_order(&self, queue: &str) -> String {
        lock(&self.unanswered).remove(queue).unwrap_or_else(|| Uuid::new_v4().simple().to_string())
    }

    /// The answer to an order for jobs of a queue was lost.
    pub(super) fn answer_lost(&self, queue: &str, order: String) {
        lock(&self.unanswered).insert(queue.to_owned(), order);
    }
}

/// How many failures were charged to a job. Go's workers count them in asynq's message only. They also count that they refuse a
/// job whose type they do not know; such a count is ignored.
pub(super) fn charged(known_to_proxq: u32, message: &TaskMessage) -> u32 {
    let by_go = u32::try_from(message.retried).unwrap_or_default();
    if message.kind.starts_with(REQUEST) { known_to_proxq.max(by_go) } else { known_to_proxq }
}
