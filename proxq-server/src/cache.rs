//! The response cache, which a worker asks before it calls an upstream. In: a job's request. Out: the response to an
//! equal request, or a [`Miss`], with which the upstream's response is handed in afterwards.
//!
//! Of concurrent equal jobs one calls the upstream ([`flight`]). [`mod@key`] decides which jobs are equal, [`policy`] what
//! may be kept. Responses are kept as the bytes of a [`record`], in [`memory`] or [`shared`] by all instances in the
//! store. A failing cache costs a job some time and nothing else.

mod flight;
mod key;
mod memory;
mod policy;
mod record;
mod shared;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::sync::Semaphore;

pub(crate) use self::flight::Waiting;
use self::flight::{Flights, Lead, Seat};
pub(crate) use self::key::{Key, key};
use self::memory::MemoryCache;
use self::policy::Freshness;
use self::record::{Kept, Unreadable, Writing};
use self::shared::SharedCache;
use crate::clock::Clock;
use crate::config::{CacheConfig, CacheMode, KeyExclusions};
use crate::failure::chain;
use crate::job::{Body, JobRequest, ResponseHead, StoredResponse};
use crate::metrics::{IntCounter, Metrics};
use crate::multipart::digest;
use crate::store::{BlobStore, SharedValues, StoreError};

/// How long a job waits at most for a lookup: far longer than one takes, and short beside a call of an upstream that is
/// worth a cache.
const FIND_LIMIT: Duration = Duration::from_millis(500);
/// How long keeping a response may delay the end of its job: enough for the largest response.
const KEEP_LIMIT: Duration = Duration::from_secs(2);

/// Responses for equal requests.
#[derive(Debug)]
pub(crate) struct ResponseCache {
    place: Place,
    /// How long a response is kept at most.
    ttl: Duration,
    clock: Clock,
    flights: Flights,
    /// Large responses are read back from the store one at a time, so that only one is in memory.
    reading_back: Semaphore,
    /// How often the cache failed.
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Place {
    Memory(MemoryCache),
    Shared(SharedCache),
}

/// What the cache says about a request.
#[derive(Debug)]
pub(crate) enum Asked {
    /// What it has.
    Found(Found),
    /// An equal request is under way; its response may be shared.
    UnderWay(Waiting),
}

/// What the cache has for a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// The response to an equal request.
    Hit(Cached),
    /// Nothing.
    Miss(Miss),
}

/// A response that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) head: ResponseHead,
    pub(crate) body: Bytes,
    /// How long ago the upstream made it.
    pub(crate) age: Duration,
    /// How long it may still be served.
    pub(crate) left: Duration,
}

/// Nothing was found for a request. Dropped, it lets equal requests that wait go on by themselves.
#[derive(Debug)]
pub(crate) enum Miss {
    /// The request cannot be answered from the cache.
    PassesBy,
    /// Equal requests may wait for the response.
    Leads(Lead),
    /// Nobody waits for it: an equal request has just ended without a response for the cache.
    Alone(Key),
}

