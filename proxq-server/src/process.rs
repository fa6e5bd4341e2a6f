//! Settings of the process in the operating system: threads, signals and the limit on open files.

use std::io;

use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::tasks::BLOCKING_THREADS;

/// Makes the runtime that everything runs on but connections and attempts, which have cores.
///
/// # Errors
/// Where the operating system gives no threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()
}

/// Lets writes beyond a limit on file sizes (`ulimit -f`) fail as on a full disk. Without a handler for `SIGXFSZ` the
/// operating system would end the process, and no library sets one. To be called within the runtime.
pub fn survive_file_size_limits() {
    let signal_kind = SignalKind::from_raw(Signal::XFSZ.as_raw());
    if let Err(error) = signal(signal_kind) {
        tracing::warn!(%error, "take over SIGXFSZ");
    }
}

/// How many files and sockets the process may have open; `None` where there is no limit.
pub(crate) fn file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit on open files to the hard one: each connection is a file.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "raise the limit on open files");
    }
}
