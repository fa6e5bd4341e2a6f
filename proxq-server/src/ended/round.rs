//! A round: all who wait for the same change of a job. They share one watch, and one look at the job after the change.
//!
//! A look is shared only with those who joined before it began: the round is closed first. So nobody gets a state that is
//! older than the change that woke them, or older than their question.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::OnceCell;

use crate::job::{Job, JobId};
use crate::lock::lock;
use crate::store::{JobWatch, StoreError};

/// What a look at a job found.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// The job has ended, or is gone.
    Ended(Option<Arc<Job>>),
    /// The job goes on. Its next change ends this round, which began before the look.
    Open(Arc<Round>),
    /// The job could not be read.
    Failed(Arc<StoreError>),
}

/// The rounds that can be joined, one a job.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    open: Mutex<HashMap<JobId, Weak<Round>>>,
}

impl Rounds {
    /// Joins the job's round, if there is one.
    pub(super) fn open(&self, id: JobId) -> Option<Arc<Round>> {
        self.lock().get(&id)?.upgrade()
    }

    /// Begins a round that this change ends. Joins the one that somebody else has begun meanwhile, if there is one.
    pub(super) fn begin(self: &Arc<Self>, id: JobId, change: JobWatch) -> Arc<Round> {
        let mut open = self.lock();
        if let Some(round) = open.get(&id).and_then(Weak::upgrade) {
            return round;
        }
        let round = Arc::new(Round { id, change: change.shared(), seen: OnceCell::new(), rounds: Arc::clone(self) });
        open.insert(id, Arc::downgrade(&round));
        round
    }

    /// From now on nobody joins this round.
    fn close(&self, round: &Round) {
        let mut open = self.lock();
        // A later round of the same job may have its place.
        if open.get(&round.id).is_some_and(|of_job| ptr::eq(of_job.as_ptr(), round)) {
            open.remove(&round.id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Weak<Round>>> {
        lock(&self.open) // each change of it is one step
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }
}

/// The time until a job's next change.
#[derive(Debug)]
pub(super) struct Round {
    id: JobId,
    change: Shared<JobWatch>,
    seen: OnceCell<Seen>,
    rounds: Arc<Rounds>,
}

impl Round {
    /// Ends when the job changes.
    pub(super) fn change(&self) -> Shared<JobWatch> {
        self.change.clone()
    }

    /// What a look after the change finds. The first who asks looks; if that one is cancelled, the next one does.
    pub(super) async fn seen<'a>(&self, look: impl FnOnce() -> BoxFuture<'a, Seen>) -> Seen {
        let look = || {
            self.rounds.close(self);
            look()
        };
        self.seen.get_or_init(look).await.clone()
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.rounds.close(self);
    }
}
