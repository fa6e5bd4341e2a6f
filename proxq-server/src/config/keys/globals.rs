//! The keys at the top of the file.

use proxq_protocol::GoDuration;

use super::auth::{self, ReadToken};
use super::store::{self, StoreKeys};
use super::telemetry;
use super::upstreams::{self, ReadUpstream};
use super::{Keys, admin, as_written, choice_of, encryption, key, queue_name, tls, word_of};
use crate::config::form::Form;
use crate::config::section::{At, Section, Written, shown};
use crate::config::yaml_value::YamlValue;
use crate::config::{CacheConfig, CacheMode, Config, Limits, Prefix, Routing, SecretHeaders, listen_address, size};
use crate::trust::TrustedProxies;

/// The values of all keys of a file.
pub(in crate::config) struct Globals {
    /// Everything but the store and the upstreams.
    pub(in crate::config) config: Config,
    /// Whether `listenAddress` is written.
    pub(in crate::config) says_address: bool,
    /// Where the address for operators stands, if other machines reach it and `admin` has no token.
    pub(in crate::config) admin_open_at: Option<At>,
    pub(in crate::config) store: StoreKeys,
    pub(in crate::config) tokens: Vec<ReadToken>,
    pub(in crate::config) upstreams: Vec<ReadUpstream>,
}

impl Globals {
    /// The values that mean this configuration.
    pub(in crate::config) fn of(config: Config) -> Self {
        let upstreams = config.upstreams.iter().cloned().map(ReadUpstream::from).collect();
        let tokens = config.auth.tokens.iter().cloned().map(ReadToken::from).collect();
        let store = StoreKeys::of(&config.store);
        Self { says_address: false, admin_open_at: None, store, tokens, upstreams, config }
    }
}

/// Keys of the whole file whose features come later, and what to do without them.
const LATER: [(&str, &str); 2] = [("callbacks", "remove it"), ("schedules", "remove it")];

const ROUTINGS: [(&str, Routing); 2] = [("strict", Routing::Strict), ("longest-prefix", Routing::LongestPrefix)];

const CACHE_MODES: [(&str, CacheMode); 3] =
    [("none", CacheMode::None), ("memory", CacheMode::Memory), ("redis", CacheMode::Redis)];

/// All keys of a file.
pub(in crate::config) fn declare(keys: &mut impl Keys, globals: &mut Globals) {
    keys.key(
        key("listenAddress", "Where clients connect. :8080 listens on all interfaces.").fixed(),
        Form::Text,
        globals,
        |section, name, globals| {
            if let Some(address) = section.parsed(name, listen_address::parse) {
                (globals.config.listen_address, globals.says_address) = (address.value, true);
            }
        },
        |globals| YamlValue::quoted(&globals.config.listen_address),
    );
    let about = "TLS for clients. Off without a certificate.";
    keys.only_if(globals.config.tls.is_some(), |keys| {
        keys.section(key("tls", about), |keys| tls::declare_server(keys, "tls", &mut globals.config.tls));
    });
    store::declare(keys, &mut globals.store);
    declare_queue(keys, &mut globals.config);
    declare_times(keys, &mut globals.config);
    declare_bodies(keys, &mut globals.config);
    declare_trust(keys, &mut globals.config);
    let has_redis = globals.store.is_redis();
    let about = "A response can be kept and given to later requests that are equal to its own request.";
    keys.section(key("cache", about), |keys| declare_cache(keys, &mut globals.config.cache, has_redis));
    keys.section(key("limits", ""), |keys| declare_limits(keys, &mut globals.config.limits));
    let about =
        "A second listener, for operators: dashboard, metrics and an API. Off without this section; {} turns it on.";
    keys.optional_section(key("admin", about).fixed(), &mut globals.config.admin, |keys, admin| {
        admin::declare(keys, admin, &mut globals.admin_open_at);
    });
    let about = "Requests and results can be sealed before they are stored, so that whoever reads the store learns nothing of them.";
    keys.optional_section(key("encryption", about).fixed(), &mut globals.config.encryption, encryption::declare);
    keys.section(key("auth", "Who may use this server, and whose a job is."), |keys| {
        auth::declare(keys, &mut globals.config.auth, &mut globals.tokens);
    });
    let about = "What others can see of this server.";
    keys.section(key("telemetry", about), |keys| telemetry::declare(keys, &mut globals.config.otlp));
    keys.sections(
        key("upstreams", ""),
        "at least one upstream is required, with a prefix and a url",
        &mut globals.upstreams,
        ReadUpstream::empty,
        |keys, read| upstreams::declare(keys, read, has_redis),
        |read| read.upstream.prefix.to_string(),
    );
    keys.later(&LATER);
}

