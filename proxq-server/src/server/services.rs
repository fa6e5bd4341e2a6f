//! What the stages of a server share, whatever the configuration.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::stages::Stages;
use crate::clock::Clock;
use crate::deployment::KnownDeployment;
use crate::direct::Direct;
use crate::ended::JobWaiters;
use crate::flow::Gates;
use crate::intake::Intake;
use crate::jobs_api::JobsApi;
use crate::listen::{ListenSettings, Served};
use crate::metrics::Metrics;
use crate::store::JobStore;
use crate::tasks::Tasks;
use crate::turns::TurnKeeper;
use crate::worker::AttemptContext;

/// What stays the same in every configuration.
#[derive(Clone, Debug)]
pub(super) struct Services {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) waiters: Arc<JobWaiters>,
    pub(super) gates: Arc<Gates>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) deployment: Arc<KnownDeployment>,
    pub(super) connections: Tasks,
    pub(super) draining: CancellationToken,
    pub(super) cut: CancellationToken,
}

impl Services {
    /// What clients are served in this context.
    pub(super) fn served(&self, context: &AttemptContext) -> Served {
        let Self { store, waiters, gates, clock, deployment, connections, draining, cut, .. } = self.clone();
        let config = &context.config;
        let stall_limit = config.limits.idle_timeout;
        let turns = TurnKeeper::new(Arc::clone(&store) as _, connections.clone(), draining.clone());
        let (forwarder, traces) = (context.forwarder.clone(), context.traces.clone());
        let direct = Direct::new(forwarder, Arc::clone(&gates), traces, connections, cut, stall_limit);
        let stages = Stages {
            jobs_api: JobsApi {
                config: Arc::clone(config),
                store: Arc::clone(&store) as _,
                waiters: Arc::clone(&waiters),
                deployment: Arc::clone(&deployment),
                turns: turns.clone(),
                gates: Arc::clone(&gates),
                clock,
                draining,
            },
            intake: Intake::new(Arc::clone(config), store, waiters, direct, clock, deployment, turns),
            config: Arc::clone(config),
        };
        Served { settings: ListenSettings::of(config), handler: Box::new(stages) }
    }
}
