//! Large bodies.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::job::BlobRef;
use crate::store::StoreError;

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

    /// Adds a finished blob, which its writer still has.
    pub(super) fn hold(&mut self, blob: Uuid, bytes: Bytes) {
        self.finished.insert(blob, Blob { bytes, held: true });
    }

    /// Its writer has left it to the store.
    pub(super) fn release(&mut self, blob: Uuid) {
        if let Some(blob) = self.finished.get_mut(&blob) {
            blob.held = false;
        }
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
