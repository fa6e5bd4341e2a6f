//! What the process asks of the operating system.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

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
