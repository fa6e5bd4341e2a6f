//! Values beside the jobs: what all instances of a deployment have in common for a while.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;

/// A place for values that nobody misses: any may be gone at any time.
#[async_trait]
pub trait SharedValues: fmt::Debug + Send + Sync {
    /// The value under a key.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Keeps a value under a key, in place of the one that is there, for this long, in whole milliseconds.
    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError>;
}
