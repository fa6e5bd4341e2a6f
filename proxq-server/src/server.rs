//! A server: wires the stages. With `server/live.rs`, the only file that knows all of them.

mod certificates;
mod live;
mod operators;
mod services;
mod stages;
mod store_check;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::net::TcpListener;

use self::certificates::Certificates;
use self::live::Live;
use self::operators::{AdminListener, Operators};
use self::services::Services;
pub use self::store_check::{StoreCheck, StoreCheckError, check_store};
use crate::cache::ResponseCache;
use crate::clock::Clock;
use crate::config::{self, Config, KeyFileError, StoreConfig, SyncMode};
use crate::deployment::KnownDeployment;
use crate::ended::JobWaiters;
use crate::failure::chain;
use crate::flow::{Gates, hold_places};
use crate::forward::Forwarder;
use crate::listen::Surface;
use crate::metrics::{Metrics, StoreMetrics};
use crate::sealing::Keyring;
use crate::shutdown::Phases;
pub use crate::store::embedded::OpenError as EmbeddedOpenError;
use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};
pub use crate::store::redis::OpenError as RedisOpenError;
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::{JobStore, StoreError};
use crate::tasks::{self, Cores};
use crate::tls::TlsFileError;
use crate::traces::Traces;
use crate::upkeep;
use crate::worker::{AttemptContext, Worker};

/// A proxq server that listens and has its store open.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    certificates: Certificates,
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    clock: Clock,
    forwarder: Forwarder,
    cores: Cores,
    admin: Option<AdminListener>,
    metrics: Arc<Metrics>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken, not ours, or no address at all.
    #[error("listen at {address}")]
    Listen {
        /// As configured.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file of the token for operators cannot be read.
    #[error("read the token for operators from {}", file.display())]
    AdminToken {
        /// As configured.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("open the job store")]
    Store(#[from] EmbeddedOpenError),
    /// The store in Redis cannot even be tried.
    #[error("open the job store")]
    Redis(#[from] RedisOpenError),
    /// The store was opened and does not answer.
    #[error("read the job store")]
    Deployment(#[from] StoreError),
    /// The TLS files of a listener cannot be used.
    #[error("prepare TLS for those who connect")]
    Tls(#[source] TlsFileError),
    /// An upstream's TLS files cannot be used.
    #[error("prepare the connections to the upstreams")]
    Upstream(#[from] TlsFileError),
    /// A key of the encryption at rest cannot be used.
    #[error("read the keys of the encryption at rest")]
    Encryption(#[from] KeyFileError),
    /// The operating system gives no threads.
    #[error("start threads")]
    Threads(#[source] io::Error),
}

impl Server {
    /// Listens at the configured address and opens the store.
    ///
    /// # Errors
    /// Where either is not possible.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let listener = listen(&config.listen_address).await?;
        Self::on(listener, config).await
    }

    /// Takes a socket that listens already, instead of the configured address, and opens the store.
    ///
    /// # Errors
    /// Where the store cannot be opened, or TLS files cannot be used.
    pub async fn on(listener: TcpListener, config: Config) -> Result<Self, StartError> {
        for warning in config::warnings(&config) {
            tracing::warn!(warning, "configuration");
        }
        let certificates = Certificates::load(&config).map_err(StartError::Tls)?;
        let forwarder = Forwarder::new(&config.upstreams)?;
        let clock = Clock::new();
        let cores = Cores::start().map_err(StartError::Threads)?;
        let admin = match &config.admin {
            Some(admin) => Some(AdminListener::bind(admin).await?),
            None => None,
        };
        let metrics = Arc::<Metrics>::default();
        let keys = Arc::new(config::read_keyring(config.encryption.as_ref())?);
        let store = open_store(&config, keys, clock, metrics.store.clone()).await?;
        Ok(Self { listener, certificates, config: Arc::new(config), store, clock, forwarder, cores, admin, metrics })
    }

    /// Where it listens; the port is the real one where port 0 was asked for.
    ///
    /// # Errors
    /// Where the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where operators are listened to, if they are.
    ///
    /// # Errors
    /// Where the operating system does not tell.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        operators::address(self.admin.as_ref()).transpose()
    }

    /// What the URLs of clients and of operators begin with: `http` or `https`.
    #[must_use]
    pub fn schemes(&self) -> [&'static str; 2] {
        let scheme = |speaks_tls| if speaks_tls { "https" } else { "http" };
        [scheme(self.config.tls_of_clients().is_some()), scheme(self.config.tls_of_operators().is_some())]
    }

    /// Serves until `stop` ends, then drains (`shutdownTimeout` at most, and a few seconds to settle what is aborted).
    ///
    /// Dropped before its end, it stops at once, as in a crash: jobs are safe, running attempts are in doubt.
    ///
    /// # Errors
    /// Where the store does not answer at the start.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        self.run_reloading(stop, stream::pending()).await
    }

    /// The same, going on with each configuration that `configs` gives, as far as a server can while it runs. No
    /// connection and no job is dropped for it. What cannot be taken over is refused as a whole, and said in the log.
    ///
    /// # Errors
    /// Where the store does not answer at the start.
    pub async fn run_reloading(
        self,
        stop: impl Future<Output = ()>,
        configs: impl Stream<Item = Config>,
    ) -> Result<(), StartError> {
        let Self { listener, certificates, config, store, clock, forwarder, cores, admin, metrics } = self;
        let phases = Phases::on(&cores);
        let _stopped_when_dropped = phases.stop_when_dropped();
        let deployment = Arc::new(KnownDeployment::unknown());
        match deployment.ask(&*store).await {
            Ok(()) => {}
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Full { .. })) => {
                tracing::warn!(error = chain(&error), "the store does not answer; no jobs are taken in until it does");
                let asking = Arc::clone(&deployment);
                phases.upkeep.spawn(asking.ask_until_known(Arc::clone(&store) as _, phases.stop.draining.clone()));
            }
            Err(error) => return Err(error.into()),
        }
        let cache = ResponseCache::open(&config.cache, store.shared_values(), clock, Arc::clone(&metrics));
        let traces = Traces::start(
            &config.otlp,
            instance_name(),
            forwarder.clone(),
            Arc::clone(&metrics),
            &phases.upkeep,
            phases.stop.finished.clone(),
        );
        let context = Arc::new(AttemptContext { config, forwarder, cache, traces, former: Vec::new() });
        let tasks = phases.attempts.clone();
        let gates = Arc::new(Gates::new(
            &context.config,
            Arc::clone(&store) as _,
            clock,
            phases.connections.clone(),
            Arc::clone(&metrics),
        ));
        phases.upkeep.spawn(hold_places(Arc::clone(&gates), phases.stop.finished.clone()));
        let (passed, signals) = (Arc::clone(&gates), phases.stop.clone());
        let worker = Worker::new(Arc::clone(&context), Arc::clone(&store) as _, clock, passed, tasks, signals);
        let worker = Arc::new(worker);
        Arc::clone(&worker).start(&phases.upkeep);
        phases.upkeep.spawn(upkeep::run(Arc::clone(&store) as _, Arc::clone(&metrics), phases.stop.finished.clone()));
        let services = Services {
            store: Arc::clone(&store),
            waiters: Arc::new(JobWaiters::new(
                Arc::clone(&store) as _,
                metrics.wait_subscribers.clone(),
                phases.stop.draining.clone(),
            )),
            gates,
            clock,
            metrics: Arc::clone(&metrics),
            deployment,
            connections: phases.connections.clone(),
            draining: phases.stop.draining.clone(),
            cut: phases.cut.clone(),
        };
        certificates.keep_renewed(clock, &phases.upkeep, &phases.stop.finished);
        let of_operators = certificates.of_operators();
        let operators = admin.map(|admin| Operators::start(admin, of_operators, &services, &context, &phases));
        let served = services.served(&context);
        let draining = phases.stop.draining.clone();
        let surface = Arc::new(Surface::new(
            served,
            certificates.of_clients(),
            metrics.clients.clone(),
            phases.connections.clone(),
            draining,
            phases.cut.clone(),
        ));
        phases.connections.spawn(Arc::clone(&surface).serve(listener, phases.connections.clone()));
        let mut live = Live { services, context, worker, surface, certificates, operators };
        tokio::select! {
            () = stop => {}
            () = live.follow(configs) => {}
        }
        phases.drain(live.context.config.shutdown_timeout, &*store).await;
        cores.end().await;
        Ok(())
    }
}

/// Listens at an address; all interfaces of a machine without IPv6 are those of IPv4.
async fn listen(address: &str) -> Result<TcpListener, StartError> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
            TcpListener::bind(address.replace("[::]", "0.0.0.0")).await
        }
        bound => bound,
    };
    bound.map_err(|source| StartError::Listen { address: address.to_owned(), source })
}

