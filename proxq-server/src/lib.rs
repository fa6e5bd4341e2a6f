//! proxq turns any HTTP request into a durable job: it answers `202` with the job's id at once, a worker forwards the
//! request to the matching upstream, and the client fetches the upstream's exact response later.
//!
//! Data moves one way:
//!
//! ```text
//! listen → intake → route → admit → (direct | store) → worker → (cache | forward) → store → jobs_api
//! ```
//!
//! [`job`], [`config`] and [`clock`] are vocabulary for all stages, [`store::JobStore`] is the seam to whatever keeps
//! the jobs; beyond these a stage knows only what stands to its right. `server.rs` joins them.
//!
//! Public is what it takes to run a server inside a program of one's own: a [`config::Config`], a [`Server`], and
//! something that says when to stop, such as [`shutdown::StopRequests`]. What else can be seen is there for the program
//! `proxq` and for the types of these; it may change with any release.
//!
//! ```no_run
//! use proxq_server::Server;
//! use proxq_server::config::{Config, UpstreamUrl};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::for_upstream(UpstreamUrl::new("http://127.0.0.1:3000")?);
//! let server = Server::bind(config).await?;
//! println!("listening at {}", server.local_addr()?);
//! server.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod admit;
mod arrival;
mod cache;
pub mod cli;
pub mod clock;
pub mod config;
mod credential;
mod current;
mod deployment;
mod direct;
mod ended;
mod failure;
mod forward;
pub mod healthcheck;
mod idempotency;
mod intake;
pub mod job;
mod jobs_api;
mod listen;
mod multipart;
mod path;
pub mod process;
mod redirects;
pub mod reload;
mod replay;
mod reply;
mod route;
mod server;
mod shortage;
pub mod shutdown;
mod slots;
mod spelling;
pub mod store;
mod tasks;
pub mod telemetry;
pub mod trust;
mod upkeep;
mod upload;
mod worker;

pub use failure::chain;
pub use forward::TlsFileError;
pub use server::{Server, StartError};
