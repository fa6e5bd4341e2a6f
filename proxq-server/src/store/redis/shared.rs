//! What all verbs of the store work with.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use redis::Pipeline;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::answer::RedisInstant;
use super::connection::Commands;
use super::envelope::REQUEST;
use super::error::is_wrong_type;
use super::keys::Keys;
use super::message::{StoredTask, TaskMessage};
use super::wait::Waits;
use crate::clock::{Clock, Timestamp};
use crate::current::Current;
use crate::job::JobId;
use crate::store::signals::{Effect, Signals, lock};
use crate::store::{Lease, StoreError, StoreSettings};
use crate::tasks::Tasks;

/// What the store and its tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) commands: Commands,
    pub(super) clock: Clock,
    pub(super) signals: Signals,
    pub(super) tasks: Tasks,
    pub(super) settings: Current<StoreSettings>,
    /// Names this process to people.
    pub(super) name: String,
    /// Names this store to other instances.
    pub(super) instance: String,
    pub(super) queues: Queues,
    pub(super) waits: Waits,
    pub(super) held: Mutex<HashMap<JobId, Held>>,
    /// Orders for jobs, by queue, whose answers were lost: to be repeated.
    pub(super) unanswered: Mutex<HashMap<String, String>>,
    /// The states that watched jobs were last seen in, while servers of asynq work on our queue.
    pub(super) seen: Mutex<HashMap<JobId, Option<Bytes>>>,
    /// Blobs in the hands of this process, which no job need refer to yet.
    pub(super) blobs: Mutex<HashMap<Uuid, Keys>>,
}

/// A lease in the hands of this process.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) token: u64,
    pub(super) queue: Queue,
    pub(super) message: StoredTask,
    /// How often a failure was charged to it.
    pub(super) retried: u32,
    /// The upstream; `None` for a job that asynq's client put there, whose message says how often it may be retried.
    pub(super) upstream: Option<String>,
    /// The message's headers that are to be forgotten.
    pub(super) secrets: Vec<HeaderName>,
    pub(super) retention: Duration,
    pub(super) since: Timestamp,
    pub(super) timeout: Duration,
    pub(super) revoked: CancellationToken,
}

/// A queue and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) keys: Keys,
}

impl Held {
    /// How often the job may be retried, where its message is to say so.
    pub(super) fn max_retries(&self, shared: &Shared) -> Option<i32> {
        self.upstream.as_deref().and_then(|upstream| shared.max_retries(upstream))
    }
}

/// How many failures were charged to a job: by proxq, or by a worker of Go's, which counts in the message only. A job of a
/// type that Go's workers refuse they charge for nothing.
pub(super) fn charged(known_to_proxq: u32, message: &TaskMessage) -> u32 {
    let by_go = u32::try_from(message.retried).unwrap_or_default();
    if message.kind.starts_with(REQUEST) { known_to_proxq.max(by_go) } else { known_to_proxq }
}

impl Queue {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), keys: Keys::of(name) }
    }
}

/// The queues in which this instance's jobs may be: the configured one first. Those of other deployments on the same Redis are
/// none of its business.
#[derive(Debug)]
pub(super) struct Queues {
    known: Mutex<Vec<Queue>>,
}

impl Queues {
    pub(super) fn new(home: &str) -> Self {
        Self { known: Mutex::new(vec![Queue::new(home)]) }
    }

    /// The queue of this instance.
    pub(super) fn home(&self) -> Queue {
        lock(&self.known).first().cloned().expect("it is there from the beginning")
    }

    pub(super) fn all(&self) -> Vec<Queue> {
        lock(&self.known).clone()
    }

    /// The queue with this name, which is known from now on.
    pub(super) fn named(&self, name: &str) -> Queue {
        let mut known = lock(&self.known);
        if let Some(queue) = known.iter().find(|queue| queue.name == name) {
            return queue.clone();
        }
        let queue = Queue::new(name);
        known.push(queue.clone());
        queue
    }
}

impl Shared {
    /// Notes when the first of a queue's waiting jobs is due.
    pub(super) fn note_next_due(&self, queue: &str, due: Option<RedisInstant>) {
        let next = due.map(|due| due.by(self.clock));
        self.signals.apply(Effect::NextDue(self.signals.queue(queue), next));
    }

    /// Lets this process know that a job changed.
    pub(super) fn changed(&self, id: JobId) {
        self.signals.apply(Effect::Changed(id));
    }

    /// How often asynq's tools are told that jobs of an upstream are retried; `None` where the upstream is not configured.
    pub(super) fn max_retries(&self, upstream: &str) -> Option<i32> {
        let settings = self.settings.get();
        let upstream = settings.upstreams.iter().find(|known| known.prefix.as_str() == upstream)?;
        Some(i32::try_from(upstream.retries.max_retries).unwrap_or(i32::MAX))
    }

    /// The lease, if this process holds it.
    pub(super) fn held(&self, lease: &Lease) -> Option<Held> {
        lock(&self.held).get(&lease.id).filter(|held| held.token == lease.token).cloned()
    }

    /// Lets go of a lease. Gives whether it was held.
    pub(super) fn let_go(&self, lease: &Lease) -> Option<Held> {
        let mut held = lock(&self.held);
        if held.get(&lease.id).is_some_and(|held| held.token == lease.token) { held.remove(&lease.id) } else { None }
    }

    /// The token under which this process holds the job, if it does.
    pub(super) fn token(&self, id: JobId) -> Option<u64> {
        lock(&self.held).get(&id).map(|held| held.token)
    }

    /// Ends the attempt under a lease that is gone. By its token: the job may be under another one here by now.
    pub(super) fn revoke(&self, lease: &Lease) {
        if let Some(held) = self.let_go(lease) {
            held.revoked.cancel();
        }
    }

    /// The queue where a job is, with some fields of it. One round trip.
    pub(super) async fn find(
        &self,
        id: JobId,
        fields: &[&str],
    ) -> Result<Option<(Queue, Vec<Option<Bytes>>)>, StoreError> {
        let queues = self.queues.all();
        let mut commands = Pipeline::with_capacity(2 * queues.len());
        for queue in &queues {
            let key = queue.keys.task(id);
            // A task has a message, whatever else is missing. It is not read, for it has the body.
            commands.cmd("HEXISTS").arg(&key).arg("msg").cmd("HMGET").arg(key).arg(fields);
        }
        let answers =
            self.commands.run_all("HMGET", &commands).await.map_err(|error| {
                if is_wrong_type(&error) { StoreError::CorruptJob { id, what: "hash" } } else { error }
            });
        let mut answers = answers?.into_iter();
        for queue in queues {
            let (Some(is_there), Some(values)) = (answers.next(), answers.next()) else { break };
            if is_there.number()? == 1 {
                return Ok(Some((queue, values.fields()?)));
            }
        }
        Ok(None)
    }
}
