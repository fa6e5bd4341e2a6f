//! Jobs that are sealed with a key which this process does not have: they wait, and nobody makes an attempt at them.

use std::sync::Mutex;
use std::time::Duration;

use super::StoreError;
use crate::clock::{Clock, Timestamp};
use crate::job::JobId;
use crate::lock::lock;
use crate::sealing::KeyId;

/// How long such a job waits before somebody looks at it again, who may have the key. Seldom enough for many to cost little, and
/// often enough for a person who has just brought the key.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Whether such jobs have been met lately.
#[derive(Debug, Default)]
pub(super) struct LockedJobs {
    last: Mutex<Option<(KeyId, Timestamp)>>,
}

impl LockedJobs {
    /// A worker met this job, which waits on.
    pub(super) fn met(&self, id: JobId, key: KeyId, clock: Clock) {
        let known = self.lately(clock);
        *lock(&self.last) = Some((key, clock.steady()));
        if known != Some(key) {
            tracing::error!(job.id = %id, %key, "jobs are sealed with a key that is not configured here; they wait for it");
        }
    }

    /// Fails if one was met lately.
    pub(super) fn none_lately(&self, clock: Clock) -> Result<(), StoreError> {
        self.lately(clock).map_or(Ok(()), |key| Err(StoreError::KeyMissing { key }))
    }

    fn lately(&self, clock: Clock) -> Option<KeyId> {
        let last = *lock(&self.last);
        last.filter(|(_, at)| clock.steady().since(*at) < 2 * LOOK_AGAIN_AFTER).map(|(key, _)| key)
    }
}
