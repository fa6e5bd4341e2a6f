//! Counts the jobs that each key seals, on a connection of its own: for `proxq check --store`. Changes nothing.

use std::collections::HashSet;

use bytes::Bytes;
use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::OpenError;
use super::address;
use super::keys::Keys;
use super::queues::with_names;
use crate::config::{Config, RedisConfig};
use crate::job::{JobId, QueueName};
use crate::sealing::text_key;
use crate::store::KeyUse;
use crate::store::record::{Facts, Head, Record, sealed_with};

/// How many keys of Redis are looked at with one command: as many as it goes through in about a millisecond.
const AT_ONCE: usize = 1000;

/// Why the jobs were not counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CountError {
    /// The server's address or what it needs cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It does not answer, or not as it should.
    #[error("ask {server}")]
    Redis {
        /// Without credentials.
        server: String,
        /// What the library said.
        source: RedisError,
    },
}

/// Looks at every job of the deployment: also those in queues of former configurations, which servers work on until nothing is left.
///
/// # Errors
/// Where Redis cannot be asked.
pub async fn count_keys(server: &RedisConfig, config: &Config) -> Result<KeyUse, CountError> {
    let client = address::client(server)?;
    let failed = |source| CountError::Redis { server: server.to_string(), source };
    let mut connection = client.get_multiplexed_async_connection().await.map_err(failed)?;
    let mut found = KeyUse::default();
    for queue in all_queues(&mut connection, config).await.map_err(failed)? {
        count_queue(&mut connection, &Keys::of(queue.as_str()), &mut found).await.map_err(failed)?;
    }
    Ok(found)
}

async fn all_queues(connection: &mut MultiplexedConnection, config: &Config) -> Result<HashSet<QueueName>, RedisError> {
    let known = Keys::of(config.queue.as_str()).queues();
    let names: Vec<Vec<u8>> = redis::cmd("SMEMBERS").arg(known).query_async(connection).await?;
    let mut queues: HashSet<_> = with_names(names).into_iter().collect();
    queues.insert(config.queue.clone());
    queues.extend(config.own_queues());
    Ok(queues)
}

async fn count_queue(
    connection: &mut MultiplexedConnection,
    keys: &Keys,
    found: &mut KeyUse,
) -> Result<(), RedisError> {
    let prefix = keys.asynq("t:");
    let pattern = format!("{}*", escaped(&prefix));
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(AT_ONCE);
        let (next, names): (u64, Vec<String>) = scan.query_async(connection).await?;
        let ids: Vec<JobId> = names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect();
        if !ids.is_empty() {
            let mut commands = redis::Pipeline::with_capacity(ids.len());
            for id in &ids {
                commands.cmd("HMGET").arg(keys.task(*id)).arg(&["x_facts", "x_head", "x_error"]);
            }
            let parts: Vec<[Option<Vec<u8>>; 3]> = commands.query_async(connection).await?;
            for (id, parts) in ids.into_iter().zip(parts) {
                let [facts, head, error] = parts.map(|part| Bytes::from(part.unwrap_or_default()));
                let records = [sealed_with(Facts::NAME, id, facts), sealed_with(Head::NAME, id, head)];
                found.count(records.into_iter().flatten().chain(text_key(&String::from_utf8_lossy(&error))));
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// A text as a pattern of Redis that only matches itself.
fn escaped(text: &str) -> String {
    let escape =
        |character: char| if "*?[]\\^".contains(character) { format!("\\{character}") } else { character.to_string() };
    text.chars().map(escape).collect()
}
