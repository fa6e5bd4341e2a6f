//! Large bodies: a file each, beside the database.
//!
//! A blob is written to a temporary name, synced, renamed, and only then referred to by a job. Whatever a crash leaves
//! that no job refers to is swept away.

mod read;
mod write;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

pub(super) use self::read::{Damage, stream, verify};
pub(super) use self::write::FileWriter;
use crate::config::SyncMode;
use crate::failure::chain;
use crate::lock::lock;
use crate::store::StoreError;
use crate::tasks;

/// How much of a blob is in memory at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// The folder of the blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    sync: SyncMode,
    /// Blobs in the hands of this process, which no job need refer to yet.
    held: Mutex<HashSet<Uuid>>,
}

impl Blobs {
    /// The blobs in a folder that is there.
    pub(super) fn new(folder: PathBuf, sync: SyncMode) -> Self {
        Self { folder, sync, held: Mutex::default() }
    }

    fn path(&self, blob: Uuid) -> PathBuf {
        path(&self.folder, blob)
    }

    fn part_path(&self, blob: Uuid) -> PathBuf {
        self.folder.join(format!("{blob}.part"))
    }

    /// Removes the files of blobs that no job refers to any more. One that cannot be removed is left to the sweep.
    pub(super) async fn remove(self: &Arc<Self>, blobs: Vec<Uuid>) {
        if blobs.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        let removal = move || blobs.into_iter().for_each(|blob| remove_file(&this.path(blob)));
        let _panicked = tasks::blocking(removal).await;
    }

    /// The blobs on disk that nobody in this process holds, unfinished ones left out: these are removed here.
    pub(super) async fn unheld(self: &Arc<Self>) -> Result<Vec<Uuid>, StoreError> {
        let this = Arc::clone(self);
        off_the_runtime(move || this.list_unheld()).await
    }

    fn list_unheld(&self) -> io::Result<Vec<Uuid>> {
        let mut unheld = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(blob) = path.file_stem().and_then(|name| Uuid::try_parse(name.to_str()?).ok()) else { continue };
            // Looked at after the listing: a blob that is let go of in between is referred to by now, or never will be.
            if lock(&self.held).contains(&blob) {
                continue;
            }
            match path.extension() {
                None => unheld.push(blob),
                Some(_) => remove_file(&path),
            }
        }
        Ok(unheld)
    }
}

/// The file of a finished blob.
pub(super) fn path(folder: &Path, blob: Uuid) -> PathBuf {
    folder.join(blob.to_string())
}

fn remove_file(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(error = chain(&error), "a blob's file could not be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Does what blocks on a thread that may.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tasks::blocking(work).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(StoreError::from_io)
}
