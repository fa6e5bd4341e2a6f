//! Why a store did not do as it was told.

use std::io;

use uuid::Uuid;

use crate::job::JobId;
use crate::sealing::KeyId;

/// Why a store did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The job has been handed on, cancelled or settled since the lease was given.
    #[error("the lease on job {id} is gone")]
    LeaseLost {
        /// The job.
        id: JobId,
    },
    /// What is stored cannot be read, or does not match its checksum.
    #[error("{what} of job {id} cannot be read, or does not match its checksum")]
    CorruptJob {
        /// The job.
        id: JobId,
        /// Which part of it.
        what: &'static str,
    },
    /// A blob does not match its checksum or its length.
    #[error("blob {blob} is damaged: {what}")]
    CorruptBlob {
        /// The blob's name.
        blob: Uuid,
        /// What was found.
        what: String,
    },
    /// The record was written by a later version of proxq.
    #[error("job {id} has a record of version {version}, which is newer than this proxq")]
    NewerRecord {
        /// The job.
        id: JobId,
        /// Its version.
        version: u32,
    },
    /// It was sealed with a key that this process does not have.
    #[error("job {id} is sealed with key {key}, which this proxq does not have")]
    KeyUnknown {
        /// The job.
        id: JobId,
        /// The id of the key.
        key: KeyId,
    },
    /// The same of a body by itself.
    #[error("blob {blob} is sealed with key {key}, which this proxq does not have")]
    BlobKeyUnknown {
        /// The blob's name.
        blob: Uuid,
        /// The id of the key.
        key: KeyId,
    },
    /// Jobs wait that are sealed with a key which this process does not have.
    #[error("jobs are sealed with key {key}, which this proxq does not have")]
    KeyMissing {
        /// The id of the key.
        key: KeyId,
    },
    /// There is no room.
    #[error("the store is full")]
    Full {
        /// What the backend said.
        source: Cause,
    },
    /// The store does not answer, or not as it should.
    #[error("the store is unavailable")]
    Unavailable {
        /// Whether the step may have been done all the same.
        may_be_done: bool,
        /// What the backend said.
        source: Cause,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// An error of a backend.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    /// Whether the store failed or was away, rather than refused.
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Full { .. } | Self::CorruptJob { .. } | Self::CorruptBlob { .. } => true,
            Self::Closed
            | Self::LeaseLost { .. }
            | Self::NewerRecord { .. }
            | Self::KeyUnknown { .. }
            | Self::KeyMissing { .. }
            | Self::BlobKeyUnknown { .. } => false,
        }
    }

    /// A failed file operation: full, or unavailable.
    pub(crate) fn from_io(error: io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if full {
            Self::Full { source: error.into() }
        } else {
            Self::Unavailable { may_be_done: false, source: error.into() }
        }
    }
}
