//! The heartbeat: asynq's tools see from it that this server lives and what it works on. The same keys say which servers of
//! asynq live.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use redis::Pipeline;

use super::keys::{SERVERS, WORKERS};
use super::leases::Held;
use super::message::{Instant, ServerInfo, WorkerInfo};
use super::queues::Queue;
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::job::JobId;
use crate::store::StoreError;

/// How often a server says that it lives, as in asynq.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How long a server that says nothing is taken to live, as in asynq.
const ALIVE: Duration = Duration::from_secs(10);
/// What the ids of our servers begin with; asynq's are UUIDs.
const OURS: &str = "proxq-";

/// Who this server is to asynq's tools.
#[derive(Debug)]
pub(super) struct Identity {
    host: String,
    pid: i32,
    server_id: String,
    started: Timestamp,
    draining: AtomicBool,
}

impl Identity {
    pub(super) fn new(shared_name: &str, instance: &str, started: Timestamp) -> Self {
        let host = shared_name.rsplit_once(':').map_or(shared_name, |(host, _)| host).to_owned();
        Self {
            host,
            pid: std::process::id().cast_signed(),
            server_id: format!("{OURS}{instance}"),
            started,
            draining: AtomicBool::new(false),
        }
    }

    /// From now on this server begins nothing new.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The key under which it does.
    pub(super) fn server_key(&self) -> String {
        self.key(SERVERS)
    }

    fn key(&self, of: &str) -> String {
        format!("{of}:{{{}:{}:{}}}", self.host, self.pid, self.server_id)
    }

    /// Says that this server lives. Gives the queues of ours that living servers of asynq work on.
    pub(super) async fn beat(&self, shared: &Shared) -> Result<Vec<Queue>, StoreError> {
        let now = Self::redis_seconds(shared).await?;
        let until = now + i64::try_from(ALIVE.as_secs()).unwrap_or_default();
        let held = shared.leases.all();
        let (servers, workers) = (self.key(SERVERS), self.key(WORKERS));
        let mut commands = Pipeline::with_capacity(8);
        commands.cmd("ZADD").arg(SERVERS).arg(until).arg(&servers).ignore();
        commands.cmd("ZADD").arg(WORKERS).arg(until).arg(&workers).ignore();
        let info = self.info(shared).encode_to_vec();
        commands.cmd("SETEX").arg(&servers).arg(ALIVE.as_secs()).arg(info).ignore();
        commands.cmd("DEL").arg(&workers).ignore();
        for (id, held) in &held {
            commands.cmd("HSET").arg(&workers).arg(id.to_string()).arg(self.worker(*id, held).encode_to_vec()).ignore();
        }
        commands.cmd("EXPIRE").arg(&workers).arg(ALIVE.as_secs()).ignore();
        // Every server removes the entries of dead ones. Otherwise they would stay until somebody lists servers.
        for set in [SERVERS, WORKERS] {
            commands.cmd("ZREMRANGEBYSCORE").arg(set).arg("-inf").arg(now - 1).ignore();
        }
        commands.cmd("ZRANGEBYSCORE").arg(SERVERS).arg(now).arg("+inf");
        let mut answers = shared.commands.run_all("ZADD", &commands).await?;
        let Some(alive) = answers.pop() else { return Ok(Vec::new()) };
        let others = alive.fields()?.into_iter().flatten().filter(|key| !is_ours(key));
        worked_on(shared, others.collect()).await
    }

    /// The second by the clock of Redis.
    pub(super) async fn redis_seconds(shared: &Shared) -> Result<i64, StoreError> {
        let [seconds, _micros] = shared.commands.run("TIME", &redis::cmd("TIME")).await?.array()?;
        Ok(super::fields::number(seconds.bytes()?).unwrap_or_default())
    }

    /// What this server says of itself.
    pub(super) fn info(&self, shared: &Shared) -> ServerInfo {
        ServerInfo {
            host: self.host.clone(),
            pid: self.pid,
            server_id: self.server_id.clone(),
            concurrency: i32::try_from(shared.settings.get().concurrency).unwrap_or(i32::MAX),
            queues: shared.queues.all().into_iter().map(|queue| (queue.name, 1)).collect(),
            strict_priority: false,
            // asynq's words; while asynq shuts down it is "closed", and gone when that is done.
            status: if self.draining.load(Ordering::Acquire) { "closed" } else { "active" }.to_owned(),
            start_time: Some(instant(self.started)),
            active_worker_count: i32::try_from(shared.leases.count()).unwrap_or(i32::MAX),
        }
    }

    fn worker(&self, id: JobId, held: &Held) -> WorkerInfo {
        WorkerInfo {
            host: self.host.clone(),
            pid: self.pid,
            server_id: self.server_id.clone(),
            task_id: id.to_string(),
            task_type: held.message.known.kind.clone(),
            task_payload: Bytes::new(),
            queue: held.queue.name.clone(),
            start_time: Some(instant(held.since)),
            deadline: Some(instant(held.since.after(held.timeout))),
        }
    }

    /// Says that this server ends.
    pub(super) async fn end(&self, shared: &Shared) -> Result<(), StoreError> {
        let (servers, workers) = (self.key(SERVERS), self.key(WORKERS));
        let mut commands = Pipeline::with_capacity(3);
        commands.cmd("ZREM").arg(SERVERS).arg(&servers);
        commands.cmd("ZREM").arg(WORKERS).arg(&workers);
        commands.cmd("DEL").arg(&servers).arg(&workers);
        shared.commands.run_all("ZREM", &commands).await.map(drop)
    }
}

/// Whether a server with this key is a proxq.
pub(super) fn is_ours(key: &[u8]) -> bool {
    key.windows(OURS.len() + 1).any(|part| part[0] == b':' && &part[1..] == OURS.as_bytes())
}

/// The queues of ours that one of these servers works on.
async fn worked_on(shared: &Shared, servers: Vec<Bytes>) -> Result<Vec<Queue>, StoreError> {
    if servers.is_empty() {
        return Ok(Vec::new());
    }
    let mut commands = Pipeline::with_capacity(servers.len());
    for server in &servers {
        commands.cmd("GET").arg(&server[..]);
    }
    let mut infos = Vec::with_capacity(servers.len());
    for info in shared.commands.run_all("GET", &commands).await? {
        infos.extend(ServerInfo::decode(info.bytes()?.unwrap_or_default()));
    }
    let mut queues = shared.queues.all();
    queues.retain(|queue| infos.iter().any(|info| info.queues.contains_key(&queue.name)));
    Ok(queues)
}

fn instant(at: Timestamp) -> Instant {
    let millis = at.as_millis();
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    Instant { seconds: millis.div_euclid(1000), nanos }
}
