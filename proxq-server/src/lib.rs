//! proxq turns any HTTP request into a durable job: it answers `202` with the job's id at once, a worker forwards the
//! request to the matching upstream, and the client fetches the upstream's exact response later.
//!
//! Data moves one way:
//!
//! ```text
//! listen → intake → route → admit → (direct | store) → worker → (cache | forward) → store → jobs_api
//! ```
//!
//! `job`, `config` and `clock` are vocabulary for all stages, `store::JobStore` is the seam to whatever keeps the jobs;
//! beyond these a stage knows only what stands to its right. `server.rs` joins them.
//!
//! Public is what it takes to run a server inside another program: a [`Config`] and what it is built from, a [`Server`],
//! and something that says when to stop, such as [`StopRequests`].
//!
//! ```no_run
//! use proxq_server::{Config, Server, UpstreamUrl};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::for_upstream(UpstreamUrl::new("http://127.0.0.1:3000")?);
//! let server = Server::bind(config).await?;
//! println!("listening at {}", server.local_addr()?);
//! server.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod access_token;
mod admin;
mod admit;
mod arrival;
mod cache;
mod cli;
mod clock;
mod commands;
mod config;
#[cfg(test)]
mod costs;
mod credential;
mod current;
mod default_port;
mod deployment;
mod direct;
mod ended;
mod failure;
mod flow;
mod follow;
mod forward;
mod healthcheck;
mod idempotency;
mod intake;
mod job;
mod jobs_api;
mod key_file;
mod list_items;
mod listen;
mod lock;
#[cfg(test)]
mod log_lines;
mod metrics;
mod multipart;
mod pacing;
mod path;
mod process;
#[doc(hidden)]
pub mod program;
mod random;
mod redirects;
mod reload;
mod replay;
mod reply;
mod result_url;
mod route;
mod sealing;
mod seldom;
mod server;
mod shortage;
mod shutdown;
mod slots;
mod spelling;
mod stop_signals;
mod store;
mod tasks;
mod telemetry;
mod tls;
mod traces;
mod trust;
mod turns;
mod upkeep;
mod upload;
mod worker;

pub use access_token::TokenDigest;
pub use config::{
    AccessToken, AdminConfig, AdminRole, AdminTls, AnswerMode, AuthConfig, CacheConfig, CacheMode, ClientIdentity,
    ClientMode, CollectorHeader, Config, DirectMode, EncryptionConfig, FilterMode, FlowControl, HeaderPattern,
    HostHeader, JobTrace, JoinRetries, KeyExclusions, KeyFileError, Limits, OnAbandon, OtlpConfig, Ownership, Password,
    PathFilter, PatternError, Patterns, Prefix, RedisAddress, RedisConfig, RedisTls, ResultUrls, Routing, Secret,
    SecretHeaders, StoreConfig, StreamDetection, SyncMode, TlsVerification, TokenScope, Upstream, UpstreamTls,
    UpstreamUrl,
};
pub use job::{Backoff, Delivery, QueueName, RetryPolicy};
pub use pacing::{
    AdaptiveRange, BreakerPolicy, ConcurrencyScope, Fairness, Pace, PerCredential, QueueLimits, Rate, RateError,
};
pub use server::{EmbeddedOpenError, RedisOpenError, Server, StartError};
pub use shutdown::StopRequests;
pub use store::StoreError;
pub use tls::{ServerTls, TlsFileError};
pub use trust::TrustedProxies;