/// Why the cache failed.
#[derive(Debug, thiserror::Error)]
enum CacheError {
    #[error("the store did not do it")]
    Store(#[from] StoreError),
    #[error("it took longer than {0:?}")]
    Slow(Duration),
    #[error("what is kept is damaged")]
    Damaged,
}

impl ResponseCache {
    /// The cache of this configuration, if there is one. `shared` is what all instances have in common.
    pub(crate) fn open(
        config: &CacheConfig,
        shared: Option<Arc<dyn SharedValues>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Option<Arc<Self>> {
        let place = match (config.mode, shared) {
            (CacheMode::None, _) => return None,
            (CacheMode::Memory, _) => Place::Memory(MemoryCache::new(config.max_entries, config.max_bytes, config.ttl)),
            (CacheMode::Redis, Some(values)) => Place::Shared(SharedCache::new(values, &config.redis_key_prefix)),
            (CacheMode::Redis, None) => {
                tracing::warn!("cache.mode is redis, and the jobs are not in Redis; nothing is cached");
                return None;
            }
        };
        let (flights, reading_back) = (Flights::default(), Semaphore::new(1));
        Some(Arc::new(Self { place, ttl: config.ttl, clock, flights, reading_back, metrics }))
    }

    /// Looks for the response to a request, for no longer than [`FIND_LIMIT`]. Cancel safe.
    pub(crate) async fn ask(&self, request: &JobRequest, body: &Body, exclusions: &KeyExclusions) -> Asked {
        let Some(key) = key_of(request, body, exclusions) else { return Asked::Found(Found::Miss(Miss::PassesBy)) };
        let lead = match self.flights.board(key) {
            Seat::Lead(lead) => lead,
            Seat::Wait(waiting) => return Asked::UnderWay(waiting),
        };
        Asked::Found(match self.read(&key).await {
            Some((record, response)) => {
                lead.land(record);
                Found::Hit(response)
            }
            None => Found::Miss(Miss::Leads(lead)),
        })
    }

    /// The response of an equal request, once that request has ended. Cancel safe.
    pub(crate) async fn landed(&self, waiting: Waiting) -> Found {
        let key = waiting.key();
        match waiting.record().await.and_then(|record| self.opened(&key, record)) {
            Some(response) => Found::Hit(response),
            None => Found::Miss(Miss::Alone(key)),
        }
    }

    /// Keeps the upstream's response after a miss, if it may be kept. `exclusions` are those of the lookup. Returns whether
    /// it is kept.
    pub(crate) async fn keep(
        &self,
        miss: Miss,
        response: &StoredResponse,
        exclusions: &KeyExclusions,
        store: &dyn BlobStore,
    ) -> bool {
        let (key, lead) = match miss {
            Miss::PassesBy => return false,
            Miss::Leads(lead) => (lead.key(), Some(lead)),
            Miss::Alone(key) => (key, None),
        };
        let freshness = policy::freshness(&response.head, |name| key::holds(name, exclusions), self.ttl);
        let Some(freshness) = freshness.filter(|_| response.body.length() <= self.entry_bytes_max()) else {
            return false;
        };
        let kept = tokio::time::timeout(KEEP_LIMIT, self.write(&key, response, freshness, store)).await;
        match kept.unwrap_or(Err(CacheError::Slow(KEEP_LIMIT))) {
            Ok(Some(record)) => {
                if let Some(lead) = lead {
                    lead.land(record);
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.failed("keep a response", &self.metrics.cache.failures.keep, &error);
                false
            }
        }
    }

    fn entry_bytes_max(&self) -> u64 {
        match &self.place {
            Place::Memory(memory) => memory.entry_bytes_max(),
            Place::Shared(_) => shared::ENTRY_BYTES_MAX,
        }
    }

    /// The record under a key, and the response in it.
    async fn read(&self, key: &Key) -> Option<(Bytes, Cached)> {
        let record = match &self.place {
            Place::Memory(memory) => memory.get(key),
            Place::Shared(shared) => {
                let read = tokio::time::timeout(FIND_LIMIT, shared.get(key)).await;
                let read = read.map_or(Err(CacheError::Slow(FIND_LIMIT)), |read| read.map_err(CacheError::from));
                read.unwrap_or_else(|error| {
                    self.failed("look for a response", &self.metrics.cache.failures.find, &error);
                    None
                })
            }
        }?;
        let response = self.opened(key, record.clone())?;
        Some((record, response))
    }

    /// The response in a record, unless it has expired.
    fn opened(&self, key: &Key, record: Bytes) -> Option<Cached> {
        match record::open(key, record) {
            Ok(Kept { at, freshness, head, body }) => {
                let since = self.clock.wall().since(at);
                let left = freshness.lifetime.checked_sub(since).filter(|left| !left.is_zero())?;
                Some(Cached { head, body, age: freshness.age.saturating_add(since), left })
            }
            Err(Unreadable::Newer(version)) => {
                tracing::debug!(version, "a cached response was written by a later version of proxq");
                None
            }
            Err(Unreadable::Damaged) => {
                self.failed("read a response", &self.metrics.cache.failures.read, &CacheError::Damaged);
                None
            }
        }
    }

    /// Keeps a response. Returns its record, unless that is too large.
    async fn write(
        &self,
        key: &Key,
        response: &StoredResponse,
        freshness: Freshness,
        store: &dyn BlobStore,
    ) -> Result<Option<Bytes>, CacheError> {
        let mut head = response.head.clone();
        for name in response.head.headers.keys().filter(|name| policy::is_for_one_answer(name)) {
            head.headers.remove(name);
        }
        let begin = || Writing::begin(self.clock.wall(), freshness, &head, response.body.length());
        let (record, _reading) = match &response.body {
            Body::Inline(bytes) => {
                let mut record = begin();
                record.append(bytes);
                (record, None)
            }
            Body::Blob(blob) => {
                let reading = self.reading_back.acquire().await.expect("the semaphore is never closed");
                let mut record = begin();
                let mut chunks = store.open_blob(blob).await?;
                while let Some(chunk) = chunks.try_next().await? {
                    record.append(&chunk);
                }
                (record, Some(reading))
            }
        };
        let record = record.finish(key);
        if record.len() as u64 > self.entry_bytes_max() {
            return Ok(None);
        }
        match &self.place {
            Place::Memory(memory) => memory.put(*key, record.clone()),
            Place::Shared(shared) => shared.put(key, record.clone(), freshness.lifetime).await?,
        }
        Ok(Some(record))
    }

    fn failed(&self, step: &'static str, counter: &IntCounter, error: &(dyn StdError + 'static)) {
        counter.inc();
        let failures = self.metrics.cache.failures.total();
        tracing::warn!(step, error = chain(error), failures, "the response cache failed; its job goes on without it");
    }
}

/// The key of a request, if the cache may answer it.
fn key_of(request: &JobRequest, body: &Body, exclusions: &KeyExclusions) -> Option<Key> {
    if !policy::may_be_answered(&request.headers) {
        return None;
    }
    let digest = match body {
        Body::Inline(bytes) => digest(&request.headers, bytes),
        Body::Blob(_) => request.body_sha256?, // an instance without a cache accepts jobs without a digest
    };
    Some(key(request, &digest, exclusions))
}

#[cfg(test)]
mod tests;
