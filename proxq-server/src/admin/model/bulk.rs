//! Orders for many jobs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::JobFilter;

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

impl BulkAction {
    /// Its word in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
        }
    }
}
