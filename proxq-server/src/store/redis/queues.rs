//! The queues that this process knows, and their keys.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::keys::Keys;
use crate::job::QueueName;
use crate::lock::lock;

/// A queue and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) keys: Keys,
}

impl Queue {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), keys: Keys::of(name) }
    }
}

/// The queues with these names, as [`Keys::queues`] has them.
pub(super) fn with_names<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Vec<QueueName> {
    names.into_iter().filter_map(|name| QueueName::new(std::str::from_utf8(name.as_ref()).ok()?)).collect()
}

/// The queues in which this instance's jobs may be, the configured one first. Queues of other deployments on the same Redis are
/// not among them.
#[derive(Debug)]
pub(super) struct Queues {
    known: Mutex<Vec<Queue>>,
    /// Whether Redis has said which queues the deployment has had.
    are_learned: AtomicBool,
    /// Told when one becomes known.
    added: Notify,
}

impl Queues {
    /// The configured queue, and those of upstreams with flow control.
    pub(super) fn new(home: &str, own: &[QueueName]) -> Self {
        let own = own.iter().map(|queue| Queue::new(queue.as_str()));
        let known = [Queue::new(home)].into_iter().chain(own).collect();
        Self { known: Mutex::new(known), are_learned: AtomicBool::new(false), added: Notify::new() }
    }

    /// Returns when another queue becomes known. Cancel safe: one that nobody waited for is told, too.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    /// The queue of this instance.
    pub(super) fn home(&self) -> Queue {
        lock(&self.known).first().cloned().expect("it is there from the beginning")
    }

    pub(super) fn all(&self) -> Vec<Queue> {
        lock(&self.known).clone()
    }

    /// Knows these queues, which are all that the deployment has had.
    pub(super) fn learn(&self, queues: &[QueueName]) {
        for queue in queues {
            self.named(queue.as_str());
        }
        self.are_learned.store(true, Ordering::Release);
    }

    /// Whether they are known, as far as there are any.
    pub(super) fn are_learned(&self) -> bool {
        self.are_learned.load(Ordering::Acquire)
    }

    /// The queue with this name, which is known from now on.
    pub(super) fn named(&self, name: &str) -> Queue {
        let mut known = lock(&self.known);
        if let Some(queue) = known.iter().find(|queue| queue.name == name) {
            return queue.clone();
        }
        let queue = Queue::new(name);
        known.push(queue.clone());
        self.added.notify_one();
        queue
    }
}
