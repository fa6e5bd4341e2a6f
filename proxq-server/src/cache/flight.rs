//! Equal requests at the same time: one leads, the others wait for what it brings.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::key::Key;

/// The requests that are under way, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    waiting: Arc<Mutex<HashMap<Key, watch::Receiver<Option<Bytes>>>>>,
}

/// What a request does.
#[derive(Debug)]
pub(super) enum Seat {
    /// It is the first of its key.
    Lead(Lead),
    /// It waits for the first.
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
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of its key. Dropped without [`Lead::land`], it brings the others nothing.
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

    /// Gives the others the record that is in the cache by now.
    pub(super) fn land(self, record: Bytes) {
        self.landing.send_replace(Some(record));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

/// One that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    key: Key,
    landing: watch::Receiver<Option<Bytes>>,
}

impl Waiting {
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// What the first brought; `None` if that is nothing.
    pub(super) async fn record(mut self) -> Option<Bytes> {
        let landed = self.landing.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}
