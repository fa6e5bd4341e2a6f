//! The contract on this store, and what is only this store's.

mod beside_asynq;
mod bounds;
mod chunks;
mod damage;
mod faults;
mod from_go;
mod layout;
mod limits;
mod listing;
mod priority;
mod retries;
mod sealed;
mod server;
mod several;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::server::RedisServer;
use super::scripts::ScriptClock;
use super::{RedisOptions, RedisStore};
use crate::clock::{ChosenTime, Timestamp};
use crate::config::RedisConfig;
use crate::metrics::StoreMetrics;
use crate::sealing::Keyring;
use crate::store::contract::{Backend, RETENTION, START, keeps_the_contract, queue, settings};
use crate::store::{JobAccess, JobLookup, JobStore, Oversight, QueueLookup, StoreControl, Submissions, WorkQueues};

/// A store in a Redis of its own, in a time of its own.
struct InRedis {
    server: RedisServer,
    time: &'static ChosenTime,
    store: RedisStore,
}

fn options(server: RedisConfig) -> RedisOptions {
    RedisOptions {
        server,
        queue: queue(),
        settings: settings(),
        instance: "host:1".to_owned(),
        keys: Arc::default(),
        metrics: StoreMetrics::default(),
    }
}

/// Opens a store, and waits until Redis has answered it.
async fn open(server: &RedisServer, time: &'static ChosenTime) -> RedisStore {
    let store = RedisStore::open_by(options(server.config()), time.clock(), ScriptClock::Chosen).unwrap();
    store.ready().await.unwrap();
    store
}

/// The same with these keys.
async fn open_sealed(server: &RedisServer, time: &'static ChosenTime, keys: &Arc<Keyring>) -> RedisStore {
    let options = RedisOptions { keys: Arc::clone(keys), ..options(server.config()) };
    let store = RedisStore::open_by(options, time.clock(), ScriptClock::Chosen).unwrap();
    store.ready().await.unwrap();
    store
}

async fn in_redis() -> InRedis {
    let server = RedisServer::start().await;
    let time = ChosenTime::at(START);
    server.set_time(START).await;
    let store = open(&server, time).await;
    InRedis { server, time, store }
}

#[async_trait]
impl Backend for InRedis {
    fn store(&self) -> &dyn JobStore {
        &self.store
    }

    fn grain(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn advance(&self, span: Duration) {
        self.server.set_time(self.time.clock().steady().after(span)).await;
        self.time.advance(span);
    }

    async fn set_wall(&self, wall: Timestamp) {
        self.time.set_wall(wall);
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = open(&self.server, self.time).await;
    }
}

mod contract {
    use super::in_redis;

    super::keeps_the_contract!(in_redis);
}
