//! Large bodies in the store: what all callers need that read or write them.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::StoreError;
use crate::job::{BlobRef, QueueName};

/// The bytes of a blob, in order.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// Where large bodies are.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync {
    /// Begins a blob for a job of this queue. One that no job refers to is gone within an hour, whatever crashed.
    async fn new_blob(&self, queue: &QueueName) -> Result<Box<dyn BlobWriter>, StoreError>;

    /// The bytes of a blob, whatever the queue of its job. Its length and checksum are verified before the first byte is given.
    async fn open_blob(&self, blob: &BlobRef) -> Result<BlobStream, StoreError>;
}

/// A blob while it is written, in memory that does not depend on its size. Dropped, it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: fmt::Debug + Send {
    /// Appends a chunk. After an error nothing of it counts as written, and it may be written again.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError>;

    /// Makes the blob durable. After an error it may be called again.
    async fn finish(&mut self) -> Result<BlobRef, StoreError>;

    /// Hands the finished blob to the store: a job refers to it, or may do so, or the next sweep removes it.
    fn keep(self: Box<Self>);
}
