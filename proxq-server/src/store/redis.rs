//! Jobs in Redis, shared by any number of instances, in the layout of asynq: its tools show them, and a Go proxq's queue is
//! taken over as it is.
//!
//! Every transition is one script (`lua/`, called by the structs of `scripts.rs`), which goes by Redis's own clock. Commands share
//! one connection for each core (`connection.rs`); changes of watched jobs are heard on another (`events.rs`); a worker waits for
//! work on one more (`wait.rs`). What the verbs have in common is in `shared.rs`.

mod address;
mod answer;
mod blobs;
mod connecting;
mod connection;
mod deployment;
mod envelope;
mod error;
mod events;
mod fields;
mod foreign;
mod heartbeat;
mod held_blobs;
mod instances;
mod key_use;
mod keys;
mod known_held_back;
mod lease;
mod leases;
mod limits;
mod listing;
mod message;
mod oddities;
mod orders;
mod overdue;
mod overseeing;
mod pausing;
mod proposed;
mod queues;
mod read;
mod room;
mod scripts;
mod seen_states;
mod set_aside;
mod settle;
mod shared;
mod submit;
#[cfg(test)]
mod tests;
mod turns;
mod upkeep;
mod values;
mod wait;
mod waiting_workers;
mod whole_request;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Client, RedisError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::blobs::HashWriter;
use self::connection::Commands;
use self::heartbeat::{BEAT_EVERY, Identity};
use self::held_blobs::HeldBlobs;
pub use self::key_use::{CountError, count_keys};
use self::known_held_back::KnownHeldBack;
use self::leases::Leases;
use self::queues::{Queue, Queues};
use self::room::Room;
use self::scripts::{Parting, ScriptClock, Scripts};
use self::seen_states::SeenStates;
use self::shared::{Instance, Shared};
use self::values::RedisValues;
use self::waiting_workers::WaitingWorkers;
use super::locked::LockedJobs;
use super::sealed_blobs;
use super::signals::Signals;
use super::{
    BlobStore, BlobStream, BlobWriter, Content, Deployment, HeldBack, JobAccess, JobLookup, JobWatch, Lease, Leased,
    LeasedJob, LeftBy, LimitedQueues, NewJob, Owner, Requeued, SharedValues, StoreControl, StoreError, StoreSettings,
    Submissions, Submitted, Turn, Turns, Upkept, WorkQueues,
};
use crate::clock::{Clock, Timestamp};
use crate::config::RedisConfig;
use crate::current::Current;
use crate::failure::chain;
use crate::job::{BlobRef, CredentialHash, Job, JobId, QueueName, Verdict};
use crate::lock::lock;
use crate::metrics::StoreMetrics;
use crate::pacing::{Hold, Terms};
use crate::sealing::Keyring;
use crate::tasks::Tasks;

/// How a store in Redis is opened.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The server.
    pub server: RedisConfig,
    /// The queue of this instance.
    pub queue: QueueName,
    /// What may change later.
    pub settings: StoreSettings,
    /// Names this process in the history of the jobs that it works on.
    pub instance: String,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) metrics: StoreMetrics,
}

/// Why a store in Redis could not be opened. A Redis that does not answer is no reason: proxq tries until it does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The client library refuses the address.
    #[error("use {address} as Redis server")]
    Address {
        /// Without credentials.
        address: String,
        /// What the library said.
        source: RedisError,
    },
    /// A file with a password, a certificate or a key cannot be read.
    #[error("read {}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// How often blobs are removed that no job refers to. Several times within the hour that is promised.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// How often the traces of other servers' crashes are looked for.
const HEAL_EVERY: Duration = Duration::from_mins(1);
/// How long each of two steps may take when the store is closed. Long enough for an answer of Redis, or for its timeout.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Jobs in Redis.
pub struct RedisStore {
    shared: Arc<Shared>,
    client: Client,
    identity: Identity,
    closing: CancellationToken,
    rounds: Mutex<Rounds>,
}

/// When the tasks were done last that are not part of every upkeep.
#[derive(Debug, Default)]
struct Rounds {
    beat: Option<Timestamp>,
    sweep: Option<Timestamp>,
    heal: Option<Timestamp>,
    /// The queues that servers of asynq work on, too.
    beside_asynq: Vec<Queue>,
    /// The generation of connections on which the queues were made known.
    registered: u64,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("commands", &self.shared.commands).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Begins to connect. Needs a runtime, on which it has tasks until it is closed or dropped.
    ///
    /// # Errors
    /// Where the address or what it needs can never work.
    pub fn open(options: RedisOptions, clock: Clock) -> Result<Self, OpenError> {
        Self::open_by(options, clock, ScriptClock::Redis)
    }

