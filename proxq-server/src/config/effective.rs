//! A configuration as YAML that means the same: every supported key, with defaults filled in.
//!
//! Of keys, certificates and passwords only the files are named; a password that is written down is masked, and has to be
//! written again where the file is to be used.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use proxq_protocol::GoDuration;

use super::{
    CacheConfig, ClientIdentity, ClientMode, Config, DirectMode, FilterMode, HostHeader, Limits, Password, PathFilter,
    RedisAddress, RedisConfig, Routing, Secret, StoreConfig, StreamDetection, SyncMode, TlsVerification, Upstream,
    UpstreamTls, size,
};
use crate::job::{Backoff, Delivery};

/// Writes a configuration.
pub(super) fn write(config: &Config) -> String {
    written(config).text
}

/// All settings of a configuration, in the order in which they are written.
pub(super) fn settings(config: &Config) -> Vec<Setting> {
    written(config).settings
}

fn written(config: &Config) -> Yaml {
    let mut yaml = Yaml::default();
    yaml.key("listenAddress", quoted(&config.listen_address));
    match &config.store {
        StoreConfig::Embedded { data_dir, sync } => {
            yaml.key("store", "embedded");
            yaml.key("dataDir", quoted_path(data_dir));
            yaml.section("embedded", |yaml| yaml.key("fsync", *sync == SyncMode::Durable));
        }
        StoreConfig::Redis(redis) => {
            yaml.key("store", "redis");
            yaml.section("redis", |yaml| write_redis(yaml, redis));
        }
    }
    yaml.key("queue", quoted(config.queue.as_str()));
    yaml.key("concurrency", config.concurrency);
    yaml.key("jobsPath", quoted(config.jobs_path.as_str()));
    let routing = match config.routing {
        Routing::Strict => "strict",
        Routing::LongestPrefix => "longest-prefix",
    };
    yaml.key("routing", routing);
    yaml.duration("taskRetention", config.task_retention);
    yaml.duration("maxWait", config.max_wait);
    yaml.duration("maxDelay", config.max_delay);
    yaml.section("idempotency", |yaml| yaml.duration("ttl", config.idempotency_ttl));
    yaml.duration("shutdownTimeout", config.shutdown_timeout);
    yaml.key("inlineBodyLimit", size::display(config.inline_body_limit));
    yaml.key("streamPeekLimit", size::display(config.stream_peek_limit));
    yaml.key("maxResponseSize", size::display(config.max_response_size));
    yaml.list("trustedProxies", config.trusted_proxies.networks().iter().map(ToString::to_string));
    match &config.via_name {
        Some(name) => yaml.key("viaName", quoted(name)),
        None => yaml.commented("viaName", "\"\"", "random, kept in the store"),
    }
    yaml.key("maxHops", config.max_hops);
    yaml.key("maxLeaseLosses", config.max_lease_losses);
    yaml.list("secretHeaders", config.secret_headers.names().iter().map(ToString::to_string));
    yaml.section("cache", |yaml| write_cache(yaml, &config.cache));
    yaml.section("limits", |yaml| write_limits(yaml, config.limits));
    yaml.line("upstreams:");
    for upstream in &config.upstreams {
        yaml.item("upstreams", upstream.prefix.as_str(), |yaml| write_upstream(yaml, upstream));
    }
    yaml
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its key, as `limits.idleTimeout` or `upstreams[/api].timeout`.
    pub(super) key: String,
    /// Its value as YAML; masked if it is secret.
    pub(super) value: String,
    /// What is behind the mask.
    secret: Option<Secret>,
}

fn write_redis(yaml: &mut Yaml, redis: &RedisConfig) {
    match &redis.address {
        RedisAddress::Tcp { .. } | RedisAddress::Unix { .. } => {
            let address = match &redis.address {
                RedisAddress::Unix { path } => path.display().to_string(),
                RedisAddress::Tcp { .. } | RedisAddress::Tls { .. } => redis.host_and_port().unwrap_or_default(),
            };
            yaml.key("addr", quoted(&address));
            yaml.key("username", quoted(&redis.username));
            yaml.key("db", redis.db);
        }
        RedisAddress::Tls { .. } => {
            let user = if redis.username.is_empty() { String::new() } else { format!("{}@", redis.username) };
            yaml.key("url", quoted(&redis.to_string().replacen("://", &format!("://{user}"), 1)));
        }
    }
    match &redis.password {
        Password::None => {}
        Password::Given(secret) => yaml.secret("password", secret),
        Password::File(file) => yaml.key("passwordFile", quoted_path(file)),
    }
    yaml.key("durability", "store");
    yaml.section("tls", |yaml| write_tls_files(yaml, redis.tls.ca_file.as_deref(), redis.tls.identity.as_ref()));
}

fn write_cache(yaml: &mut Yaml, cache: &CacheConfig) {
    yaml.key("mode", cache.mode.name());
    yaml.duration("ttl", cache.ttl);
    yaml.key("maxEntries", cache.max_entries);
    yaml.key("maxBytes", size::display(cache.max_bytes));
    yaml.key("redisKeyPrefix", quoted(&cache.redis_key_prefix));
}

fn write_limits(yaml: &mut Yaml, limits: Limits) {
    yaml.key("maxHeaderBytes", size::display(limits.max_header_bytes as u64));
    yaml.duration("headerReadTimeout", limits.header_read_timeout);
    yaml.duration("idleTimeout", limits.idle_timeout);
    yaml.key("maxConnections", limits.max_connections);
}

