//! The keys at the top of the file, all but `upstreams`.

use std::path::PathBuf;
use std::time::Duration;

use proxq_protocol::GoDuration;

use super::redis;
use crate::config::section::{Reading, Section, Written, shown};
use crate::config::{
    CacheConfig, CacheMode, Config, DATA_DIR, Limits, Prefix, Routing, SecretHeaders, StoreConfig, SyncMode,
    listen_address,
};
use crate::job::QueueName;
use crate::trust::TrustedProxies;

/// What the top of a file says.
pub(super) struct Globals {
    /// Everything but the upstreams.
    pub(super) config: Config,
    /// Whether it says where to listen.
    pub(super) says_address: bool,
    /// Why the jobs are kept where they are kept.
    pub(super) store_reason: &'static str,
}

/// Keys of the whole file whose features come later, and what to do without them.
const LATER: [(&str, &str); 7] = [
    ("admin", "remove it: there is no admin listener"),
    ("auth", "remove it, and let a reverse proxy ask for credentials"),
    ("tls", "remove it, and let a reverse proxy speak TLS"),
    ("callbacks", "remove it"),
    ("encryption", "remove it"),
    ("telemetry", "remove it"),
    ("schedules", "remove it"),
];

pub(super) fn read(root: &mut Section<'_>, reading: &Reading<'_>) -> Globals {
    let default = Config::without_upstreams();
    let (store, store_reason) = read_store(root, reading);
    let task_retention = root.duration("taskRetention", default.task_retention);
    let cache = read_cache(root.section("cache"), &store, reading);
    let address = root.parsed("listenAddress", listen_address::parse);
    let says_address = address.is_some();
    let config = Config {
        listen_address: or(address, default.listen_address),
        store,
        queue: or(root.parsed("queue", queue_name), default.queue),
        concurrency: root.count("concurrency", 0).map_or(default.concurrency, |count| count.value as usize),
        jobs_path: or(root.parsed("jobsPath", jobs_path), default.jobs_path),
        routing: or(root.choice("routing", &ROUTINGS), default.routing),
        task_retention,
        max_wait: root.duration("maxWait", default.max_wait),
        max_delay: root.duration("maxDelay", default.max_delay),
        idempotency_ttl: read_idempotency(root.section("idempotency"), reading, task_retention),
        shutdown_timeout: root.duration("shutdownTimeout", default.shutdown_timeout),
        inline_body_limit: root.size("inlineBodyLimit", default.inline_body_limit),
        stream_peek_limit: root.size("streamPeekLimit", default.stream_peek_limit),
        max_response_size: root.size("maxResponseSize", default.max_response_size),
        trusted_proxies: read_trusted_proxies(root, reading).unwrap_or(default.trusted_proxies),
        via_name: root.parsed("viaName", pseudonym).map(|written| written.value),
        max_hops: or(root.count("maxHops", 0), default.max_hops),
        max_lease_losses: or(root.count("maxLeaseLosses", 0), default.max_lease_losses),
        secret_headers: SecretHeaders::with(root.header_names("secretHeaders")),
        cache,
        limits: read_limits(root.section("limits")),
        upstreams: Vec::new(),
    };
    for (key, hint) in LATER {
        root.later(key, hint);
    }
    Globals { config, says_address, store_reason }
}

fn or<T>(written: Option<Written<T>>, default: T) -> T {
    written.map_or(default, |written| written.value)
}

fn read_store(root: &mut Section<'_>, reading: &Reading<'_>) -> (StoreConfig, &'static str) {
    let chosen = root.choice("store", &[("embedded", Chosen::Embedded), ("redis", Chosen::Redis)]);
    let has_section = root.is_written("redis");
    let redis = redis::read(root.section("redis"), reading);
    let embedded = read_embedded(root);
    match (chosen.map(|chosen| chosen.value), has_section) {
        (Some(Chosen::Redis), _) => (StoreConfig::Redis(redis), "store: redis"),
        (None, true) => (StoreConfig::Redis(redis), "there is a redis: section"),
        (Some(Chosen::Embedded), true) => (embedded, "store: embedded; the redis: section is not used"),
        (Some(Chosen::Embedded), false) => (embedded, "store: embedded"),
        (None, false) => (embedded, "no redis: section"),
    }
}