    fn open_by(options: RedisOptions, clock: Clock, script_clock: ScriptClock) -> Result<Self, OpenError> {
        let client = address::client(&options.server)?;
        let (tasks, closing) = (Tasks::default(), CancellationToken::new());
        let instance = Uuid::new_v4().simple().to_string();
        let identity = Identity::new(&options.instance, &instance, clock.wall());
        let scripts = Scripts::new(script_clock);
        let shared = Arc::new(Shared {
            commands: Commands::keep_connected(
                client.clone(),
                scripts,
                tasks.clone(),
                closing.clone(),
                clock,
                options.metrics,
            ),
            room: Room::new(),
            queues: Queues::new(options.queue.as_str(), &options.settings.own_queues),
            leases: Leases::default(),
            blobs: HeldBlobs::default(),
            signals: Signals::default(),
            waiting_workers: WaitingWorkers::default(),
            seen_states: SeenStates::default(),
            held_back: KnownHeldBack::default(),
            settings: Current::new(options.settings),
            clock,
            tasks,
            instance: Instance { id: instance, name: options.instance },
            keys: options.keys,
            locked: LockedJobs::default(),
            deployment: OnceLock::new(),
        });
        shared.tasks.spawn(oddities::look_over(Arc::clone(&shared), closing.clone()));
        shared.tasks.spawn(events::listen(Arc::clone(&shared), client.clone(), closing.clone()));
        Ok(Self { shared, client, identity, closing, rounds: Mutex::default() })
    }

    /// Has a queue known if this instance meets it for the first time.
    async fn know(&self, queue: &QueueName) -> Result<(), StoreError> {
        if self.shared.queues.all().iter().any(|known| known.name == queue.as_str()) {
            return Ok(());
        }
        submit::register(&self.shared, &[Queue::new(queue.as_str())]).await?;
        self.shared.queues.named(queue.as_str());
        Ok(())
    }

    /// Has the queues known, after every new connection and whenever they were forgotten.
    async fn register(&self) -> Result<(), StoreError> {
        let generation = self.shared.commands.generation();
        let known_before = std::mem::replace(&mut lock(&self.rounds).registered, generation) == generation;
        if submit::register(&self.shared, &self.shared.queues.all()).await? {
            deployment::keep_on(&self.shared).await?;
            if known_before {
                tracing::warn!("Redis has forgotten the queues: it was flushed, or lost what it had");
                self.shared.signals.all_changed();
            }
        }
        Ok(())
    }

