//! The cache that all instances share, in the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::key::Key;
use crate::store::{SharedValues, StoreError};

/// The longest shared record, in bytes. It travels in one piece on the connection that also renews leases: at 1 Gb/s it
/// delays them by less than a tenth of a second.
pub(super) const ENTRY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Records by key.
#[derive(Debug)]
pub(super) struct SharedCache {
    values: Arc<dyn SharedValues>,
    prefix: String,
}

impl SharedCache {
    /// A cache whose keys begin with a prefix of the operator's.
    pub(super) fn new(values: Arc<dyn SharedValues>, prefix: &str) -> Self {
        Self { values, prefix: format!("{prefix}cache:v2:") }
    }

    /// The record under a key.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.values.get(&self.name(key)).await
    }

    /// Keeps a record for this long.
    pub(super) async fn put(&self, key: &Key, record: Bytes, lifetime: Duration) -> Result<(), StoreError> {
        self.values.put(&self.name(key), record, lifetime).await
    }

    fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }
}
