//! The keys that say where jobs are kept.

use std::path::PathBuf;

use super::{Keys, choice_of, key, redis, word_of};
use crate::config::form::Form;
use crate::config::yaml_value::YamlValue;
use crate::config::{DATA_DIR, RedisConfig, StoreConfig, SyncMode};

/// The values of these keys: those of both stores, although only one store is used.
pub(in crate::config) struct StoreKeys {
    /// The value of the key `store`, if it is written.
    chosen: Option<Store>,
    /// Whether there is a `redis` section.
    has_redis: bool,
    data_dir: PathBuf,
    sync: SyncMode,
    redis: RedisConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Embedded,
    Redis,
}

const STORES: [(&str, Store); 2] = [("embedded", Store::Embedded), ("redis", Store::Redis)];

impl StoreKeys {
    /// The keys for this store; those of the other store have their defaults.
    pub(in crate::config) fn of(store: &StoreConfig) -> Self {
        let nothing = Self {
            chosen: None,
            has_redis: false,
            data_dir: PathBuf::from(DATA_DIR),
            sync: SyncMode::Durable,
            redis: RedisConfig::default(),
        };
        match store.clone() {
            StoreConfig::Embedded { data_dir, sync } => Self { data_dir, sync, ..nothing },
            StoreConfig::Redis(redis) => Self { has_redis: true, redis, ..nothing },
        }
    }

    fn used(&self) -> Store {
        self.chosen.unwrap_or(if self.has_redis { Store::Redis } else { Store::Embedded })
    }

    pub(super) fn is_redis(&self) -> bool {
        self.used() == Store::Redis
    }

    /// The store that is used, and why it is that one.
    pub(in crate::config) fn into_store(self) -> (StoreConfig, &'static str) {
        let reason = match (self.chosen, self.has_redis) {
            (Some(Store::Redis), _) => "store: redis",
            (None, true) => "there is a redis: section",
            (Some(Store::Embedded), true) => "store: embedded; the redis: section is not used",
            (Some(Store::Embedded), false) => "store: embedded",
            (None, false) => "no redis: section",
        };
        let store = match self.used() {
            Store::Embedded => StoreConfig::Embedded { data_dir: self.data_dir, sync: self.sync },
            Store::Redis => StoreConfig::Redis(self.redis),
        };
        (store, reason)
    }
}

pub(super) fn declare(keys: &mut impl Keys, store: &mut StoreKeys) {
    keys.key(
        key(
            "store",
            "Where jobs are kept: `embedded` is a database in dataDir, for one process at a time; `redis` is a Redis \
             server, for any number of instances. Without this key, it is `redis` if there is a `redis` section, and \
             `embedded` if there is none.",
        )
        .fixed()
        .commented_out(),
        choice_of(&STORES),
        store,
        |section, name, store| {
            store.chosen = section.choice(name, &STORES).map(|written| written.value);
            store.has_redis = section.is_written("redis");
        },
        |store| YamlValue::plain(word_of(&STORES, store.used())),
    );
    let is_redis = store.is_redis();
    keys.only_if(!is_redis, |keys| {
        keys.key(
            key("dataDir", "").fixed(),
            Form::Text,
            &mut store.data_dir,
            |section, name, data_dir| {
                if let Some(written) = section.text(name) {
                    *data_dir = PathBuf::from(written.value);
                }
            },
            |data_dir| YamlValue::path(Some(data_dir)),
        );
        keys.section(key("embedded", "").fixed(), |keys| {
            keys.switch(
                key(
                    "fsync",
                    "A job counts as accepted only when it is on disk. `false` is faster, and may lose jobs when the \
                     power fails.",
                ),
                &mut store.sync,
                SyncMode::OperatingSystem,
                SyncMode::Durable,
            );
        });
    });
    let redis = key(
        "redis",
        "One Redis or Valkey server, 6.2 or later. It must not evict keys (maxmemory-policy noeviction), and should \
         write to disk (appendonly yes). This section is enough to use Redis; keys that are not set have the values \
         shown here.",
    );
    keys.only_if(is_redis, |keys| {
        keys.section(redis.fixed(), |keys| redis::declare(keys, &mut store.redis));
    });
}
