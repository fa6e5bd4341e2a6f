//! Large bodies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::jobs::Jobs;
use crate::job::BlobRef;
use crate::lock::lock;
use crate::store::{BlobWriter, StoreError};

/// The finished blobs.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    finished: BTreeMap<Uuid, Blob>,
}

#[derive(Debug)]
struct Blob {
    bytes: Bytes,
    /// A writer has it, so that no job need refer to it yet.
    held: bool,
}

impl Blobs {
    /// The bytes of a blob.
    pub(super) fn read(&self, blob: &BlobRef) -> Result<Bytes, StoreError> {
        let found = self.finished.get(&blob.id).map(|found| found.bytes.clone());
        found.ok_or_else(|| StoreError::CorruptBlob { blob: blob.id, what: "it is not there".to_owned() })
    }

    pub(super) fn remove(&mut self, blob: Uuid) {
        self.finished.remove(&blob);
    }

    /// Removes what no writer has and no job refers to.
    pub(super) fn sweep(&mut self, referred: &[Uuid]) {
        self.finished.retain(|id, blob| blob.held || referred.contains(id));
    }

    /// No writer of before has a blob any more.
    pub(super) fn let_go(&mut self) {
        self.finished.values_mut().for_each(|blob| blob.held = false);
    }
}

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
        let finished = BlobRef { id: self.id, length: bytes.len() as u64, checksum: crc32fast::hash(&bytes) };
        lock(&self.jobs).blobs.finished.insert(self.id, Blob { bytes, held: true });
        Ok(finished)
    }

    fn keep(mut self: Box<Self>) {
        self.kept = true;
        if let Some(blob) = lock(&self.jobs).blobs.finished.get_mut(&self.id) {
            blob.held = false;
        }
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if !self.kept {
            lock(&self.jobs).blobs.remove(self.id);
        }
    }
}
