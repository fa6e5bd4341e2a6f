//! A server at work, and how another configuration reaches its stages without a request or an attempt noticing.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};

use super::certificates::{Certificates, Renewals};
use super::operators::Operators;
use super::services::Services;
use crate::cache::ResponseCache;
use crate::config::{self, Changes, Config, Upstream};
use crate::failure::chain;
use crate::listen::Surface;
use crate::tasks;
use crate::tls::TlsFileError;
use crate::worker::{AttemptContext, Worker};

/// How many upstreams are remembered that reloads have removed: more than anyone removes while their jobs last.
const FORMER_MAX: usize = 100;

/// A server at work.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) services: Services,
    pub(super) context: Arc<AttemptContext>,
    pub(super) worker: Arc<Worker>,
    pub(super) surface: Arc<Surface>,
    pub(super) certificates: Certificates,
    pub(super) operators: Option<Operators>,
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
        let mut changed = match config::changes(&self.context.config, &config) {
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
        let (context, renewals) = match self.renew(config).await {
            Ok(renewed) => renewed,
            Err(error) => {
                return tracing::error!(error = chain(&error), "configuration not reloaded: the former one stays");
            }
        };
        let other_files = context.forwarder.with_other_files(&self.context.forwarder);
        changed.extend(other_files.into_iter().map(|prefix| format!("upstreams[{prefix}].tls (contents of files)")));
        changed.extend(renewals.with_other_contents());
        if changed.is_empty() {
            return tracing::info!("configuration reloaded: nothing has changed");
        }
        let known = config::warnings(&self.context.config);
        for warning in config::warnings(&context.config).into_iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!(warning, "configuration");
        }
        self.replace(context);
        renewals.take_over();
        tracing::info!(changed = changed.join(", "), "configuration reloaded");
    }

    /// The attempt context of a configuration, and what listeners show by it. Parts of the present one are kept if the
    /// configuration does not change them.
    async fn renew(&self, config: Config) -> Result<(AttemptContext, Renewals), TlsFileError> {
        let former = former(&self.context, &config);
        let forwarder = self.context.forwarder.clone();
        let cache = if config.cache == self.context.config.cache {
            self.context.cache.clone()
        } else {
            let Services { store, clock, metrics, .. } = &self.services;
            ResponseCache::open(&config.cache, store.shared_values(), *clock, Arc::clone(metrics))
        };
        let traces = self.context.traces.clone();
        let (certificates, now) = (self.certificates.clone(), self.services.clock.wall());
        // Reads files.
        let renewed = tasks::blocking(move || {
            let forwarder = forwarder.renewed(&config.upstreams, &former)?;
            let renewals = certificates.renewals(&config, now)?;
            Ok((AttemptContext { config: Arc::new(config), forwarder, cache, traces, former }, renewals))
        });
        renewed.await.expect("reading certificates does not panic")
    }

    /// Replaces the context. The store comes first, so that it judges what the others bring by the same configuration.
    fn replace(&mut self, context: AttemptContext) {
        self.context = Arc::new(context);
        self.services.store.reconfigure((&*self.context.config).into());
        self.services.gates.reconfigure(&self.context.config);
        self.worker.replace(Arc::clone(&self.context));
        self.surface.replace(self.services.served(&self.context));
        if let Some(operators) = &self.operators {
            operators.replace(&self.services, &self.context);
        }
    }
}

/// The upstreams that this configuration no longer has, latest first.
fn former(before: &AttemptContext, config: &Config) -> Vec<Upstream> {
    let upstreams = before.config.upstreams.iter().chain(&before.former);
    upstreams.filter(|upstream| config.upstream(upstream.prefix.as_str()).is_none()).take(FORMER_MAX).cloned().collect()
}
