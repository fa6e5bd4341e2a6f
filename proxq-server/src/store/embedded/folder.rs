//! The folder of an embedded store: who may read it, and that one process at a time uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::OpenError;
use crate::failure::chain;

/// An embedded store's folder, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// The mode of folders: only the user that runs proxq reads what clients sent.
const FOLDER_MODE: u32 = 0o700;
/// The mode of files.
const FILE_MODE: u32 = 0o600;
/// What the group and all other users may do.
const OF_OTHERS: u32 = 0o077;

const LOCK: &str = "lock";
const DATABASE: &str = "jobs.sqlite3";
const BLOBS: &str = "blobs";
const RESERVE: &str = "reserve";

impl Folder {
    /// Makes the folder if there is none, takes hold of it and closes it to other users.
    pub(super) fn hold(path: &Path) -> Result<Self, OpenError> {
        let fails = |source| OpenError::Folder { folder: path.to_owned(), source };
        make_folder(path).map_err(fails)?;
        let folder = Self::hold_existing(path)?;
        folder.prepare().map_err(fails)?;
        Ok(folder)
    }

    /// Takes hold of a folder that is there.
    pub(super) fn hold_existing(path: &Path) -> Result<Self, OpenError> {
        let fails = |source| OpenError::Folder { folder: path.to_owned(), source };
        let mut options = new_file_options();
        let lock = options.create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(fails)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(fails(source)),
        }
    }

    /// Makes what SQLite would make with a mode of its own, and closes what an earlier version left open.
    fn prepare(&self) -> io::Result<()> {
        // SQLite gives its other files the mode of this one.
        new_file_options().create(true).truncate(false).write(true).open(self.database())?;
        make_folder(&self.blobs())?;
        if is_open(&self.blobs()) {
            for entry in fs::read_dir(self.blobs())? {
                close(&entry?.path(), FILE_MODE);
            }
            close(&self.blobs(), FOLDER_MODE); // last: a closed folder has no open files
        }
        let mut of_others = false;
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            match name.to_str() {
                Some(BLOBS) => {}
                Some(name) if [LOCK, RESERVE].contains(&name) || name.starts_with(DATABASE) => {
                    close(&self.path.join(name), FILE_MODE);
                }
                _ => of_others = true,
            }
        }
        if of_others {
            // Whoever put it there may have to reach it.
            if is_open(&self.path) {
                tracing::warn!(folder = %self.path.display(), "data folder is open to other users of this machine");
            }
        } else {
            close(&self.path, FOLDER_MODE);
        }
        Ok(())
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.path.join(BLOBS)
    }

    pub(super) fn reserve(&self) -> PathBuf {
        self.path.join(RESERVE)
    }

    /// Whether a limit on file sizes (`ulimit -f`) keeps the database's log from growing.
    pub(super) fn log_is_at_limit(&self) -> bool {
        /// A page and its header.
        const FRAME_BYTES: u64 = 4096 + 24;
        let Some(limit) = getrlimit(Resource::Fsize).current else { return false };
        self.log_bytes().saturating_add(FRAME_BYTES) > limit
    }

    /// How long the database's log is.
    pub(super) fn log_bytes(&self) -> u64 {
        self.path.join("jobs.sqlite3-wal").metadata().map_or(0, |log| log.len())
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

/// How a file is made that only its owner may read.
pub(super) fn new_file_options() -> OpenOptions {
    let mut options = File::options();
    options.mode(FILE_MODE);
    options
}

/// Makes a folder that only its owner may enter, if there is none.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Whether other users may do anything with it.
fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & OF_OTHERS != 0)
}

/// Takes a file or a folder away from other users. Where that is not possible, it says so.
fn close(path: &Path, mode: u32) {
    if !is_open(path) {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), error = chain(&error), "open to other users of this machine");
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
