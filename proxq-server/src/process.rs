//! What the process asks of the operating system.

use std::io;

use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Threads for work that blocks: on files, each with one chunk of one body at a time, and on resolving names, which may
/// take seconds and must not hold the files up.
const BLOCKING_THREADS: usize = 128;

/// Makes the runtime that everything runs on.
///
/// # Errors
/// Where the operating system gives no threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()
}

/// Has writes beyond a limit on file sizes (`ulimit -f`) fail like those on a full disk; the operating system would end
/// the process (`SIGXFSZ`). To be called within the runtime, whose handler stays.
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
