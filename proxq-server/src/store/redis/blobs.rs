//! Large bodies. Each is a hash with a field a chunk, numbered from 0. A chunk may be written several times: the last time
//! counts. A reader takes chunks of any length, so what another version wrote can be read.

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

/// The length of most chunks, and how much of each blob is in memory while it is written. Hundreds of uploads at once then take
/// some dozens of MiB, and one upload fills the network all the same: a command costs Redis less than its bytes do.
const CHUNK_BYTES: usize = 64 * 1024;

/// A blob while it is written.
pub(super) struct HashWriter {
    shared: Arc<Shared>,
    queue: Queue,
    id: Uuid,
    /// Chunks that are in Redis.
    written: u64,
    /// The bytes in them.
    written_bytes: u64,
    /// What comes after them, up to `rest_length`. What follows belongs to a write that did not end well.
    rest: BytesMut,
    rest_length: usize,
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
        Self {
            shared,
            queue,
            id,
            written: 0,
            written_bytes: 0,
            rest: BytesMut::new(),
            rest_length: 0,
            checksum: crc32fast::Hasher::new(),
            finished: None,
            kept: false,
        }
    }

    async fn put(&self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let _room = self.shared.room.take(bytes.len()).await;
        self.shared.commands.call(&self.queue.keys, Chunk { blob: self.id, number, bytes }).await
    }

    /// Forgets what a write that did not end well has left.
    fn forget_unwritten(&mut self) {
        self.rest.truncate(self.rest_length);
    }
}

#[async_trait]
impl BlobWriter for HashWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.forget_unwritten();
        let (first, later) = chunk.split_at(chunk.len().min(CHUNK_BYTES - self.rest.len()));
        self.rest.reserve(CHUNK_BYTES - self.rest.len());
        self.rest.extend_from_slice(first);
        if self.rest.len() == CHUNK_BYTES {
            // Nothing counts before all of it is written. After an error the same chunks are written again under the same
            // numbers.
            let mut number = self.written;
            self.put(number, &self.rest).await?;
            let (full, last) = later.as_chunks::<CHUNK_BYTES>();
            for bytes in full {
                number += 1;
                self.put(number, bytes).await?;
            }
            self.written = number + 1;
            self.written_bytes += ((1 + full.len()) * CHUNK_BYTES) as u64;
            self.rest.clear();
            self.rest.extend_from_slice(last);
        }
        self.rest_length = self.rest.len();
        self.checksum.update(&chunk);
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobRef, StoreError> {
        if let Some(finished) = self.finished {
            return Ok(finished);
        }
        self.forget_unwritten();
        if !self.rest.is_empty() || self.written == 0 {
            self.put(self.written, &self.rest).await?;
        }
        let length = self.written_bytes + self.rest.len() as u64;
        let finished = BlobRef { id: self.id, length, checksum: self.checksum.clone().finalize() };
        self.rest = BytesMut::new(); // not needed while the job is submitted
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
    let first = chunk(shared, &key, blob.id, 0).await?;
    let (mut length, mut checksum) = (first.len() as u64, crc32fast::Hasher::new());
    checksum.update(&first);
    if length == blob.length {
        verify(&blob, length, checksum.finalize())?;
        return Ok(stream::iter([Ok(first)]).boxed());
    }
    drop(first);
    let mut chunks = 1;
    while length < blob.length {
        let bytes = chunk(shared, &key, blob.id, chunks).await?;
        length += bytes.len() as u64;
        checksum.update(&bytes);
        chunks += 1;
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

/// One chunk, which is not empty unless it is the only one.
async fn chunk(shared: &Shared, key: &str, blob: Uuid, number: u64) -> Result<Bytes, StoreError> {
    let _room = shared.room.take(CHUNK_BYTES).await;
    let bytes = shared.commands.run("HGET", redis::cmd("HGET").arg(key).arg(number)).await?.bytes()?;
    bytes
        .filter(|bytes| number == 0 || !bytes.is_empty())
        .ok_or_else(|| StoreError::CorruptBlob { blob, what: format!("chunk {number} is not there") })
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
