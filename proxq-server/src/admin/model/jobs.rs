//! Jobs, and orders for single ones.

use proxq_protocol::{JobId, Outcome, Waiting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// The request's path, without the query. Empty where it is sealed with a key that the server does not have.
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
    /// The name of the access token that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "web")]
    pub submitted_by: Option<String>,
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
