//! The JSON of the admin API. What it is made of is documented by these types: `/openapi.json` is made from them, and the program's
//! own commands read them.
//!
//! Times are RFC 3339 in UTC, spans are seconds. Fields that do not apply are left out.

use proxq_protocol::{JobId, Outcome, Waiting};
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

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// Gives the next page, as the parameter `cursor`; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many jobs were looked at for this page. A page looks at a bounded number: it may have few jobs, or none, and a next page.
    pub looked_at: u64,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobSummary {
    /// Its id.
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000")]
    pub id: JobId,
    /// Its state: `pending`, `scheduled`, `active`, `retry`, `completed` or `failed`.
    #[schema(example = "pending")]
    pub state: String,
    /// The queue that it is in.
    #[schema(example = "default")]
    pub queue: String,
    /// The prefix of its upstream.
    #[schema(example = "/api")]
    pub upstream: String,
    /// The request's method.
    #[schema(example = "POST")]
    pub method: String,
    /// The request's path, without the query.
    #[schema(example = "/api/report")]
    pub path: String,
    /// When it was taken in.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// When it is due, while it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub due_at: Option<String>,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Why it waits: `delayed`, `limit`, `rate`, `breaker`, `paused`, `backoff` or `parked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "backoff")]
    pub waiting: Option<Waiting>,
    /// How far it got, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "responded")]
    pub outcome: Option<Outcome>,
    /// The status code of the last response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt, or the job, failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A job with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDetail {
    /// What a list says of it.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// `high`, `normal` or `low`.
    #[schema(example = "normal")]
    pub priority: String,
    /// The rule that says what may be sent again.
    #[schema(example = "auto")]
    pub delivery: String,
    /// The limit for one attempt, in seconds.
    pub timeout_seconds: f64,
    /// How long it stays readable after its end, in seconds.
    pub retention_seconds: f64,
    /// The client's address.
    #[schema(example = "192.0.2.7")]
    pub client: String,
    /// The id of the request that submitted it.
    pub request_id: String,
    /// The job that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub resubmit_of: Option<JobId>,
    /// Attempts that were charged to its budget of retries.
    pub retried: u32,
    /// How often the worker of an attempt was lost.
    pub lease_losses: u32,
    /// The request.
    pub request: Message,
    /// The response, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Message>,
    /// The last attempts, oldest first.
    pub history: Vec<Attempt>,
}

/// A request or a response: its head, and what can be shown of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// The URL that is called, with the values of its query hidden; of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The status code; of a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The header fields, as name and value. The values of secret ones are never shown.
    pub headers: Vec<(String, String)>,
    /// The length of the body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// The beginning of the body, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// Whether the preview is not the whole body.
    #[serde(default)]
    pub preview_is_cut: bool,
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: String,
    /// How far it got: `responded`, `unknown` or `not_sent`.
    #[schema(example = "responded")]
    pub reach: String,
    /// The response's status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The instance that made it.
    pub instance: String,
}

/// The answer to an order for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    /// The job; of a resubmission, the new one.
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000")]
    pub id: JobId,
    /// What became of it: `queued` or `cancelled`.
    #[schema(example = "queued")]
    pub status: String,
}

/// Asks for a retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryOrder {
    /// Whether the job may be sent although it may have reached its upstream before.
    #[serde(default)]
    #[schema(example = true)]
    pub may_duplicate: bool,
}

/// Failed jobs with the same error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureGroup {
    /// The error, with `#` in place of each long number and id.
    #[schema(example = "forward request: connect to http://127.0.0.1:3999: connection refused")]
    pub error: String,
    /// The prefix of the upstream.
    #[schema(example = "/api")]
    pub upstream: String,
    /// How far the jobs got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "not_sent")]
    pub outcome: Option<Outcome>,
    /// How many there are among those that were looked at.
    pub jobs: u64,
    /// When the latest of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub latest: Option<String>,
    /// One of them.
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000")]
    pub example: JobId,
}

/// Failed jobs by their errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failures {
    /// The groups, the largest first.
    pub groups: Vec<FailureGroup>,
    /// How many failed jobs were looked at: the latest.
    pub looked_at: u64,
    /// How many there are.
    pub failed: u64,
}

/// What is to be done with many jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkOrder {
    /// What is to be done.
    pub action: BulkAction,
    /// With which jobs. `retry` and `delete` are for failed ones alone.
    pub filter: JobFilter,
    /// Whether jobs are retried that may have reached their upstream before.
    #[serde(default)]
    pub may_duplicate: bool,
    /// Whether to count the jobs only.
    #[serde(default)]
    pub dry_run: bool,
}

/// What can be done with many jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BulkAction {
    /// Failed jobs are pending again.
    Retry,
    /// Jobs that have not ended are cancelled: they and all that is stored of them is removed.
    Cancel,
    /// Failed jobs are removed.
    Delete,
}

/// Which jobs. All that is said has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JobFilter {
    /// The state: `pending`, `scheduled`, `active`, `retry`, `completed` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "failed")]
    pub state: Option<String>,
    /// The name of the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The prefix of the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The request's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What the request's path begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The class of the last response's status code: `2xx`, `3xx`, `4xx` or `5xx`, or a whole code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How far an ended job got: `responded`, `not_sent` or `indeterminate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What the error has in it; `#` stands for any id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Taken in at least so long ago: `10m`, `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// Taken in at most so long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer_than: Option<String>,
}

/// How many jobs an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkCount {
    /// How many, among those that were looked at.
    pub jobs: u64,
    /// Whether all were looked at; otherwise there may be more.
    pub complete: bool,
}

/// An order for many jobs that runs or has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bulk {
    /// Its number at this instance.
    pub number: u64,
    /// The order.
    pub order: BulkOrder,
    /// `running`, `done`, `stopped` or `failed`.
    #[schema(example = "running")]
    pub status: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// Jobs that were looked at.
    pub looked_at: u64,
    /// Jobs with which it was done.
    pub done: u64,
    /// Jobs with which it was not possible: they have changed, or may have reached their upstream.
    pub skipped: u64,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All orders for many jobs that this instance remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bulks {
    /// The orders, the latest first.
    pub bulks: Vec<Bulk>,
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
