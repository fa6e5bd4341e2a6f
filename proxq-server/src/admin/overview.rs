//! How the server is doing.

use super::desk::Desk;
use super::model::{Instance, Overview, Store};
use super::queues::Standing;
use crate::failure::chain;
use crate::store::{self, InstanceKind, StoreError};

impl Desk {
    /// How the server is doing.
    pub(crate) async fn overview(&self) -> Overview {
        let (standing, instances) = tokio::join!(self.standing(), self.instances());
        self.overview_of(&standing, instances)
    }

    fn overview_of(&self, standing: &Standing, instances: Result<Vec<Instance>, StoreError>) -> Overview {
        let problem = standing.problem.clone().or_else(|| instances.as_ref().err().map(|error| chain(error)));
        Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance.clone(),
            started_at: self.started_at.to_string(),
            ready: problem.is_none() && !self.draining.is_cancelled(),
            store: Store { kind: self.config.store.name().to_owned(), problem },
            jobs: standing.jobs(),
            oldest_age_seconds: standing.oldest_age_seconds(),
            rates: self.memory.rates(self.unix_seconds(), self.metrics.totals()),
            queues: standing.queues.clone(),
            instances: instances.unwrap_or_default(),
        }
    }

    /// All instances that share the store.
    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Ok(self.store.instances().await?.into_iter().map(Instance::from).collect())
    }
}

impl From<store::Instance> for Instance {
    fn from(instance: store::Instance) -> Self {
        Self {
            name: instance.name,
            this: instance.is_this,
            kind: match instance.kind {
                InstanceKind::Proxq => "proxq",
                InstanceKind::Asynq => "asynq",
            }
            .to_owned(),
            started_at: instance.started_at.to_string(),
            concurrency: instance.concurrency as u64,
            running: instance.running as u64,
            draining: !instance.begins_jobs,
        }
    }
}
