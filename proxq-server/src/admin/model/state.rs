//! How a server, its queues and its upstreams stand.

use proxq_protocol::Waiting;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a server is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    /// The version of proxq.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// The name of the instance that answers: host and process.
    #[schema(example = "api-1:4711")]
    pub instance: String,
    /// When it started.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// Whether it takes work.
    pub ready: bool,
    /// The job store.
    pub store: Store,
    /// The jobs of all queues.
    pub jobs: Counts,
    /// For how long the job that waits longest could have begun already; 0 if none waits.
    pub oldest_age_seconds: f64,
    /// What this instance did in the last minute.
    pub rates: Rates,
    /// The queues of this instance.
    pub queues: Vec<Queue>,
    /// All instances that share the store.
    pub instances: Vec<Instance>,
}

/// The job store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Store {
    /// `embedded` or `redis`.
    #[schema(example = "embedded")]
    pub kind: String,
    /// Why it does not answer, if it does not: what depends on it is then what was known last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How many jobs are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Ready to be sent.
    pub pending: u64,
    /// Not due yet, because the client asked for a delay.
    pub scheduled: u64,
    /// Being sent.
    pub active: u64,
    /// Resting after an attempt that failed.
    pub retry: u64,
    /// Ended with a response.
    pub completed: u64,
    /// Ended without one.
    pub failed: u64,
}

/// What an instance did in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rates {
    /// How long the while is: shorter than a minute only after the start.
    pub over_seconds: f64,
    /// Jobs taken in, a second.
    pub submitted_per_second: f64,
    /// Jobs completed, a second.
    pub completed_per_second: f64,
    /// Jobs failed, a second.
    pub failed_per_second: f64,
    /// Attempts that failed and are followed by another, a second.
    pub retried_per_second: f64,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queue {
    /// Its name.
    #[schema(example = "default")]
    pub name: String,
    /// The prefixes of the upstreams whose jobs wait in it.
    #[schema(example = json!(["/api"]))]
    pub upstreams: Vec<String>,
    /// Its jobs.
    #[serde(flatten)]
    pub jobs: Counts,
    /// For how long the job that waits longest could have begun already; 0 if none waits. For autoscalers.
    pub oldest_age_seconds: f64,
    /// Whether an operator has paused it: no job begins then.
    pub paused: bool,
    /// Attempts of this instance that run.
    pub running: u64,
    /// How many may run at once here.
    pub limit: u64,
    /// What holds all of it back at this instance, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "rate")]
    pub held: Option<Waiting>,
}

/// The answer to a pause or a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paused {
    /// Whether the queue is paused now.
    pub paused: bool,
    /// Whether that is different from before.
    pub changed: bool,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Upstream {
    /// Its prefix.
    #[schema(example = "/api")]
    pub prefix: String,
    /// Where its requests go.
    #[schema(example = "http://127.0.0.1:3000/")]
    pub url: String,
    /// The queue of its jobs.
    pub queue: Queue,
    /// Whether the queue is its own.
    pub own_queue: bool,
    /// The rate that its requests are kept to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "100/s")]
    pub rate_limit: Option<String>,
    /// How many jobs may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<u32>,
    /// Whether it counts as down; absent where no circuit breaker is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<bool>,
    /// What this instance has counted for it since its start.
    pub since_start: Totals,
    /// The same for the last minute.
    pub last_minute: Totals,
}

/// Jobs that were counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    /// Taken in.
    pub submitted: u64,
    /// Ended with a response.
    pub completed: u64,
    /// Ended without one.
    pub failed: u64,
    /// Attempts that failed and are followed by another.
    pub retried: u64,
}

/// An instance on the same store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    /// Host and process.
    #[schema(example = "api-1:4711")]
    pub name: String,
    /// Whether it is the one that answers.
    pub this: bool,
    /// `proxq`, or `asynq` for a worker that is none of ours.
    #[schema(example = "proxq")]
    pub kind: String,
    /// When it started.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// How many attempts it makes at once.
    pub concurrency: u64,
    /// How many of them run.
    pub running: u64,
    /// Whether it is about to stop and begins nothing new.
    pub draining: bool,
}

/// The last hour of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    /// The span between two samples, in seconds.
    pub every_seconds: u64,
    /// The samples, oldest first.
    pub samples: Vec<HistorySample>,
}

/// What happened since the sample before, and how things stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistorySample {
    /// The instant, in seconds of the Unix epoch.
    pub at: i64,
    /// Jobs taken in.
    pub submitted: u64,
    /// Jobs completed.
    pub completed: u64,
    /// Jobs failed.
    pub failed: u64,
    /// Attempts that failed and are followed by another.
    pub retried: u64,
    /// Jobs that waited; absent where the store did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// For how long the job that waited longest could have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_age_seconds: Option<f64>,
}

/// All queues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queues {
    /// The queues.
    pub queues: Vec<Queue>,
}

/// All upstreams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Upstreams {
    /// The upstreams.
    pub upstreams: Vec<Upstream>,
}

/// What a server runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    /// The effective configuration as YAML, secrets masked.
    pub yaml: String,
}

/// An error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Failure {
    /// The status code.
    pub status: u16,
    /// The status code's reason phrase.
    pub title: String,
    /// What went wrong, for programs.
    #[schema(example = "BAD_QUERY")]
    pub code: String,
    /// What went wrong and what would be right, for readers.
    pub detail: String,
}