async fn open_store(
    config: &Config,
    keys: Arc<Keyring>,
    clock: Clock,
    metrics: StoreMetrics,
) -> Result<Arc<dyn JobStore>, StartError> {
    if let Some(key) = keys.sealing_id() {
        tracing::info!(%key, "requests and results are sealed before they are stored");
    }
    match &config.store {
        StoreConfig::Embedded { data_dir, sync } => {
            if *sync == SyncMode::OperatingSystem {
                tracing::warn!("embedded.fsync is off: acknowledged jobs may be lost when the power fails");
            }
            tracing::info!(data_dir = %data_dir.display(), "jobs are kept in the embedded store");
            let options = EmbeddedOptions {
                data_dir: data_dir.clone(),
                sync: *sync,
                settings: config.into(),
                instance: instance_name(),
                keys,
                metrics,
            };
            let opened = tasks::blocking(move || EmbeddedStore::open(options, clock)).await;
            Ok(Arc::new(opened.expect("opening a store does not panic")?))
        }
        StoreConfig::Redis(server) => {
            tracing::info!(%server, queue = %config.queue, "jobs are kept in Redis");
            let options = RedisOptions {
                server: server.clone(),
                queue: config.queue.clone(),
                settings: config.into(),
                instance: instance_name(),
                keys,
                metrics,
            };
            Ok(Arc::new(RedisStore::open(options, clock)?))
        }
    }
}

/// Tells this process from others on the same store.
fn instance_name() -> String {
    let host = rustix::system::uname();
    format!("{}:{}", host.nodename().to_string_lossy(), std::process::id())
}
