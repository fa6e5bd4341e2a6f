//! Concurrent equal requests: the first calls the upstream, the others wait for its result.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;

use super::key::Key;
use crate::lock::lock;

/// The requests that are under way, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    waiting: Arc<Mutex<HashMap<Key, watch::Receiver<Option<Bytes>>>>>,
}

/// The role of a request among its equals.
#[derive(Debug)]
pub(super) enum Seat {
    /// It is the first of its key.
    Lead(Lead),
    /// It waits for the first one.
    Wait(Waiting),
}

impl Flights {
    /// A seat for a request with this key.
    pub(super) fn board(&self, key: Key) -> Seat {
        match self.lock().entry(key) {
            Entry::Occupied(flight) => Seat::Wait(Waiting { key, landing: flight.get().clone() }),
            Entry::Vacant(flight) => {
                let (landing, waiting) = watch::channel(None);
                flight.insert(waiting);
                Seat::Lead(Lead { flights: self.clone(), key, landing })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Bytes>>>> {
        lock(&self.waiting)
    }
}

/// The first request of its key. Dropped without [`Lead::land`], it lets the others go on without a result.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Flights,
    key: Key,
    landing: watch::Sender<Option<Bytes>>,
}

impl Lead {
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Gives the others the record, which is in the cache already.
    pub(super) fn land(self, record: Bytes) {
        self.landing.send_replace(Some(record));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

/// A request that waits for the first one.
#[derive(Debug)]
pub(crate) struct Waiting {
    key: Key,
    landing: watch::Receiver<Option<Bytes>>,
}

impl Waiting {
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// The first one's record; `None` if it brought none.
    pub(super) async fn record(mut self) -> Option<Bytes> {
        let landed = self.landing.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}