    /// Whether something is due that was done last at the time that `of` gives; if so, it is done now.
    fn is_time(&self, every: Duration, of: impl FnOnce(&mut Rounds) -> &mut Option<Timestamp>) -> bool {
        let now = self.shared.clock.steady();
        let mut rounds = lock(&self.rounds);
        let last = of(&mut rounds);
        let due = last.is_none_or(|last| now.since(last) >= every);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

#[async_trait]
impl Submissions for RedisStore {
    async fn submit(&self, job: NewJob) -> Result<Submitted, StoreError> {
        self.know(&job.queue).await?;
        if lock(&self.rounds).registered != self.shared.commands.generation() {
            self.register().await?;
        }
        submit::submit(&self.shared, job).await
    }
}

#[async_trait]
impl WorkQueues for RedisStore {
    async fn lease(&self, queue: &QueueName, max: usize) -> Result<Vec<LeasedJob>, StoreError> {
        lease::lease(&self.shared, queue.as_str(), max).await
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        lease::renew(&self.shared, leases).await
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<(), StoreError> {
        settle::settle(&self.shared, lease, verdict).await
    }

    async fn due(&self, queue: &QueueName) {
        wait::due(&self.shared, &self.client, &self.closing, queue.as_str()).await;
    }
}

#[async_trait]
impl LimitedQueues for RedisStore {
    async fn lease_within(&self, queue: &QueueName, terms: &Terms) -> Result<Leased, StoreError> {
        limits::lease_within(&self.shared, queue.as_str(), terms).await
    }

    async fn park(&self, queue: &QueueName, credential: CredentialHash, span: Duration) -> Result<(), StoreError> {
        limits::park(&self.shared, queue.as_str(), credential, span).await
    }

    async fn admit(
        &self,
        queue: &QueueName,
        credential: CredentialHash,
        terms: &Terms,
        place: Uuid,
    ) -> Result<Result<(), Hold>, StoreError> {
        limits::admit(&self.shared, queue.as_str(), credential, terms, place).await
    }

    async fn hold_places(&self, queue: &QueueName, places: &[(Uuid, CredentialHash)]) -> Result<(), StoreError> {
        limits::hold_places(&self.shared, queue.as_str(), places).await
    }

    async fn give_place_back(&self, queue: &QueueName, place: (Uuid, CredentialHash)) -> Result<(), StoreError> {
        limits::give_place_back(&self.shared, queue.as_str(), place).await
    }

    fn held_back(&self, queue: &QueueName, credential: CredentialHash) -> Option<HeldBack> {
        limits::held_back(&self.shared, queue.as_str(), credential)
    }

    async fn leftover_queues(&self, known: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
        limits::leftover_queues(&self.shared, known).await
    }
}

#[async_trait]
impl JobLookup for RedisStore {
    async fn get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        read::job(&self.shared, id).await
    }

    async fn owner(&self, id: JobId) -> Result<Owner, StoreError> {
        read::owner(&self.shared, id).await
    }

    async fn watch(&self, id: JobId) -> Result<JobWatch, StoreError> {
        let watch = self.shared.signals.watch(id);
        orders::watch(&self.shared, id).await?;
        Ok(watch)
    }
}

#[async_trait]
impl JobAccess for RedisStore {
    async fn response(&self, id: JobId) -> Result<Content, StoreError> {
        read::response(&self.shared, id).await
    }

    async fn cancel(&self, id: JobId) -> Result<bool, StoreError> {
        orders::cancel(&self.shared, id).await
    }

    async fn retry_failed(&self, id: JobId, confirmed: bool) -> Result<Requeued, StoreError> {
        orders::retry_failed(&self.shared, id, confirmed).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let mut probe = redis::cmd("SET");
        probe.arg(keys::PROBE).arg("").arg("EX").arg(60);
        // Asked at once, they travel together.
        let (written, can_lease) =
            tokio::join!(self.shared.commands.run("SET", &probe), lease::can_lease(&self.shared));
        written.map(drop).and(can_lease)?;
        self.shared.locked.none_lately(self.shared.clock)
    }
}

#[async_trait]
impl Turns for RedisStore {
    async fn resume(&self, id: JobId) -> Result<Option<Turn>, StoreError> {
        turns::resume(&self.shared, id).await
    }

    async fn answered(&self, turn: Turn) -> Result<(), StoreError> {
        turns::part(&self.shared, turn, Parting::Answered).await
    }

    async fn abandoned(&self, turn: Turn, by: LeftBy) -> Result<(), StoreError> {
        turns::part(&self.shared, turn, Parting::Left(by)).await
    }
}

#[async_trait]
impl BlobStore for RedisStore {
    async fn new_blob(&self, queue: &QueueName) -> Result<Box<dyn BlobWriter>, StoreError> {
        if self.closing.is_cancelled() {
            return Err(StoreError::Closed);
        }
        self.know(queue).await?;
        let queue = self.shared.queues.named(queue.as_str());
        Ok(sealed_blobs::sealing(Box::new(HashWriter::begin(Arc::clone(&self.shared), queue)), &self.shared.keys))
    }

    async fn open_blob(&self, blob: &BlobRef) -> Result<BlobStream, StoreError> {
        let stored = blobs::stream(&self.shared, sealed_blobs::stored(blob)).await?;
        sealed_blobs::opened(stored, blob, &self.shared.keys)
    }
}

#[async_trait]
impl StoreControl for RedisStore {
    async fn deployment(&self) -> Result<Deployment, StoreError> {
        let deployment = deployment::deployment(&self.shared).await?;
        Ok(self.shared.deployment.get_or_init(|| deployment).clone())
    }

    async fn upkeep(&self) -> Result<Upkept, StoreError> {
        if self.is_time(BEAT_EVERY, |rounds| &mut rounds.beat) {
            let beside_asynq = self.identity.beat(&self.shared).await?;
            lock(&self.rounds).beside_asynq = beside_asynq;
        }
        let beside_asynq = lock(&self.rounds).beside_asynq.clone();
        // Asked at once, they travel together; each is ended, whatever becomes of the others.
        let (registered, looked, given_up, upkept) = tokio::join!(
            self.register(),
            events::look_at_watched(&self.shared, &beside_asynq),
            turns::cancel_given_up(&self.shared),
            upkeep::upkeep(&self.shared, &beside_asynq),
        );
        registered.and(looked).and(given_up)?;
        let upkept = upkept?;
        if self.is_time(SWEEP_EVERY, |rounds| &mut rounds.sweep) {
            upkeep::sweep(&self.shared).await?;
        }
        if self.is_time(HEAL_EVERY, |rounds| &mut rounds.heal) {
            upkeep::heal(&self.shared).await?;
        }
        Ok(upkept)
    }

    fn shared_values(&self) -> Option<Arc<dyn SharedValues>> {
        Some(Arc::new(RedisValues(Arc::clone(&self.shared))))
    }

    fn reconfigure(&self, settings: StoreSettings) {
        for queue in &settings.own_queues {
            self.shared.queues.named(queue.as_str());
        }
        self.shared.settings.replace(settings);
    }

    fn drain(&self) {
        self.identity.drain();
        lock(&self.rounds).beat = None; // others are told with the next upkeep
    }

    async fn close(&self) {
        if self.closing.is_cancelled() {
            return;
        }
        let ended = tokio::time::timeout(CLOSE_LIMIT, self.identity.end(&self.shared)).await;
        if let Ok(Err(error)) = ended {
            tracing::debug!(error = chain(&error), "tell asynq's tools that this server ends");
        }
        self.closing.cancel();
        if tokio::time::timeout(CLOSE_LIMIT, self.shared.tasks.all_ended()).await.is_err() {
            tracing::warn!("some of what was asked of Redis has not been answered when the store was closed");
        }
    }
}
