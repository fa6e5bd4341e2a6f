//! What the program runs on. Valid by construction: [`Config`]'s parts check themselves, and what was checked is not
//! checked again. Which key of a file says
//! what is declared in `config/keys.rs`.

mod admin;
mod advice;
mod auth;
mod cache;
mod changes;
mod effective;
mod encryption;
mod error;
mod example;
mod form;
mod hiding;
mod keys;
pub(crate) mod listen_address;
mod listing;
mod load;
mod path_filter;
mod pattern;
mod raw;
mod redis;
mod report;
mod schema;
mod secret_headers;
mod section;
mod size;
mod substitute;
mod suggest;
mod telemetry;
mod upstream;
mod yaml_value;

use std::path::PathBuf;
use std::time::Duration;

pub use self::admin::{AdminConfig, AdminTls};
pub(crate) use self::advice::warnings;
pub(crate) use self::auth::NotLetIn;
pub use self::auth::{AccessToken, AdminRole, AuthConfig, Ownership, ResultUrls, TokenScope};
pub use self::cache::{CacheConfig, CacheMode, HeaderPattern, KeyExclusions};
pub(crate) use self::changes::{Changes, FixedSetting, changes};
pub(crate) use self::encryption::read_keyring;
pub use self::encryption::{EncryptionConfig, KeyFileError};
pub use self::error::{ConfigErrors, Mistake};
pub use self::example::example;
pub(crate) use self::keys::admin::NEEDS_TOKEN;
pub use self::load::Loaded;
pub(crate) use self::load::load;
pub use self::path_filter::{FilterMode, PathFilter};
pub use self::pattern::{PatternError, Patterns};
pub use self::redis::{Password, RedisAddress, RedisConfig, RedisTls, Secret};
pub use self::report::{differences_report, report};
pub use self::schema::schema;
pub use self::secret_headers::SecretHeaders;
pub(crate) use self::section::shown_url;
pub use self::telemetry::{CollectorHeader, JobTrace, OtlpConfig};
use self::upstream::queue_of_prefix;
pub use self::upstream::{
    AnswerMode, ClientIdentity, ClientMode, DirectMode, FlowControl, HostHeader, JoinRetries, OnAbandon, Prefix,
    StreamDetection, TlsVerification, Upstream, UpstreamTls, UpstreamUrl,
};
pub(crate) use self::upstream::{FOLLOW_HOPS, FOLLOW_WAIT};
use crate::job::QueueName;
use crate::tls::ServerTls;
use crate::trust::TrustedProxies;

/// Where the embedded store is unless it is said otherwise.
const DATA_DIR: &str = "proxq-data";

/// How long ended jobs are kept unless it is said otherwise.
const TASK_RETENTION: Duration = Duration::from_hours(1);

/// The configuration of one server.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` to listen at; the host may be a name.
    pub listen_address: String,
    /// The files of TLS, where clients connect by it.
    pub tls: Option<ServerTls>,
    /// Where jobs are kept.
    pub store: StoreConfig,
    /// The queue that this server feeds and works on.
    pub queue: QueueName,
    /// Attempts at once; 0 for a front that only accepts.
    pub concurrency: usize,
    /// Root of the jobs API.
    pub jobs_path: Prefix,
    /// Which prefixes may stand beside each other.
    pub routing: Routing,
    /// How long ended jobs and their responses stay readable.
    pub task_retention: Duration,
    /// The longest that a client may wait for a job in one request.
    pub max_wait: Duration,
    /// The longest that a submission may be delayed.
    pub max_delay: Duration,
    /// How long an idempotency key stands for its job.
    pub idempotency_ttl: Duration,
    /// How long running attempts may go on after a signal to stop.
    pub shutdown_timeout: Duration,
    /// Bodies above it, in bytes, are streamed to and from blobs.
    pub inline_body_limit: u64,
    /// How much of a body is looked at to tell whether it asks for a stream, in bytes.
    pub stream_peek_limit: u64,
    /// The largest response that is taken from an upstream, in bytes.
    pub max_response_size: u64,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// Names this deployment in `Via`; `None` for the name kept in the store.
    pub via_name: Option<String>,
    /// How often a request may come back to this deployment.
    pub max_hops: u32,
    /// How many lost leases end a job.
    pub max_lease_losses: u32,
    /// Headers that are secret.
    pub secret_headers: SecretHeaders,
    /// Whether responses are kept for equal requests.
    pub cache: CacheConfig,
    /// Limits on client connections.
    pub limits: Limits,
    /// The listener for operators, if there is one.
    pub admin: Option<AdminConfig>,
    /// With which keys jobs are sealed, if they are.
    pub encryption: Option<EncryptionConfig>,
    /// Who may use it, and whose a job is.
    pub auth: AuthConfig,
    /// Where traces are sent.
    pub otlp: OtlpConfig,
    /// Where requests go.
    pub upstreams: Vec<Upstream>,
}

