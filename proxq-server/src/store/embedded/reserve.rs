//! Disk space that is kept back, so that jobs can still be removed from a store that has no room left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};

use super::folder::new_file_options;
use crate::failure::chain;

/// How much is kept back where the file system is large enough. A cancellation writes some ten pages of 4 KiB to the
/// log, so this is room for at least a hundred.
const RESERVE_BYTES: u64 = 4 << 20;

/// On a small file system, it is this part of the whole.
const SMALL_PART: u64 = 16;

/// The file that keeps the space.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    /// There was no room for it, or it was given up.
    Missing,
    /// The file system cannot keep space back.
    Unsupported,
}

impl Reserve {
    /// Keeps space back in a file, where there is room.
    pub(super) fn keep(path: PathBuf) -> Self {
        let mut reserve = Self { path, state: State::Missing };
        reserve.make();
        reserve
    }

    /// Whether there is none and there should be one.
    pub(super) fn is_missing(&self) -> bool {
        self.state == State::Missing
    }

    /// Gives the space to whoever writes next. `false` if there was none to give.
    pub(super) fn give_up(&mut self) -> bool {
        if self.state != State::Kept {
            return false;
        }
        self.state = State::Missing;
        remove(&self.path);
        tracing::warn!(
            "store has no room left and gives up its reserve; it takes no jobs until there is room for it again"
        );
        true
    }

    /// Keeps space back again, if there is room.
    pub(super) fn restore(&mut self) {
        self.make();
    }

    /// Whether the file system has room for as much as is kept back, where it gets these bytes in addition.
    pub(super) fn fits_into(&self, more: u64) -> bool {
        self.folder_statistics().is_none_or(|space| free_bytes(&space).saturating_add(more) >= wanted_bytes(&space))
    }

    /// How much room the file system has.
    pub(super) fn free_bytes(&self) -> u64 {
        self.folder_statistics().map_or(u64::MAX, |space| free_bytes(&space))
    }

    fn folder_statistics(&self) -> Option<StatVfs> {
        statvfs(self.path.parent()?).ok()
    }

    fn make(&mut self) {
        let wanted = self.folder_statistics().map_or(RESERVE_BYTES, |space| wanted_bytes(&space));
        // Also where the file is there: a copy of it may have no space of its own.
        let made = new_file_options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path)
            .and_then(|file| allocate(&file, wanted));
        self.state = match made {
            Ok(()) => State::Kept,
            Err(error) => {
                remove(&self.path);
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                    State::Missing
                } else {
                    tracing::debug!(error = chain(&error), "no space is kept back for a full disk");
                    State::Unsupported
                }
            }
        };
    }
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
}

fn free_bytes(space: &StatVfs) -> u64 {
    space.f_bavail.saturating_mul(space.f_frsize)
}

fn wanted_bytes(space: &StatVfs) -> u64 {
    (space.f_blocks.saturating_mul(space.f_frsize) / SMALL_PART).clamp(1, RESERVE_BYTES)
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(error = chain(&error), "the store's reserve could not be removed");
    }
}
