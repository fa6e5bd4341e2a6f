//! What every store goes by and may change while it is open.

use std::time::Duration;

use crate::config::{Config, SecretHeaders, Upstream};
use crate::job::QueueName;

/// What a store goes by that may change while it is open.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The headers of new jobs that are forgotten when they end.
    pub secret_headers: SecretHeaders,
    /// How many lost leases end a job.
    pub max_lease_losses: u32,
    /// How long jobs stay that say nothing about it.
    pub retention: Duration,
    /// Whose the jobs are that other programs submit, where they can.
    pub upstreams: Vec<Upstream>,
    /// The queues of upstreams with flow control.
    pub own_queues: Vec<QueueName>,
    /// How many attempts this instance makes at once, to be shown where others look.
    pub concurrency: usize,
}

impl From<&Config> for StoreSettings {
    fn from(config: &Config) -> Self {
        Self {
            secret_headers: config.secret_headers.clone(),
            max_lease_losses: config.max_lease_losses,
            retention: config.task_retention,
            upstreams: config.upstreams.clone(),
            own_queues: config.own_queues(),
            concurrency: config.concurrency,
        }
    }
}
