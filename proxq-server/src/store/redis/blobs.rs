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

/// The longest chunk, and the most that is gathered of a blob in memory. Hundreds of uploads at once then take some dozens of
/// MiB, and one upload fills the network all the same: a command costs Redis less than its bytes do.
const CHUNK_BYTES: usize = 64 * 1024;
/// A piece of this length is written as it is. Below that, a command costs more than it takes to gather its bytes.
const PIECE_BYTES: usize = CHUNK_BYTES / 2;

/// The chunks of a blob that are asked for at once while it is checked, so that Redis and this side work at the same time.
const AHEAD: usize = 4;

/// A blob while it is written.
pub(super) struct HashWriter {
    shared: Arc<Shared>,
    queue: Queue,
    id: Uuid,
    /// Chunks that are in Redis.
    written: u64,
    /// What comes after them.
    rest: BytesMut,
    /// How long both are together.
    length: u64,
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
            rest: BytesMut::new(),
            length: 0,
            checksum: crc32fast::Hasher::new(),
            finished: None,
            kept: false,
        }
    }

    async fn put(&self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let _room = self.shared.room.take(bytes.len()).await;
        self.shared.commands.call(&self.queue.keys, Chunk { blob: self.id, number, bytes }).await
    }
}

#[async_trait]
impl BlobWriter for HashWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if chunk.len() < PIECE_BYTES && self.rest.len() + chunk.len() <= CHUNK_BYTES {
            self.rest.extend_from_slice(&chunk);
        } else {
            // Nothing counts before all of it is written. After an error the same numbers are written again.
            let mut number = self.written;
            if !self.rest.is_empty() {
                self.put(number, &self.rest).await?;
                number += 1;
            }
            let mut left = &chunk[..];
            while left.len() >= PIECE_BYTES {
                let (piece, later) = left.split_at(left.len().min(CHUNK_BYTES));
                self.put(number, piece).await?;
                number += 1;
                left = later;
            }
            self.written = number;
            self.rest = BytesMut::from(left);
        }
        self.length += chunk.len() as u64;
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
        let finished =
            BlobRef { id: self.id, length: self.length, checksum: self.checksum.clone().finalize(), seal: None };
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
    let read = {
        let (shared, key) = (Arc::clone(shared), key);
        move |number| {
            let (shared, key) = (Arc::clone(&shared), key.clone());
            async move { chunk(&shared, &key, blob.id, number).await }
        }
    };
    let mut chunks = 1;
    let mut later = Box::pin(stream::iter(chunks..).map(&read).buffered(AHEAD));
    while length < blob.length {
        let bytes = later.try_next().await?.expect("chunks are counted without an end");
        length += bytes.len() as u64;
        checksum.update(&bytes);
        chunks += 1;
    }
    drop(later);
    verify(&blob, length, checksum.finalize())?;
    // One after the other: what is ahead would take room for as long as its reader takes for what comes before it.
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
