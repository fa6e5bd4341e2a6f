//! Large bodies. Each is a hash with a field a chunk of 1 MiB. A chunk may be written several times: the last time counts.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::queues::Queue;
use super::scripts::{Chunk, DropBlob};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::BlobRef;
use crate::store::{BlobStream, BlobWriter, StoreError};

/// The length of every chunk but the last. One command carries so much, and so much of a blob is in memory.
const CHUNK_BYTES: usize = 1 << 20;

/// A blob while it is written.
pub(super) struct HashWriter {
    shared: Arc<Shared>,
    queue: Queue,
    id: Uuid,
    /// Chunks that are in Redis.
    written: u64,
    /// What comes after them.
    rest: BytesMut,
    checksum: crc32fast::Hasher,
    finished: Option<BlobRef>,
    kept: bool,
}

impl fmt::Debug for HashWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashWriter").field("id", &self.id).field("written", &self.written).finish_non_exhaustive()
    }
}

impl HashWriter {
    /// Begins a blob among the keys of its job's queue. Nothing is written yet.
    pub(super) fn begin(shared: Arc<Shared>, queue: Queue) -> Self {
        let id = Uuid::new_v4();
        shared.blobs.hold(id, queue.clone());
        let checksum = crc32fast::Hasher::new();
        Self { shared, queue, id, written: 0, rest: BytesMut::new(), checksum, finished: None, kept: false }
    }

    async fn put(&self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.shared.commands.call(&self.queue.keys, Chunk { blob: self.id, number, bytes }).await
    }

    fn length(&self) -> u64 {
        self.written * CHUNK_BYTES as u64 + self.rest.len() as u64
    }
}

#[async_trait]
impl BlobWriter for HashWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if self.rest.len() + chunk.len() < CHUNK_BYTES {
            self.rest.extend_from_slice(&chunk);
            self.checksum.update(&chunk);
            return Ok(());
        }
        // Nothing counts before all of it is written. After an error the same chunks are written again under the same numbers.
        let mut rest = self.rest.clone();
        let (mut written, mut left) = (self.written, &chunk[..]);
        loop {
            let (now, later) = left.split_at(left.len().min(CHUNK_BYTES - rest.len()));
            rest.extend_from_slice(now);
            left = later;
            if rest.len() < CHUNK_BYTES {
                break;
            }
            self.put(written, &rest).await?;
            written += 1;
            rest.clear();
        }
        (self.written, self.rest) = (written, rest);
        self.checksum.update(&chunk);
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobRef, StoreError> {
        if let Some(finished) = self.finished {
            return Ok(finished);
        }
        if !self.rest.is_empty() || self.written == 0 {
            self.put(self.written, &self.rest).await?;
        }
        let finished = BlobRef { id: self.id, length: self.length(), checksum: self.checksum.clone().finalize() };
        self.finished = Some(finished);
        Ok(finished)
    }

    fn keep(mut self: Box<Self>) {
        self.kept = true;
    }
}

impl Drop for HashWriter {
    fn drop(&mut self) {
        self.shared.blobs.let_go(self.id);
        if self.kept {
            return;
        }
        let (shared, queue, id) = (Arc::clone(&self.shared), self.queue.clone(), self.id);
        self.shared.tasks.spawn(async move {
            if let Err(error) = shared.commands.call(&queue.keys, DropBlob { blob: id }).await {
                tracing::debug!(error = chain(&error), "a blob is left to the sweep");
            }
        });
    }
}

/// The bytes of a blob. Checks its length and its checksum first.
pub(super) async fn stream(shared: &Arc<Shared>, blob: BlobRef) -> Result<BlobStream, StoreError> {
    let key = find(shared, blob.id).await?;
    let chunks = blob.length.div_ceil(CHUNK_BYTES as u64).max(1);
    if chunks == 1 {
        let bytes = chunk(shared, &key, blob.id, 0).await?;
        verify(&blob, bytes.len() as u64, crc32fast::hash(&bytes))?;
        return Ok(stream::iter([Ok(bytes)]).boxed());
    }
    let (mut length, mut checksum) = (0, crc32fast::Hasher::new());
    for number in 0..chunks {
        let bytes = chunk(shared, &key, blob.id, number).await?;
        length += bytes.len() as u64;
        checksum.update(&bytes);
    }
    verify(&blob, length, checksum.finalize())?;
    let shared = Arc::clone(shared);
    let read = move |number| {
        let (shared, key) = (Arc::clone(&shared), key.clone());
        async move { chunk(&shared, &key, blob.id, number).await }
    };
    Ok(stream::iter(0..chunks).map(Ok).and_then(read).boxed())
}

/// The key of a blob, in whichever queue it is.
async fn find(shared: &Shared, blob: Uuid) -> Result<String, StoreError> {
    for queue in shared.queues.all() {
        let key = queue.keys.blob(blob);
        if shared.commands.run("EXISTS", redis::cmd("EXISTS").arg(&key)).await?.number()? == 1 {
            return Ok(key);
        }
    }
    Err(StoreError::CorruptBlob { blob, what: "it is not there".to_owned() })
}

async fn chunk(shared: &Shared, key: &str, blob: Uuid, number: u64) -> Result<Bytes, StoreError> {
    let bytes = shared.commands.run("HGET", redis::cmd("HGET").arg(key).arg(number)).await?.bytes()?;
    bytes.ok_or_else(|| StoreError::CorruptBlob { blob, what: format!("chunk {number} is not there") })
}

fn verify(blob: &BlobRef, length: u64, checksum: u32) -> Result<(), StoreError> {
    let damaged = |what| Err(StoreError::CorruptBlob { blob: blob.id, what });
    if length != blob.length {
        return damaged(format!("it has {length} bytes instead of {}", blob.length));
    }
    if checksum != blob.checksum {
        return damaged("its checksum is another".to_owned());
    }
    Ok(())
}
