//! A server at work, and how another configuration reaches its stages without a request or an attempt noticing.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::cache::ResponseCache;
use crate::clock::Clock;
use crate::config::{self, Changes, Config, Upstream};
use crate::deployment::KnownDeployment;
use crate::direct::Direct;
use crate::ended::Waits;
use crate::failure::chain;
use crate::forward::TlsFileError;
use crate::intake::Intake;
use crate::jobs_api::JobsApi;
use crate::listen::{Stages, Surface};
use crate::store::JobStore;
use crate::tasks::Tasks;
use crate::worker::{Means, Worker};

/// How many upstreams are remembered that reloads have removed: more than anyone removes while their jobs last.
const FORMER_MAX: usize = 100;

/// What stays the same in every configuration.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) waits: Arc<Waits>,
    pub(super) clock: Clock,
    pub(super) deployment: Arc<KnownDeployment>,
    pub(super) connections: Tasks,
    pub(super) draining: CancellationToken,
    pub(super) cut: CancellationToken,
}

impl Lasting {
    /// The stages that handle requests with these means.
    pub(super) fn stages(&self, means: &Means) -> Stages {
        let Self { store, waits, clock, deployment, connections, draining, cut } = self.clone();
        let config = &means.config;
        let stall_limit = config.limits.idle_timeout;
        let direct = Direct::new(means.forwarder.clone(), connections, cut, stall_limit);
        Stages {
            jobs_api: JobsApi::new(
                Arc::clone(config),
                Arc::clone(&store),
                Arc::clone(&waits),
                Arc::clone(&deployment),
                draining,
            ),
            intake: Intake::new(Arc::clone(config), store, waits, direct, clock, deployment),
            config: Arc::clone(config),
        }
    }
}

/// A server at work.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) lasting: Lasting,
    pub(super) means: Arc<Means>,
    pub(super) worker: Arc<Worker>,
    pub(super) surface: Arc<Surface>,
}

impl Live {
    /// Takes configurations over as they come, one after the other. Never returns.
    pub(super) async fn follow(&mut self, configs: impl Stream<Item = Config>) {
        let mut configs = pin!(configs);
        while let Some(config) = configs.next().await {
            self.reload(config).await;
        }
        std::future::pending::<()>().await;
    }

    /// Takes a configuration over, or leaves everything as it was and says why. Dropped, it has done one or the other.
    async fn reload(&mut self, config: Config) {
        let mut changed = match config::changes(&self.means.config, &config) {
            Changes::Possible(keys) => keys,
            Changes::NeedRestart(settings) => {
                for config::FixedSetting { key, old, new } in settings {
                    tracing::error!(
                        key,
                        old,
                        new,
                        "configuration not reloaded: this cannot change while proxq runs; restart it, or undo the change"
                    );
                }
                return;
            }
        };
        let means = match self.renew(config).await {
            Ok(means) => means,
            Err(error) => {
                return tracing::error!(error = chain(&error), "configuration not reloaded: the former one stays");
            }
        };
        let other_files = means.forwarder.with_other_files(&self.means.forwarder);
        changed.extend(other_files.into_iter().map(|prefix| format!("upstreams[{prefix}].tls (contents of files)")));
        if changed.is_empty() {
            return tracing::info!("configuration reloaded: nothing has changed");
        }
        let known = config::warnings(&self.means.config);
        for warning in config::warnings(&means.config).into_iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!(warning, "configuration");
        }
        self.equip(means);
        tracing::info!(changed = changed.join(", "), "configuration reloaded");
    }

    /// The means that a configuration calls for, made from the present ones where they are the same.
    async fn renew(&self, config: Config) -> Result<Means, TlsFileError> {
        let former = former(&self.means, &config);
        let forwarder = self.means.forwarder.clone();
        let cache = if config.cache == self.means.config.cache {
            self.means.cache.clone()
        } else {
            ResponseCache::open(&config.cache, self.lasting.store.shared_values(), self.lasting.clock)
        };
        // Reads files.
        let renewed = tokio::task::spawn_blocking(move || {
            let forwarder = forwarder.renewed(&config.upstreams, &former)?;
            Ok(Means { config: Arc::new(config), forwarder, cache, former })
        });
        renewed.await.expect("reading certificates does not panic")
    }

    /// Goes on with other means. The store first: whatever the others bring it, it judges by the same configuration.
    fn equip(&mut self, means: Means) {
        self.means = Arc::new(means);
        self.lasting.store.reconfigure((&*self.means.config).into());
        self.worker.equip(Arc::clone(&self.means));
        self.surface.equip(self.lasting.stages(&self.means));
    }
}

/// The upstreams that this configuration no longer has, latest first.
fn former(before: &Means, config: &Config) -> Vec<Upstream> {
    let upstreams = before.config.upstreams.iter().chain(&before.former);
    upstreams.filter(|upstream| config.upstream(upstream.prefix.as_str()).is_none()).take(FORMER_MAX).cloned().collect()
}