impl Config {
    /// One upstream under `/` and every default: what `proxq --upstream URL` runs on.
    #[must_use]
    pub fn for_upstream(url: UpstreamUrl) -> Self {
        Self { upstreams: vec![Upstream::new(Prefix::root(), url)], ..Self::without_upstreams() }
    }

    /// Every default. What is read from a file starts from here, so that a default is written down once.
    fn without_upstreams() -> Self {
        Self {
            listen_address: "127.0.0.1:8080".to_owned(),
            tls: None,
            store: StoreConfig::Embedded { data_dir: PathBuf::from(DATA_DIR), sync: SyncMode::Durable },
            queue: QueueName::new("default").expect("only letters"),
            concurrency: 10,
            jobs_path: Prefix::new("/__jobs").expect("starts with / and has one segment"),
            routing: Routing::Strict,
            task_retention: TASK_RETENTION,
            max_wait: Duration::from_mins(1),
            max_delay: Duration::from_hours(720),
            idempotency_ttl: TASK_RETENTION,
            shutdown_timeout: Duration::from_secs(30),
            inline_body_limit: 256 * 1024,
            stream_peek_limit: 16 * 1024 * 1024,
            max_response_size: 1024 * 1024 * 1024,
            trusted_proxies: TrustedProxies::new(["loopback", "private"]).expect("both are words it knows"),
            via_name: None,
            max_hops: 1,
            max_lease_losses: 5,
            secret_headers: SecretHeaders::default(),
            cache: CacheConfig::default(),
            limits: Limits::default(),
            admin: None,
            encryption: None,
            auth: AuthConfig::default(),
            otlp: OtlpConfig::default(),
            upstreams: Vec::new(),
        }
    }
}

/// A configuration as YAML that means the same, with every default, and secrets masked.
pub(crate) fn effective(config: &Config) -> String {
    effective::write(config)
}

impl Config {
    /// Whether what is stored is sealed.
    pub(crate) fn seals(&self) -> bool {
        self.encryption.as_ref().is_some_and(|encryption| encryption.key_file.is_some())
    }

    /// The upstream with this prefix, unless it is no longer configured.
    pub(crate) fn upstream(&self, prefix: &str) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.prefix.as_str() == prefix)
    }

    /// The files of TLS for operators, where they connect by it, and what their keys begin with.
    pub(crate) fn tls_of_operators(&self) -> Option<(&ServerTls, &'static str)> {
        match &self.admin.as_ref()?.tls {
            AdminTls::AsClients => self.tls_of_clients(),
            AdminTls::Own(files) => Some((files, "admin.tls")),
            AdminTls::Off => None,
        }
    }

    /// The same for clients.
    pub(crate) fn tls_of_clients(&self) -> Option<(&ServerTls, &'static str)> {
        self.tls.as_ref().map(|files| (files, "tls"))
    }

    /// The queues of upstreams with flow control.
    pub(crate) fn own_queues(&self) -> Vec<QueueName> {
        self.upstreams
            .iter()
            .filter(|upstream| upstream.flow.is_some())
            .map(|upstream| self.queue_of(upstream))
            .collect()
    }

    /// The queue in which an upstream's jobs wait.
    pub(crate) fn queue_of(&self, upstream: &Upstream) -> QueueName {
        match &upstream.flow.queue {
            Some(own) => own.clone(),
            None if upstream.flow.is_some() => queue_of_prefix(&self.queue, &upstream.prefix),
            None => self.queue.clone(),
        }
    }
}

/// Where jobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreConfig {
    /// In files of this process.
    Embedded {
        /// The folder.
        data_dir: PathBuf,
        /// When a write counts as done.
        sync: SyncMode,
    },
    /// In Redis, shared with other instances.
    Redis(RedisConfig),
}

impl StoreConfig {
    /// The word for it: what the key `store` says.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Redis(_) => "redis",
        }
    }
}

/// Which prefixes of upstreams may stand beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Routing {
    /// None inside another: at most one matches a path.
    Strict,
    /// Any that are not the same: of those that match a path, the longest takes it.
    LongestPrefix,
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncMode {
    /// When the disk has it: survives power loss.
    Durable,
    /// When the operating system has it: survives `kill -9`, not power loss.
    OperatingSystem,
}

/// Limits on client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request head, in bytes.
    pub max_header_bytes: usize,
    /// The longest that a request head may take from its first byte, and a new connection to its first byte.
    pub header_read_timeout: Duration,
    /// The longest that a kept-alive connection may be silent.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(2),
            max_connections: 16_384,
        }
    }
}
