//! A system whose way to watch files is not used.

use std::io;
use std::path::Path;

/// Cannot be made.
#[derive(Debug)]
pub(super) enum Watch {}

impl Watch {
    pub(super) fn on<'a>(_: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(clippy::unused_async, reason = "the watch of Linux waits")]
    pub(super) async fn changed(&self) -> io::Result<()> {
        match *self {}
    }
}
