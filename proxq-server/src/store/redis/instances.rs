//! The servers that live on this Redis, as their heartbeats say.

use prost::Message;
use redis::Pipeline;

use super::heartbeat::{Identity, is_ours};
use super::keys::SERVERS;
use super::message::{Instant, ServerInfo};
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::store::{Instance, InstanceKind, StoreError};

/// This instance, and the others that work on one of its queues.
pub(super) async fn instances(shared: &Shared, identity: &Identity) -> Result<Vec<Instance>, StoreError> {
    let now = Identity::redis_seconds(shared).await?;
    let mut alive = redis::cmd("ZRANGEBYSCORE");
    alive.arg(SERVERS).arg(now).arg("+inf");
    let keys = shared.commands.run("ZRANGEBYSCORE", &alive).await?.fields()?;
    let own = identity.server_key();
    let others: Vec<_> = keys.into_iter().flatten().filter(|key| key[..] != *own.as_bytes()).collect();
    let mut found = vec![instance(identity.info(shared), true, InstanceKind::Proxq)];
    if others.is_empty() {
        return Ok(found);
    }
    let mut commands = Pipeline::with_capacity(others.len());
    for key in &others {
        commands.cmd("GET").arg(&key[..]);
    }
    let queues = shared.queues.all();
    for (key, info) in others.iter().zip(shared.commands.run_all("GET", &commands).await?) {
        let Some(info) = info.bytes()? else { continue }; // it has died
        let Ok(info) = ServerInfo::decode(info) else { continue };
        if queues.iter().any(|queue| info.queues.contains_key(&queue.name)) {
            let kind = if is_ours(key) { InstanceKind::Proxq } else { InstanceKind::Asynq };
            found.push(instance(info, false, kind));
        }
    }
    Ok(found)
}

fn instance(info: ServerInfo, is_this: bool, kind: InstanceKind) -> Instance {
    let count = |number: i32| usize::try_from(number).unwrap_or_default();
    Instance {
        name: format!("{}:{}", info.host, info.pid),
        id: info.server_id,
        kind,
        is_this,
        started_at: info.start_time.map_or(Timestamp::from_millis(0), moment),
        queues: info.queues.into_keys().collect(),
        concurrency: count(info.concurrency),
        running: count(info.active_worker_count),
        begins_jobs: info.status == "active",
    }
}

fn moment(instant: Instant) -> Timestamp {
    Timestamp::from_millis(instant.seconds.saturating_mul(1000).saturating_add(i64::from(instant.nanos / 1_000_000)))
}
