//! Those who wait for one job's next change together: they share the watch, and the look that follows.
//!
//! A look is shared only with those who had joined before it began: a round is closed first. So nobody is told of a state
//! that is older than the change that ended the wait, nor than the question.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::OnceCell;

use crate::job::{Job, JobId};
use crate::store::{JobWatch, StoreError};

/// What a look at a job found.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It has ended, or is gone.
    Ended(Option<Arc<Job>>),
    /// It has not; its next change ends this round, which began before the look.
    Open(Arc<Round>),
    /// It could not be read.
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

    /// Begins a round that this change ends, unless somebody else has begun one meanwhile: then joins that.
    pub(super) fn begin(self: &Arc<Self>, id: JobId, change: JobWatch) -> Arc<Round> {
        let mut open = self.lock();
        if let Some(round) = open.get(&id).and_then(Weak::upgrade) {
            return round;
        }
        let round = Arc::new(Round { id, change: change.shared(), seen: OnceCell::new(), rounds: Arc::clone(self) });
        open.insert(id, Arc::downgrade(&round));
        round
    }

    /// From here on nobody joins this round.
    fn close(&self, round: &Round) {
        let mut open = self.lock();
        // Another one may be in its place.
        if open.get(&round.id).is_some_and(|of_job| ptr::eq(of_job.as_ptr(), round)) {
            open.remove(&round.id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Weak<Round>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner) // each change of it is one step
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

    /// What the first of those whom the change woke finds, by `look`. Should it go away meanwhile, the next one looks.
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
