//! The signals of a store to those who wait: to workers that something is due, to watchers that a job has changed, to
//! attempts that their lease is gone. They live in memory, whatever keeps the jobs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::job::JobId;
use crate::lock::lock;
use crate::store::JobWatch;

/// A signal. It is sent when the change that caused it is durable.
#[derive(Debug)]
pub(super) enum Effect {
    /// A job of this queue is pending.
    Ready(Arc<QueueSignal>),
    /// A job of this queue will be due then.
    DueAt(Arc<QueueSignal>, Timestamp),
    /// The first of the queue's waiting jobs is due then.
    NextDue(Arc<QueueSignal>, Option<Timestamp>),
    /// Whether jobs of this queue do not begin, by an operator's order.
    Paused(Arc<QueueSignal>, bool),
    /// A watched job may have changed.
    Changed(JobId),
    /// A job was leased.
    Leased(JobId, CancellationToken),
    /// A lease was settled by its owner.
    Settled(JobId),
    /// A lease was taken from its owner.
    Revoked(JobId),
}

/// Everyone who waits.
#[derive(Debug, Default)]
pub(super) struct Signals {
    queues: Mutex<HashMap<String, Arc<QueueSignal>>>,
    watched: Arc<Watched>,
    leased: Mutex<HashMap<JobId, CancellationToken>>,
}

impl Signals {
    /// The signal of a queue, made if there is none.
    pub(super) fn queue(&self, name: &str) -> Arc<QueueSignal> {
        let mut queues = lock(&self.queues);
        if let Some(signal) = queues.get(name) {
            return Arc::clone(signal);
        }
        let signal = Arc::new(QueueSignal::new(name.to_owned()));
        queues.insert(name.to_owned(), Arc::clone(&signal));
        signal
    }

    /// The queues that were heard of.
    pub(super) fn queues(&self) -> Vec<Arc<QueueSignal>> {
        lock(&self.queues).values().map(Arc::clone).collect()
    }

    /// Ends at the job's next change. Changes count from this call on, whether the future is polled or not.
    pub(super) fn watch(&self, id: JobId) -> JobWatch {
        let subscription = self.watched.subscribe(id);
        let changed = Arc::clone(&subscription.changed).notified_owned(); // is woken from here on, polled or not
        Box::pin(async move {
            changed.await;
            drop(subscription);
        })
    }

    /// Wakes every watcher: changes may have been missed.
    pub(super) fn all_changed(&self) {
        for watchers in lock(&self.watched.jobs).values() {
            watchers.changed.notify_waiters();
        }
    }

    /// The jobs that somebody watches.
    pub(super) fn watched(&self) -> Vec<JobId> {
        lock(&self.watched.jobs).keys().copied().collect()
    }

    /// Sends a signal.
    pub(super) fn apply(&self, effect: Effect) {
        match effect {
            Effect::Ready(queue) => queue.ready.notify_one(),
            Effect::DueAt(queue, instant) => queue.due_at(instant),
            Effect::NextDue(queue, instant) => {
                queue.next_due.send_if_modified(|next| std::mem::replace(next, instant) != instant);
            }
            Effect::Paused(queue, paused) => queue.paused.store(paused, Ordering::Release),
            Effect::Changed(id) => self.watched.notify(id),
            Effect::Leased(id, revoked) => {
                lock(&self.leased).insert(id, revoked);
            }
            Effect::Settled(id) => {
                lock(&self.leased).remove(&id);
            }
            Effect::Revoked(id) => {
                if let Some(revoked) = lock(&self.leased).remove(&id) {
                    revoked.cancel();
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (lock(&self.watched.jobs).len(), lock(&self.leased).len())
    }
}

/// Wakes the workers of one queue.
#[derive(Debug)]
pub(super) struct QueueSignal {
    pub(super) name: String,
    ready: Notify,
    next_due: watch::Sender<Option<Timestamp>>,
    paused: AtomicBool,
}

impl QueueSignal {
    fn new(name: String) -> Self {
        Self { name, ready: Notify::new(), next_due: watch::Sender::new(None), paused: AtomicBool::new(false) }
    }

    /// Whether its jobs do not begin, as far as this process was told.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    fn due_at(&self, instant: Timestamp) {
        self.next_due.send_if_modified(|next| {
            let sooner = next.is_none_or(|next| instant < next);
            if sooner {
                *next = Some(instant);
            }
            sooner
        });
    }

    /// Returns when a job was made ready, or the first of those that wait is due.
    pub(super) async fn due(&self, clock: Clock) {
        let mut next_due = self.next_due.subscribe();
        loop {
            let next = *next_due.borrow_and_update();
            let reached = async {
                match next {
                    Some(instant) => clock.steady_reaches(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.ready.notified() => return,
                () = reached => return,
                _ = next_due.changed() => {} // it is due sooner or later than before
            }
        }
    }
}

/// The jobs that somebody watches.
#[derive(Debug, Default)]
struct Watched {
    jobs: Mutex<HashMap<JobId, Watchers>>,
}

#[derive(Debug)]
struct Watchers {
    count: usize,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Subscription {
    id: JobId,
    changed: Arc<Notify>,
    watched: Arc<Watched>,
}

impl Watched {
    fn subscribe(self: &Arc<Self>, id: JobId) -> Subscription {
        let mut jobs = lock(&self.jobs);
        let watchers = jobs.entry(id).or_insert_with(|| Watchers { count: 0, changed: Arc::default() });
        watchers.count += 1;
        Subscription { id, changed: Arc::clone(&watchers.changed), watched: Arc::clone(self) }
    }

    fn notify(&self, id: JobId) {
        if let Some(watchers) = lock(&self.jobs).get(&id) {
            watchers.changed.notify_waiters();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut jobs = lock(&self.watched.jobs);
        if let Some(watchers) = jobs.get_mut(&self.id) {
            watchers.count -= 1;
            if watchers.count == 0 {
                jobs.remove(&self.id);
            }
        }
    }
}
