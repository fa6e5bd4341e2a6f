//! The states in which watched jobs were last seen, while servers of asynq work on our queues: those tell nobody of a change.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

use crate::job::JobId;
use crate::lock::lock;

/// A job's state in asynq's word; `None` if the job is gone.
type Seen = Option<Bytes>;

/// The states of watched jobs.
#[derive(Debug, Default)]
pub(super) struct SeenStates {
    last: Mutex<HashMap<JobId, Seen>>,
}

impl SeenStates {
    /// Forgets all of them.
    pub(super) fn clear(&self) {
        lock(&self.last).clear();
    }

    /// Remembers the states of all watched jobs. Gives the jobs that are not known to be as they were; a job that is seen for
    /// the first time is one of them, for its watcher may have read it before it changed.
    pub(super) fn replace(&self, states: HashMap<JobId, Seen>) -> Vec<JobId> {
        let mut last = lock(&self.last);
        let changed = states.iter().filter(|(id, state)| last.get(id) != Some(state)).map(|(id, _)| *id).collect();
        *last = states;
        changed
    }
}
