//! Reads a blob, after making sure that it is whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;

use super::{Blobs, CHUNK_BYTES, off_the_runtime, path};
use crate::job::BlobRef;
use crate::store::{BlobStream, StoreError};

/// The bytes of a blob, once they have been found to be those that were written.
pub(in super::super) async fn stream(blobs: &Arc<Blobs>, blob: BlobRef) -> Result<BlobStream, StoreError> {
    let this = Arc::clone(blobs);
    let opened = off_the_runtime(move || Ok(open_verified(&this.folder, blob))).await?;
    let file = opened.map_err(|damage| damage.of(blob))?;
    Ok(Box::pin(try_unfold((Arc::new(file), 0), move |(file, at)| async move {
        let left = usize::try_from(blob.length - at).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let open = Arc::clone(&file);
        let chunk = off_the_runtime(move || {
            let mut chunk = vec![0; left.min(CHUNK_BYTES)];
            open.read_exact_at(&mut chunk, at)?;
            Ok(Bytes::from(chunk))
        })
        .await?;
        let next = at + chunk.len() as u64;
        Ok(Some((chunk, (file, next))))
    })))
}

/// Why a blob cannot be read.
#[derive(Debug)]
pub(in super::super) enum Damage {
    /// Its file is not what was written.
    Found(String),
    /// The operating system would not read it.
    Unreadable(io::Error),
}

impl Damage {
    fn of(self, blob: BlobRef) -> StoreError {
        match self {
            Self::Found(what) => StoreError::CorruptBlob { blob: blob.id, what },
            Self::Unreadable(error) => StoreError::from_io(error),
        }
    }
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Found("its file is missing".to_owned())
        } else {
            Self::Unreadable(error)
        }
    }
}

/// Makes sure that a blob is whole.
pub(in super::super) fn verify(folder: &Path, blob: BlobRef) -> Result<(), Damage> {
    open_verified(folder, blob).map(drop)
}

fn open_verified(folder: &Path, blob: BlobRef) -> Result<File, Damage> {
    let file = File::open(path(folder, blob.id))?;
    let length = file.metadata()?.len();
    if length != blob.length {
        return Err(Damage::Found(format!("it has {length} bytes instead of {}", blob.length)));
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut checksum = crc32fast::Hasher::new();
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            break;
        }
        checksum.update(&buffer[..read]);
        at += read as u64;
    }
    let checksum = checksum.finalize();
    if at == blob.length && checksum == blob.checksum {
        Ok(file)
    } else {
        Err(Damage::Found(format!("its checksum is {checksum:08x} instead of {:08x}", blob.checksum)))
    }
}
