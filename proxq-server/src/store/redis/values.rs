//! Values that all instances share, as plain keys of Redis.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::shared::Shared;
use crate::store::{SharedValues, StoreError};

/// The values in the Redis of a store, sealed where jobs are. The last part of a key, behind a colon, is then a name that tells
/// nothing: it would tell what the value belongs to, as a digest of a request does.
#[derive(Debug)]
pub(super) struct RedisValues(pub(super) Arc<Shared>);

/// What values are sealed for, beside their names.
const CONTEXT: &[u8] = b"shared value";

impl RedisValues {
    /// The name under which a key's value is.
    fn name(&self, key: &str) -> String {
        let (prefix, last) = key.split_at(key.rfind(':').map_or(0, |colon| colon + 1));
        self.0.keys.hidden_name(last).map_or_else(|| key.to_owned(), |hidden| format!("{prefix}{hidden}"))
    }
}

#[async_trait]
impl SharedValues for RedisValues {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let (name, keys) = (self.name(key), &self.0.keys);
        let value = self.0.commands.run("GET", redis::cmd("GET").arg(&name)).await?.bytes()?;
        match value {
            Some(sealed) if keys.seals() => match keys.open(&[CONTEXT, name.as_bytes()], sealed.into()) {
                Ok(value) => Ok(Some(value)),
                Err(error) => {
                    tracing::warn!(?error, "a shared value cannot be opened, and counts as gone");
                    Ok(None)
                }
            },
            value => Ok(value),
        }
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1); // 0 is none to Redis
        let name = self.name(key);
        let sealed = self.0.keys.seal(&[CONTEXT, name.as_bytes()], &value);
        let command =
            redis::cmd("SET").arg(name).arg(sealed.as_deref().unwrap_or(&value)).arg("PX").arg(ttl_ms).to_owned();
        self.0.commands.run("SET", &command).await.map(drop)
    }
}
