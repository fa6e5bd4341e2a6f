//! What all verbs of the store work with.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use redis::Pipeline;

use super::answer::RedisInstant;
use super::connection::Commands;
use super::error::is_wrong_type;
use super::held_blobs::HeldBlobs;
use super::known_held_back::KnownHeldBack;
use super::leases::Leases;
use super::queues::{self, Queue, Queues};
use super::room::Room;
use super::seen_states::SeenStates;
use super::waiting_workers::WaitingWorkers;
use crate::clock::Clock;
use crate::current::Current;
use crate::job::{JobId, QueueName};
use crate::sealing::Keyring;
use crate::store::locked::LockedJobs;
use crate::store::signals::{Effect, Signals};
use crate::store::{Deployment, StoreError, StoreSettings};
use crate::tasks::Tasks;

/// What the store and its tasks share: the connection, what this process knows and holds, and what it tells those who wait.
/// Each part keeps its data to itself.
#[derive(Debug)]
pub(super) struct Shared {
    /// Runs commands and scripts.
    pub(super) commands: Commands,
    pub(super) room: Room,
    pub(super) queues: Queues,
    pub(super) leases: Leases,
    pub(super) blobs: HeldBlobs,
    pub(super) signals: Signals,
    pub(super) waiting_workers: WaitingWorkers,
    pub(super) seen_states: SeenStates,
    pub(super) held_back: KnownHeldBack,
    pub(super) settings: Current<StoreSettings>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) instance: Instance,
    pub(super) keys: Arc<Keyring>,
    pub(super) locked: LockedJobs,
    /// The deployment's secrets, once they are known.
    pub(super) deployment: OnceLock<Deployment>,
}

/// Who this process is.
#[derive(Debug)]
pub(super) struct Instance {
    /// To other instances.
    pub(super) id: String,
    /// To people.
    pub(super) name: String,
}

/// The queue where a job is, and the fields that were asked for.
type Found = (Queue, Vec<Option<Bytes>>);

impl Shared {
    /// Lets workers know that a job of a queue is pending.
    pub(super) fn ready(&self, queue: &Queue) {
        self.signals.apply(Effect::Ready(self.signals.queue(&queue.name)));
    }

    /// Lets workers know when a job of a queue will be due.
    pub(super) fn due_at(&self, queue: &Queue, due: RedisInstant) {
        self.signals.apply(Effect::DueAt(self.signals.queue(&queue.name), due.by(self.clock)));
    }

    /// Notes when the first of a queue's waiting jobs is due.
    pub(super) fn next_due(&self, queue: &Queue, due: Option<RedisInstant>) {
        let due = due.map(|due| due.by(self.clock));
        self.signals.apply(Effect::NextDue(self.signals.queue(&queue.name), due));
    }

    /// Whether a queue has limits: it is that of an upstream with flow control, or was.
    pub(super) fn has_limits(&self, queue: &Queue) -> bool {
        queue.name != self.queues.home().name
    }

    /// Lets this process know that a job changed.
    pub(super) fn changed(&self, id: JobId) {
        self.signals.apply(Effect::Changed(id));
    }

    /// How often asynq's tools are told that jobs of an upstream are retried; `None` where the upstream is not configured, and
    /// for a job that has none, whose message says it already.
    pub(super) fn max_retries(&self, upstream: Option<&str>) -> Option<i32> {
        let (upstream, settings) = (upstream?, self.settings.get());
        let upstream = settings.upstreams.iter().find(|known| known.prefix.as_str() == upstream)?;
        Some(i32::try_from(upstream.retries.max_retries).unwrap_or(i32::MAX))
    }

    /// The queue where a job is, with some fields of it. One round trip.
    pub(super) async fn find(&self, id: JobId, fields: &[&str]) -> Result<Option<Found>, StoreError> {
        match self.find_in_known(id, fields).await? {
            None if !self.queues.are_learned() => {
                self.queues.learn(&self.queues_of_all_time().await?);
                self.find_in_known(id, fields).await
            }
            found => Ok(found),
        }
    }

    /// All queues that the deployment has had, beside the home queue.
    pub(super) async fn queues_of_all_time(&self) -> Result<Vec<QueueName>, StoreError> {
        let all = self.queues.home().keys.queues();
        let names = self.commands.run("SMEMBERS", redis::cmd("SMEMBERS").arg(all)).await?.fields()?;
        Ok(queues::with_names(names.into_iter().flatten()))
    }

    async fn find_in_known(&self, id: JobId, fields: &[&str]) -> Result<Option<Found>, StoreError> {
        let queues = self.queues.all();
        let mut commands = Pipeline::with_capacity(2 * queues.len());
        for queue in &queues {
            let key = queue.keys.task(id);
            // Every task has a message, so it tells that the job is there. It is not read, for it has the body.
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
