//! A disk that fails for a while.

use rusqlite::ffi;

use super::*;
use crate::job::State;
use crate::store::contract::{queue, state_of, submitted};
use crate::store::{RECLAIM_AFTER_OUTAGE, StoreError};

/// Fails like a disk that cannot be read.
#[derive(Debug)]
struct BrokenDisk;

impl Step for BrokenDisk {
    type Output = ();

    fn run(&self, _: &mut Tx<'_>) -> Result<(), StepError> {
        Err(StepError::Database(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), None)))
    }
}

#[tokio::test]
async fn after_an_outage_living_owners_renew_first() {
    let embedded = embedded().await;
    let (store, time) = (&embedded.store, embedded.time);
    let (alive, dead) = (submitted(store).await, submitted(store).await);
    let jobs = store.lease(&queue(), 2).await.unwrap();
    let outage = store.writer.outbox.run(BrokenDisk).await;
    assert!(matches!(outage, Err(StoreError::Unavailable { .. })));
    time.advance(Duration::from_mins(10));

    assert_eq!(store.upkeep().await.unwrap().reclaimed, 0, "it answers again, but only just");
    time.advance(RECLAIM_AFTER_OUTAGE.saturating_sub(Duration::from_millis(1)));
    assert!(store.renew(&[jobs[0].lease]).await.unwrap().is_empty(), "the owner of the first is alive");
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 0);
    time.advance(Duration::from_millis(1));
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
    assert_eq!(state_of(store, alive).await, Some(State::Active));
    assert_eq!(state_of(store, dead).await, Some(State::Pending));
}

#[tokio::test]
async fn a_store_that_failed_is_ready_when_it_has_written_again() {
    let embedded = embedded().await;
    let store = &embedded.store;
    assert!(store.writer.outbox.run(BrokenDisk).await.is_err());
    let commits = store.shared.health.counts().0;
    store.ready().await.unwrap();
    assert_eq!(store.shared.health.counts().0, commits + 1, "it tried");
    store.ready().await.unwrap();
    assert_eq!(store.shared.health.counts().0, commits + 1, "and needs not try again");
}