fn write_upstream(yaml: &mut Yaml, upstream: &Upstream) {
    yaml.key("prefix", quoted(upstream.prefix.as_str()));
    yaml.key("url", quoted(&upstream.url.to_string()));
    yaml.duration("timeout", upstream.timeout);
    yaml.duration("maxTimeout", upstream.max_timeout);
    yaml.key("maxRetries", upstream.retries.max_retries);
    match upstream.retries.backoff {
        Backoff::Fixed(pause) => yaml.duration("retryDelay", pause),
        Backoff::Quartic => yaml.commented("retryDelay", "0s", "n⁴ seconds before retry n"),
    }
    yaml.key("delivery", delivery_word(upstream.delivery));
    yaml.key("idempotentUpstream", upstream.honours_idempotency_key);
    yaml.key("maxBodySize", size::display(upstream.max_body_size));
    match upstream.direct_proxy_threshold {
        Some(bytes) => yaml.key("directProxyThreshold", size::display(bytes)),
        None => yaml.commented("directProxyThreshold", "0", "disabled"),
    }
    let direct_mode = match upstream.direct_mode {
        DirectMode::Proxy => "proxy",
        DirectMode::Redirect => "redirect",
    };
    yaml.key("directProxyMode", direct_mode);
    yaml.key("streamDetection", upstream.stream_detection == StreamDetection::Full);
    yaml.list("streamPaths", upstream.stream_paths.written().map(ToOwned::to_owned));
    yaml.key("clientMode", upstream.client_mode == ClientMode::Heeded);
    yaml.section("pathFilter", |yaml| write_path_filter(yaml, &upstream.path_filter));
    yaml.list("cacheKeyExcludeHeaders", upstream.cache_key_exclusions.patterns().iter().map(ToString::to_string));
    yaml.key("preserveHost", upstream.host_header == HostHeader::Client);
    yaml.section("tls", |yaml| write_tls(yaml, &upstream.tls));
}

fn write_path_filter(yaml: &mut Yaml, filter: &PathFilter) {
    let mode = match filter.mode {
        FilterMode::Blacklist => "blacklist",
        FilterMode::Whitelist => "whitelist",
    };
    yaml.key("mode", mode);
    yaml.list("patterns", filter.patterns().map(ToOwned::to_owned));
}

fn write_tls(yaml: &mut Yaml, tls: &UpstreamTls) {
    write_tls_files(yaml, tls.ca_file.as_deref(), tls.identity.as_ref());
    yaml.key("insecureSkipVerify", tls.verification == TlsVerification::None);
}

fn write_tls_files(yaml: &mut Yaml, ca_file: Option<&Path>, identity: Option<&ClientIdentity>) {
    let file = |path: Option<&Path>| path.map_or_else(|| "\"\"".to_owned(), quoted_path);
    yaml.key("caFile", file(ca_file));
    yaml.key("certFile", file(identity.map(|identity| identity.cert_file.as_path())));
    yaml.key("keyFile", file(identity.map(|identity| identity.key_file.as_path())));
}

fn delivery_word(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Auto => "auto",
        Delivery::AtLeastOnce => "at-least-once",
        Delivery::AtMostOnce => "at-most-once",
    }
}

/// A double-quoted YAML scalar, its `${` escaped.
fn quoted(text: &str) -> String {
    let escaped = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    let inner: String = text.replace("${", "$${").chars().map(escaped).collect();
    format!("\"{inner}\"")
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// YAML as it is written, line by line.
#[derive(Default)]
struct Yaml {
    text: String,
    indent: usize,
    /// Whether the next line begins an item of a list.
    begins_item: bool,
    /// What comes before the keys that are written: `limits.`, `upstreams[/api].`.
    path: String,
    settings: Vec<Setting>,
}

impl Yaml {
    fn line(&mut self, line: &str) {
        let margin = if std::mem::take(&mut self.begins_item) {
            " ".repeat(self.indent - 2) + "- "
        } else {
            " ".repeat(self.indent)
        };
        self.text.extend([&margin, line, "\n"]);
    }

    fn key(&mut self, key: &str, value: impl Display) {
        self.line(&format!("{key}: {value}"));
        self.note(key, value.to_string(), None);
    }

    fn commented(&mut self, key: &str, value: &str, comment: &str) {
        self.line(&format!("{key}: {value} # {comment}"));
        self.note(key, value.to_owned(), None);
    }

    fn secret(&mut self, key: &str, secret: &Secret) {
        let mask = "\"***\"";
        self.line(&format!("{key}: {mask} # not shown"));
        self.note(key, mask.to_owned(), Some(secret.clone()));
    }

    fn note(&mut self, key: &str, value: String, secret: Option<Secret>) {
        self.settings.push(Setting { key: format!("{}{key}", self.path), value, secret });
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.key(key, GoDuration::from(value));
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        let items: Vec<_> = items.map(|item| quoted(&item)).collect();
        self.key(key, format!("[{}]", items.join(", ")));
    }

    fn section(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.line(&format!("{key}:"));
        self.indent += 2;
        self.within(&format!("{key}."), write);
        self.indent -= 2;
    }

    /// Writes an item of a list, which is known by `name`.
    fn item(&mut self, list: &str, name: &str, write: impl FnOnce(&mut Self)) {
        self.indent += 4;
        self.begins_item = true;
        self.within(&format!("{list}[{name}]."), write);
        self.indent -= 4;
    }

    fn within(&mut self, step: &str, write: impl FnOnce(&mut Self)) {
        let outside = self.path.len();
        self.path += step;
        write(self);
        self.path.truncate(outside);
    }
}
