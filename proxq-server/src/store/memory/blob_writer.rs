//! A blob while it is written.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::jobs::Jobs;
use crate::job::BlobRef;
use crate::lock::lock;
use crate::store::{BlobWriter, StoreError};

/// A blob while it is written.
#[derive(Debug)]
pub(super) struct MemoryWriter {
    jobs: Arc<Mutex<Jobs>>,
    id: Uuid,
    bytes: BytesMut,
    kept: bool,
}

impl MemoryWriter {
    pub(super) fn begin(jobs: Arc<Mutex<Jobs>>) -> Self {
        Self { jobs, id: Uuid::new_v4(), bytes: BytesMut::new(), kept: false }
    }
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobRef, StoreError> {
        let bytes = Bytes::copy_from_slice(&self.bytes);
        let finished =
            BlobRef { id: self.id, length: bytes.len() as u64, checksum: crc32fast::hash(&bytes), seal: None };
        lock(&self.jobs).blobs.hold(self.id, bytes);
        Ok(finished)
    }

    fn keep(mut self: Box<Self>) {
        self.kept = true;
        lock(&self.jobs).blobs.release(self.id);
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if !self.kept {
            lock(&self.jobs).blobs.remove(self.id);
        }
    }
}
