//! The folder of an embedded store: who may read it, and that one process at a time uses it.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::OpenError;

/// An embedded store's folder, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Only the user that runs proxq reads what clients sent.
const PRIVATE: u32 = 0o700;

impl Folder {
    /// Makes the folder if there is none, and takes hold of it.
    pub(super) fn hold(path: &Path) -> Result<Self, OpenError> {
        let fails = |source| OpenError::Folder { folder: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(PRIVATE).create(path).map_err(fails)?;
        Self::hold_existing(path)
    }

    /// Takes hold of a folder that is there.
    pub(super) fn hold_existing(path: &Path) -> Result<Self, OpenError> {
        let fails = |source| OpenError::Folder { folder: path.to_owned(), source };
        let mode = path.metadata().map_err(fails)?.permissions().mode();
        if mode & !PRIVATE & 0o777 != 0 {
            let mode = format!("{:o}", mode & 0o777);
            tracing::warn!(folder = %path.display(), mode, "data folder is open to other users of this machine");
        }
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(fails)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(fails(source)),
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("jobs.sqlite3")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// Whether a limit on file sizes (`ulimit -f`) keeps the database's log from growing.
    pub(super) fn log_is_at_limit(&self) -> bool {
        /// A page and its header.
        const FRAME_BYTES: u64 = 4096 + 24;
        let Some(limit) = getrlimit(Resource::Fsize).current else { return false };
        let length = self.path.join("jobs.sqlite3-wal").metadata().map_or(0, |log| log.len());
        length.saturating_add(FRAME_BYTES) > limit
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
