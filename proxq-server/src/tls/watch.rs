//! Notices that files may have other contents, by inotify. Where the system has none, or gives no more of it, files are only
//! read again at a SIGHUP.

use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(target_os = "linux")]
use self::inotify as system;
#[cfg(not(target_os = "linux"))]
mod nothing;
#[cfg(not(target_os = "linux"))]
use self::nothing as system;

/// Watches files from its creation on.
#[derive(Debug)]
pub(crate) struct FileWatch(system::Watch);

impl FileWatch {
    /// Watches the files at these paths, wherever they lead to. Needs a runtime; looks at the file system.
    pub(crate) fn on<'a>(paths: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        Ok(Self(system::Watch::on(paths)?))
    }

    /// Returns when one of the files was replaced, written, removed, or may be another one since it was watched.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.0.changed().await
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
