//! Which credentials are held back, as this process was told last: upkeep asks once a second.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::clock::Timestamp;
use crate::lock::lock;
use crate::store::HeldBack;

/// The credentials, by queue and name.
#[derive(Debug, Default)]
pub(super) struct KnownHeldBack(Mutex<HashMap<String, HashMap<String, Until>>>);

/// Until when, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    pub(super) until: Timestamp,
    pub(super) why: HeldBack,
}

impl KnownHeldBack {
    /// Replaces what is known of a queue.
    pub(super) fn replace(&self, queue: &str, credentials: HashMap<String, Until>) {
        if credentials.is_empty() {
            lock(&self.0).remove(queue);
        } else {
            lock(&self.0).insert(queue.to_owned(), credentials);
        }
    }

    /// Notes a credential until upkeep asks again.
    pub(super) fn note(&self, queue: &str, credential: String, until: Until) {
        lock(&self.0).entry(queue.to_owned()).or_default().insert(credential, until);
    }

    /// Why a credential is held back, if it is.
    pub(super) fn why(&self, queue: &str, credential: &str, now: Timestamp) -> Option<HeldBack> {
        let known = lock(&self.0);
        known.get(queue)?.get(credential).filter(|held| held.until > now).map(|held| held.why)
    }
}