fn declare_queue(keys: &mut impl Keys, config: &mut Config) {
    let queue = key("queue", "Name of the queue: letters, digits and . _ : -").fixed();
    keys.text(queue, &mut config.queue, queue_name, |queue| YamlValue::quoted(queue.as_str()));
    keys.count(key("concurrency", "The number of attempts at once. 0: only accept jobs."), &mut config.concurrency, 0);
    let jobs = key("jobsPath", "Root of the jobs API. No upstream can have these paths.").fixed();
    keys.text(jobs, &mut config.jobs_path, jobs_path, |path| YamlValue::quoted(path.as_str()));
    let routing = key(
        "routing",
        "Which prefixes of upstreams are allowed beside each other. `strict`: none inside another, and `/` only \
         alone; `longest-prefix`: any, and the longest one that matches a path takes it.",
    );
    keys.choice(routing, &mut config.routing, &ROUTINGS);
}

fn declare_times(keys: &mut impl Keys, config: &mut Config) {
    let retention = "How long completed and failed jobs, and their responses, can be fetched.";
    keys.duration(key("taskRetention", retention), &mut config.task_retention);
    keys.duration(
        key("maxWait", "The longest that one request may wait for its job.").example("60s"),
        &mut config.max_wait,
    );
    keys.duration(
        key("maxDelay", "The longest that X-Proxq-Delay, X-Proxq-Start-Within and X-Proxq-Deadline may be."),
        &mut config.max_delay,
    );
    keys.section(key("idempotency", ""), |keys| {
        let longest = config.task_retention;
        keys.key(
            key(
                "ttl",
                "How long a submission claims its Idempotency-Key. At most taskRetention, which is also the default.",
            ),
            Form::Duration,
            &mut config.idempotency_ttl,
            |section, name, ttl| {
                *ttl = section.duration(name, longest);
                // A key that outlived its job would stand for nothing.
                if *ttl > longest {
                    let longest = GoDuration::from(longest);
                    section.note(&section.at_of(name), format!("must be at most taskRetention, which is {longest}"));
                }
            },
            |ttl| YamlValue::plain(GoDuration::from(*ttl)),
        );
    });
    let shutdown = "How long running attempts may continue after a signal to stop.";
    keys.duration(key("shutdownTimeout", shutdown), &mut config.shutdown_timeout);
}

fn declare_bodies(keys: &mut impl Keys, config: &mut Config) {
    let inline = "Larger bodies are kept beside the jobs and streamed.";
    keys.size(key("inlineBodyLimit", inline), &mut config.inline_body_limit);
    let peek = "How much of a JSON or form body proxq reads to find out whether it asks for a stream.";
    keys.size(key("streamPeekLimit", peek), &mut config.stream_peek_limit);
    keys.size(key("maxResponseSize", "A job fails if its response is larger."), &mut config.max_response_size);
}

fn declare_trust(keys: &mut impl Keys, config: &mut Config) {
    let trusted = key(
        "trustedProxies",
        "Peers whose X-Forwarded-* headers proxq believes: networks, addresses, and the words `loopback` and \
         `private`. With [] proxq believes no peer.",
    );
    keys.key(
        trusted.example("[loopback, private]"),
        Form::Texts,
        &mut config.trusted_proxies,
        read_trusted_proxies,
        |trusted| YamlValue::list(trusted.networks()),
    );
    let via = "This deployment's name in Via, by which it recognises its own requests. Empty: a random name, kept in \
               the store.";
    keys.text(
        key("viaName", via),
        &mut config.via_name,
        |text| pseudonym(text).map(Some),
        |name| match name {
            Some(name) => YamlValue::quoted(name),
            None => YamlValue::quoted("").with_remark("random, kept in the store"),
        },
    );
    let hops = "How often a request may come back to this deployment before proxq refuses it as a loop.";
    keys.count(key("maxHops", hops), &mut config.max_hops, 0);
    let losses = "A job whose lease was lost more often than this ends as failed.";
    keys.count(key("maxLeaseLosses", losses), &mut config.max_lease_losses, 0);
    let secret = key(
        "secretHeaders",
        "More headers to treat as secret, beside Authorization, Cookie and all headers with the name of a credential. \
         proxq erases them when a job is completed.",
    );
    keys.key(
        secret.example("[]"),
        Form::Texts,
        &mut config.secret_headers,
        |section, name, headers| *headers = SecretHeaders::with(section.header_names(name)),
        |headers| YamlValue::list(headers.names().iter().map(http::HeaderName::as_str)),
    );
}

