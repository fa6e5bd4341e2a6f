//! The blobs that this process writes or is about to give to a job. No job refers to them yet, so every sweep has to spare them.

use std::collections::HashMap;
use std::sync::Mutex;

use uuid::Uuid;

use super::queues::Queue;
use crate::lock::lock;

/// The blobs in the hands of this process, each with its queue.
#[derive(Debug, Default)]
pub(super) struct HeldBlobs {
    queues: Mutex<HashMap<Uuid, Queue>>,
}

impl HeldBlobs {
    pub(super) fn hold(&self, blob: Uuid, queue: Queue) {
        lock(&self.queues).insert(blob, queue);
    }

    pub(super) fn let_go(&self, blob: Uuid) {
        lock(&self.queues).remove(&blob);
    }

    /// Those of a queue.
    pub(super) fn of(&self, queue: &Queue) -> Vec<Uuid> {
        let queues = lock(&self.queues);
        queues.iter().filter(|(_, of)| *of == queue).map(|(blob, _)| *blob).collect()
    }
}
