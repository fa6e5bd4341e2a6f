//! Shows asynq's tools that this server lives and what it works on; hears from the same keys whether other servers do.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use redis::Pipeline;

use super::keys::{SERVERS, WORKERS};
use super::message::{Instant, ServerInfo, WorkerInfo};
use super::shared::{Held, Shared};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::signals::lock;

/// How often a server says that it lives, as in asynq.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How long a server that says nothing is taken to live, as in asynq.
const ALIVE: Duration = Duration::from_secs(10);
/// What the ids of our servers begin with; asynq's are UUIDs.
const OURS: &str = "proxq-";

/// What does not change while a server lives.
#[derive(Debug)]
pub(super) struct Identity {
    host: String,
    pid: i32,
    server_id: String,
    concurrency: i32,
    started: Timestamp,
}

/// Whether anything else than proxq works on our queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Company {
    /// Only proxq.
    #[default]
    OwnKind,
    /// Servers of asynq, too.
    Foreign,
}

impl Identity {
    pub(super) fn new(shared_name: &str, instance: &str, concurrency: usize, started: Timestamp) -> Self {
        let host = shared_name.rsplit_once(':').map_or(shared_name, |(host, _)| host).to_owned();
        Self {
            host,
            pid: std::process::id().cast_signed(),
            server_id: format!("{OURS}{instance}"),
            concurrency: i32::try_from(concurrency).unwrap_or(i32::MAX),
            started,
        }
    }

    fn key(&self, of: &str) -> String {
        format!("{of}:{{{}:{}:{}}}", self.host, self.pid, self.server_id)
    }

    /// Says that this server lives. Gives who else does.
    pub(super) async fn beat(&self, shared: &Shared) -> Result<Company, StoreError> {
        let now = self.redis_seconds(shared).await?;
        let until = now + i64::try_from(ALIVE.as_secs()).unwrap_or_default();
        let held: Vec<(String, Held)> =
            lock(&shared.held).iter().map(|(id, held)| (id.to_string(), held.clone())).collect();
        let (servers, workers) = (self.key(SERVERS), self.key(WORKERS));
        let mut commands = Pipeline::with_capacity(8);
        commands.cmd("ZADD").arg(SERVERS).arg(until).arg(&servers).ignore();
        commands.cmd("ZADD").arg(WORKERS).arg(until).arg(&workers).ignore();
        let info = self.info(shared, held.len()).encode_to_vec();
        commands.cmd("SETEX").arg(&servers).arg(ALIVE.as_secs()).arg(info).ignore();
        commands.cmd("DEL").arg(&workers).ignore();
        for (id, held) in &held {
            commands.cmd("HSET").arg(&workers).arg(id).arg(self.worker(id, held).encode_to_vec()).ignore();
        }
        commands.cmd("EXPIRE").arg(&workers).arg(ALIVE.as_secs()).ignore();
        // What died is taken out by whoever comes by, or it would stay until somebody lists servers.
        for set in [SERVERS, WORKERS] {
            commands.cmd("ZREMRANGEBYSCORE").arg(set).arg("-inf").arg(now - 1).ignore();
        }
        commands.cmd("ZRANGEBYSCORE").arg(SERVERS).arg(now).arg("+inf");
        let mut answers = shared.commands.run_all("ZADD", &commands).await?;
        let Some(alive) = answers.pop() else { return Ok(Company::OwnKind) };
        let others = alive.fields()?.into_iter().flatten().filter(|key| !is_ours(key));
        company(shared, others.collect()).await
    }

    async fn redis_seconds(&self, shared: &Shared) -> Result<i64, StoreError> {
        let [seconds, _micros] = shared.commands.run("TIME", &redis::cmd("TIME")).await?.array()?;
        Ok(super::fields::number(seconds.bytes()?).unwrap_or_default())
    }

    fn info(&self, shared: &Shared, active: usize) -> ServerInfo {
        ServerInfo {
            host: self.host.clone(),
            pid: self.pid,
            server_id: self.server_id.clone(),
            concurrency: self.concurrency,
            queues: BTreeMap::from([(shared.queues.home().name, 1)]),
            strict_priority: false,
            status: "active".to_owned(),
            start_time: Some(instant(self.started)),
            active_worker_count: i32::try_from(active).unwrap_or(i32::MAX),
        }
    }

    fn worker(&self, id: &str, held: &Held) -> WorkerInfo {
        WorkerInfo {
            host: self.host.clone(),
            pid: self.pid,
            server_id: self.server_id.clone(),
            task_id: id.to_owned(),
            task_type: held.message.kind.clone(),
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

fn is_ours(key: &[u8]) -> bool {
    key.windows(OURS.len() + 1).any(|part| part[0] == b':' && &part[1..] == OURS.as_bytes())
}

/// Whether one of these servers works on a queue of ours.
async fn company(shared: &Shared, keys: Vec<Bytes>) -> Result<Company, StoreError> {
    if keys.is_empty() {
        return Ok(Company::OwnKind);
    }
    let mut commands = Pipeline::with_capacity(keys.len());
    for key in &keys {
        commands.cmd("GET").arg(&key[..]);
    }
    for info in shared.commands.run_all("GET", &commands).await? {
        let Ok(info) = ServerInfo::decode(info.bytes()?.unwrap_or_default()) else { continue };
        if shared.queues.all().iter().any(|queue| info.queues.contains_key(&queue.name)) {
            return Ok(Company::Foreign);
        }
    }
    Ok(Company::OwnKind)
}

fn instant(at: Timestamp) -> Instant {
    let millis = at.as_millis();
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    Instant { seconds: millis.div_euclid(1000), nanos }
}