fn declare_cache(keys: &mut impl Keys, cache: &mut CacheConfig, has_redis: bool) {
    keys.key(
        key("mode", "`none`; `memory`: in this process; `redis`: in the Redis that keeps the jobs, for all instances."),
        choice_of(&CACHE_MODES),
        &mut cache.mode,
        |section, name, mode| {
            let Some(written) = section.choice(name, &CACHE_MODES) else { return };
            *mode = written.value;
            if *mode == CacheMode::Redis && !has_redis {
                let problem =
                    "\"redis\" needs the jobs in Redis, too (store: redis); write memory, or add a redis section";
                section.note(&written.at, problem);
            }
        },
        |mode| YamlValue::plain(word_of(&CACHE_MODES, *mode)),
    );
    let ttl = "The longest that a response is kept; its upstream may ask for less.";
    keys.duration(key("ttl", ttl), &mut cache.ttl);
    keys.key(
        key(
            "maxEntries",
            "How many responses are kept in memory, and how much memory they take. The least recently used is dropped \
             first.",
        ),
        Form::Count(0),
        &mut cache.max_entries,
        |section, name, entries| {
            if let Some(Written { value: written @ 1.., .. }) = section.count(name, 0) {
                *entries = written.into();
            }
        },
        |entries| YamlValue::plain(entries),
    );
    keys.size(key("maxBytes", ""), &mut cache.max_bytes);
    keys.text(
        key("redisKeyPrefix", "The beginning of their keys in Redis."),
        &mut cache.redis_key_prefix,
        as_written,
        |prefix| YamlValue::quoted(prefix),
    );
}

fn declare_limits(keys: &mut impl Keys, limits: &mut Limits) {
    keys.key(
        key("maxHeaderBytes", "The largest request head."),
        Form::Size,
        &mut limits.max_header_bytes,
        |section, name, bytes| {
            *bytes = usize::try_from(section.size(name, *bytes as u64)).unwrap_or(usize::MAX);
        },
        |bytes| YamlValue::plain(size::display(*bytes as u64)),
    );
    let head =
        "Limit for a request head, from its first byte; for a new connection also the limit for that first byte.";
    keys.duration(key("headerReadTimeout", head), &mut limits.header_read_timeout);
    let idle = key(
        "idleTimeout",
        "Limit for a connection between requests, for a body that stops arriving, for the rest of a body that was \
         answered early, and for a client (or either end of a WebSocket) that does not read what it is sent.",
    );
    keys.duration(idle.example("120s"), &mut limits.idle_timeout);
    let connections = key(
        "maxConnections",
        "Client connections at once. Fewer are taken where the limit on open files (`ulimit -n`) leaves no room for \
         more.",
    );
    keys.count(connections, &mut limits.max_connections, 1);
}

fn read_trusted_proxies(section: &mut Section<'_>, name: &'static str, trusted: &mut TrustedProxies) {
    let Some(entries) = section.texts(name) else { return };
    for Written { value, at } in &entries {
        if TrustedProxies::new([value.as_str()]).is_err() {
            let problem = "is not a network such as 10.0.0.0/8, an address, or one of the words loopback and private";
            section.note(at, format!("{} {problem}", shown(value)));
        }
    }
    if let Ok(written) = TrustedProxies::new(entries.iter().map(|entry| entry.value.as_str())) {
        *trusted = written;
    }
}

fn jobs_path(text: &str) -> Result<Prefix, &'static str> {
    let path = Prefix::new(text)?;
    if path == Prefix::root() { Err("must not be /: the jobs API would hide every upstream") } else { Ok(path) }
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
