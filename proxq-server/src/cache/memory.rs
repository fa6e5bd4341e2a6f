//! The cache in this process: bounded by entries and by bytes, the least recently used response goes first.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::key::Key;
use crate::lock::lock;

/// The largest part of the cache that one response may take (1/10): a larger one would evict too many others.
const ENTRY_PART: u64 = 10;

/// Records by key.
///
/// The library has one bound per cache, so there are two caches, in which the same keys are used in the same order. A
/// record that is evicted for its bytes leaves its key in the other cache, where it is evicted next, before any key that
/// is still in use.
#[derive(Debug)]
pub(super) struct MemoryCache {
    /// Bounded by bytes.
    records: Cache<Key, Bytes>,
    /// Bounded by number. An evicted key removes its record, too.
    keys: Cache<Key, ()>,
    entry_bytes_max: u64,
    /// Keeps the order of both the same.
    order: Mutex<()>,
}

impl MemoryCache {
    /// An empty cache for this many records and bytes in total; each record lives for `ttl`.
    pub(super) fn new(max_entries: u64, max_bytes: u64, ttl: Duration) -> Self {
        let records = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(max_bytes)
            .weigher(|_, record: &Bytes| u32::try_from(record.len()).unwrap_or(u32::MAX))
            .time_to_live(ttl)
            .build();
        let of_keys = records.clone();
        let keys = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(max_entries)
            .time_to_live(ttl)
            .eviction_listener(move |key, (), cause| {
                if cause.was_evicted() {
                    of_keys.invalidate(&*key);
                }
            })
            .build();
        // The library's weights are 32-bit numbers.
        let entry_bytes_max = (max_bytes / ENTRY_PART).min(u32::MAX.into());
        Self { records, keys, entry_bytes_max, order: Mutex::default() }
    }

    /// The longest record that it keeps, in bytes.
    pub(super) fn entry_bytes_max(&self) -> u64 {
        self.entry_bytes_max
    }

    /// The record under a key, which is now the most recently used.
    pub(super) fn get(&self, key: &Key) -> Option<Bytes> {
        let _order = self.in_order();
        let record = self.records.get(key)?;
        self.keys.get(key)?;
        Some(record)
    }

    /// Keeps a record of at most [`Self::entry_bytes_max`]. On return the cache is within its bounds again.
    pub(super) fn put(&self, key: Key, record: Bytes) {
        let _order = self.in_order();
        // The key goes first: replacing an expired key removes that key's record.
        self.keys.insert(key, ());
        self.keys.run_pending_tasks();
        self.records.insert(key, record);
        self.records.run_pending_tasks();
    }

    fn in_order(&self) -> MutexGuard<'_, ()> {
        lock(&self.order)
    }
}

#[cfg(test)]
mod tests;
