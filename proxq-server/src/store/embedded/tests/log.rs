//! The log beside the database: it stays short however much is written.

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::*;
use crate::job::Body;
use crate::store::contract::job;
use crate::store::{NewJob, Submitted};

/// Twice as much as the log may hold.
const WRITTEN_BYTES: usize = 128 << 20;
const BODY_BYTES: usize = 60_000;
/// What the log may hold, and as much again for what is written while it is copied.
const LOG_BYTES_MAX: u64 = 2 * 16_384 * 4_096;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_while_there_is_always_something_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let time = ChosenTime::at(START);
    let options = EmbeddedOptions { sync: SyncMode::OperatingSystem, ..options(folder.path()) };
    let store = EmbeddedStore::open(options, time.clock()).unwrap();
    let log = folder.path().join("jobs.sqlite3-wal");
    let longest = stream::iter(0..WRITTEN_BYTES / BODY_BYTES)
        .map(async |_| {
            let body = Body::Inline(Bytes::from(vec![7; BODY_BYTES]));
            assert_eq!(store.submit(NewJob { body, ..job() }).await.unwrap(), Submitted::New);
            log.metadata().unwrap().len()
        })
        .buffer_unordered(16)
        .fold(0, async |longest, length| longest.max(length))
        .await;
    assert!(longest < LOG_BYTES_MAX, "{} MiB", longest >> 20);
    store.close().await;
    assert_eq!(verify(folder.path()).unwrap().len(), 0);
}