#[derive(Clone, Copy)]
enum Chosen {
    Embedded,
    Redis,
}

fn read_embedded(root: &mut Section<'_>) -> StoreConfig {
    let data_dir = root.text("dataDir").map_or_else(|| PathBuf::from(DATA_DIR), |dir| PathBuf::from(dir.value));
    let mut embedded = root.section("embedded");
    let fsync = embedded.boolean("fsync", true);
    embedded.finish();
    StoreConfig::Embedded { data_dir, sync: if fsync { SyncMode::Durable } else { SyncMode::OperatingSystem } }
}

/// A key that outlived its job would stand for nothing.
fn read_idempotency(mut idempotency: Section<'_>, reading: &Reading<'_>, task_retention: Duration) -> Duration {
    let ttl = idempotency.duration("ttl", task_retention);
    if ttl > task_retention {
        let longest = GoDuration::from(task_retention);
        reading.note(&idempotency.at_of("ttl"), format!("must be at most taskRetention, which is {longest}"));
    }
    idempotency.finish();
    ttl
}

fn read_limits(mut limits: Section<'_>) -> Limits {
    let default = Limits::default();
    let read = Limits {
        max_header_bytes: usize::try_from(limits.size("maxHeaderBytes", default.max_header_bytes as u64))
            .unwrap_or(usize::MAX),
        header_read_timeout: limits.duration("headerReadTimeout", default.header_read_timeout),
        idle_timeout: limits.duration("idleTimeout", default.idle_timeout),
        max_connections: limits
            .count("maxConnections", 1)
            .map_or(default.max_connections, |count| count.value as usize),
    };
    limits.finish();
    read
}

fn read_trusted_proxies(root: &mut Section<'_>, reading: &Reading<'_>) -> Option<TrustedProxies> {
    let entries = root.texts("trustedProxies")?;
    for Written { value, at } in &entries {
        if TrustedProxies::new([value.as_str()]).is_err() {
            let problem = "is not a network such as 10.0.0.0/8, an address, or one of the words loopback and private";
            reading.note(at, format!("{} {problem}", shown(value)));
        }
    }
    TrustedProxies::new(entries.iter().map(|entry| entry.value.as_str())).ok()
}

const ROUTINGS: [(&str, Routing); 2] = [("strict", Routing::Strict), ("longest-prefix", Routing::LongestPrefix)];

const CACHE_MODES: [(&str, CacheMode); 3] =
    [("none", CacheMode::None), ("memory", CacheMode::Memory), ("redis", CacheMode::Redis)];

fn read_cache(mut cache: Section<'_>, store: &StoreConfig, reading: &Reading<'_>) -> CacheConfig {
    let default = CacheConfig::default();
    let mode = cache.choice("mode", &CACHE_MODES);
    if let (Some(Written { value: CacheMode::Redis, at }), StoreConfig::Embedded { .. }) = (&mode, store) {
        reading.note(at, "\"redis\" needs the jobs in Redis, too (store: redis); write memory, or add a redis section");
    }
    let read = CacheConfig {
        mode: or(mode, default.mode),
        ttl: cache.duration("ttl", default.ttl),
        max_entries: match cache.count("maxEntries", 0) {
            Some(Written { value: entries @ 1.., .. }) => entries.into(),
            _ => default.max_entries,
        },
        max_bytes: cache.size("maxBytes", default.max_bytes),
        redis_key_prefix: or(cache.text("redisKeyPrefix"), default.redis_key_prefix),
    };
    cache.finish();
    read
}

fn jobs_path(text: &str) -> Result<Prefix, &'static str> {
    let path = Prefix::new(text)?;
    if path == Prefix::root() { Err("must not be /: the jobs API would hide every upstream") } else { Ok(path) }
}

fn queue_name(text: &str) -> Result<QueueName, &'static str> {
    QueueName::new(text).ok_or("is not a queue name: letters, digits and . _ : - make one")
}

/// A name for `Via` (RFC 9110 §7.6.3): a token (§5.6.2).
fn pseudonym(text: &str) -> Result<String, &'static str> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.bytes().all(token) {
        Ok(text.to_owned())
    } else {
        Err("is not a name for Via: letters, digits and - . _ ~ and the like make one, without spaces")
    }
}
