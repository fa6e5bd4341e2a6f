//! Values that all instances share, as plain keys of Redis.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::shared::Shared;
use crate::store::{SharedValues, StoreError};

/// The values in the Redis of a store.
#[derive(Debug)]
pub(super) struct RedisValues(pub(super) Arc<Shared>);

#[async_trait]
impl SharedValues for RedisValues {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.0.commands.run("GET", redis::cmd("GET").arg(key)).await?.bytes()
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1); // 0 is none to Redis
        let command = redis::cmd("SET").arg(key).arg(&*value).arg("PX").arg(ttl_ms).to_owned();
        self.0.commands.run("SET", &command).await.map(drop)
    }
}
