//! The contract on this store.

use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::clock::{ChosenTime, Timestamp};
use crate::store::contract::{Backend, START, keeps_the_contract, settings};
use crate::store::{JobStore, StoreControl};

/// A store in a time of its own.
struct Memory {
    time: &'static ChosenTime,
    store: MemoryStore,
}

async fn memory() -> Memory {
    let time = ChosenTime::at(START);
    Memory { time, store: MemoryStore::new(settings(), time.clock()) }
}

#[async_trait]
impl Backend for Memory {
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
        self.store.reopen();
    }
}

keeps_the_contract!(memory);
