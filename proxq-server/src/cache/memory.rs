//! Responses in this process: the one that was not asked for the longest goes first, by their number and by their bytes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::key::Key;

/// A single response may take this part of the cache: one that is larger would drive out too many others.
const ENTRY_PART: u64 = 10;

/// Records by key.
///
/// The library knows one bound a cache, so there are two caches, in which the same keys are used in the same order. A
/// record that is driven out for its bytes leaves its key in the other, where it is the next to go, before any that
/// is still in use.
#[derive(Debug)]
pub(super) struct MemoryCache {
    /// Bounded by bytes.
    records: Cache<Key, Bytes>,
    /// Bounded by number. A key that goes takes its record along.
    keys: Cache<Key, ()>,
    entry_bytes_max: u64,
    /// Keeps the order of both the same.
    order: Mutex<()>,
}

impl MemoryCache {
    /// An empty one for up to so many records of so many bytes together, each for this long.
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
        // The library weighs in 32 bits.
        let entry_bytes_max = (max_bytes / ENTRY_PART).min(u32::MAX.into());
        Self { records, keys, entry_bytes_max, order: Mutex::default() }
    }

    /// The longest record that it takes.
    pub(super) fn entry_bytes_max(&self) -> u64 {
        self.entry_bytes_max
    }

    /// The record under a key, which is the last to go from now on.
    pub(super) fn get(&self, key: &Key) -> Option<Bytes> {
        let _order = self.in_order();
        let record = self.records.get(key)?;
        self.keys.get(key)?;
        Some(record)
    }

    /// Keeps a record of no more than [`Self::entry_bytes_max`]. What is too much then is gone on return.
    pub(super) fn put(&self, key: Key, record: Bytes) {
        let _order = self.in_order();
        // First the key: one that takes the place of an expired one takes that one's record along.
        self.keys.insert(key, ());
        self.keys.run_pending_tasks();
        self.records.insert(key, record);
        self.records.run_pending_tasks();
    }

    fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
