//! The blob of a large response. Each step is repeated until the store does it: a response that was received is not
//! fetched again because the store has no room, or does not answer.

use bytes::Bytes;

use super::Worker;
use crate::failure::chain;
use crate::job::{BlobRef, QueueName};
use crate::store::{BlobWriter, StoreError, StorePauses};

impl Worker {
    /// Begins a blob for a job of this queue.
    pub(super) async fn new_blob(&self, queue: &QueueName) -> Box<dyn BlobWriter> {
        let mut pauses = StorePauses::new();
        loop {
            match self.store.new_blob(queue).await {
                Ok(blob) => return blob,
                Err(error) => rest("begin a response's blob", &error, &mut pauses).await,
            }
        }
    }
}

/// Writes a chunk.
pub(super) async fn write(blob: &mut dyn BlobWriter, chunk: Bytes) {
    let mut pauses = StorePauses::new();
    while let Err(error) = blob.write(chunk.clone()).await {
        rest("write a response's blob", &error, &mut pauses).await;
    }
}

/// Finishes a blob.
pub(super) async fn finish(blob: &mut dyn BlobWriter) -> BlobRef {
    let mut pauses = StorePauses::new();
    loop {
        match blob.finish().await {
            Ok(reference) => return reference,
            Err(error) => rest("finish a response's blob", &error, &mut pauses).await,
        }
    }
}

async fn rest(step: &'static str, error: &StoreError, pauses: &mut StorePauses) {
    let pause = pauses.next();
    tracing::error!(step, error = chain(error), ?pause, "keep a response");
    tokio::time::sleep(pause).await;
}
