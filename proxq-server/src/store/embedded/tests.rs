//! The contract on this store, and what is only this store's.

mod clocks;
mod crash;
mod damage;
mod full;
mod grouping;
mod log;
mod opening;
mod outage;
mod plans;
mod sealed;
mod secrets;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::time::Instant;

use super::step::{Step, StepError, Tx};
use super::{EmbeddedOptions, EmbeddedStore, Finding, OpenError};
use crate::clock::{ChosenTime, Timestamp};
use crate::config::SyncMode;
use crate::metrics::StoreMetrics;
use crate::sealing::Keyring;
use crate::store::contract::{Backend, START, keeps_the_contract, queue, settings};
use crate::store::{
    BlobStore, JobAccess, JobLookup, JobStore, Oversight, QueueLookup, StoreControl, Submissions, WorkQueues,
};

/// A store in a folder of its own, in a time of its own.
struct Embedded {
    folder: TempDir,
    time: &'static ChosenTime,
    store: EmbeddedStore,
}

fn options(folder: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        data_dir: folder.to_owned(),
        sync: SyncMode::Durable,
        settings: settings(),
        instance: "one".to_owned(),
        keys: Arc::default(),
        metrics: StoreMetrics::default(),
    }
}

fn open(folder: &Path, time: &'static ChosenTime) -> Result<EmbeddedStore, OpenError> {
    once_let_go(|| EmbeddedStore::open(options(folder), time.clock()))
}

/// The same with these keys.
fn open_sealed(folder: &Path, time: &'static ChosenTime, keys: &Arc<Keyring>) -> EmbeddedStore {
    let options = || EmbeddedOptions { keys: Arc::clone(keys), ..options(folder) };
    once_let_go(|| EmbeddedStore::open(options(), time.clock())).unwrap()
}

/// What [`super::verify`] finds.
fn verify(folder: &Path) -> Result<Vec<Finding>, OpenError> {
    Ok(once_let_go(|| super::verify(folder, &Keyring::default()))?.findings)
}

/// Opens a folder that was closed just now. A process that another test starts at that moment has inherited the lock,
/// and holds it until it runs its own program.
fn once_let_go<T>(open: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match open() {
            Err(OpenError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

async fn embedded() -> Embedded {
    let folder = tempfile::tempdir().unwrap();
    let time = ChosenTime::at(START);
    let store = open(folder.path(), time).unwrap();
    Embedded { folder, time, store }
}

#[async_trait]
impl Backend for Embedded {
    fn store(&self) -> &dyn JobStore {
        &self.store
    }

    async fn advance(&self, span: Duration) {
        self.time.advance(span);
    }

    async fn set_wall(&self, wall: Timestamp) {
        self.time.set_wall(wall);
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = open(self.folder.path(), self.time).unwrap();
    }
}

/// Any statements, as a step.
#[derive(Debug)]
struct Sql(String);

impl Step for Sql {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        Ok(tx.connection.execute_batch(&self.0)?)
    }
}

impl Embedded {
    /// Changes the database behind the store's back.
    async fn alter(&self, sql: impl Into<String>) {
        self.store.writer.outbox.run(Sql(sql.into())).await.unwrap();
    }

    /// Upkeep, and what the writer does about its log after that.
    async fn keep_up(&self) {
        self.store.upkeep().await.unwrap();
        self.alter("").await; // in its turn
    }
}

/// Bytes as SQL writes them.
fn literal(bytes: &[u8]) -> String {
    format!("x'{:x}'", bytes::Bytes::copy_from_slice(bytes))
}

mod contract {
    use super::embedded;

    super::keeps_the_contract!(embedded);
}

#[test]
fn a_blob_whose_beginning_nobody_waited_for_leaves_nothing_behind() {
    // One thread makes and removes files, in turn.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let Embedded { folder, store, .. } = embedded().await;
        let queue = queue();
        for _ in 0..10 {
            tokio::select! {
                biased;
                begun = store.new_blob(&queue) => drop(begun.unwrap()),
                () = std::future::ready(()) => {} // gives up while the file is made
            }
        }
        for _made_then_removed in 0..2 {
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path().join("blobs")).unwrap().count(), 0);
    });
}
