//! The JSON of the admin API. What it is made of is documented by these types: `/openapi.json` is made from them, and the program's
//! own commands read them.
//!
//! Times are RFC 3339 in UTC, spans are seconds. Fields that do not apply are left out.

mod bulk;
mod jobs;
mod state;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::bulk::{Bulk, BulkAction, BulkCount, BulkOrder, Bulks};
pub(crate) use self::jobs::{
    Attempt, Done, FailureGroup, Failures, JobDetail, JobFilter, JobPage, JobSummary, Message, RetryOrder,
};
pub(crate) use self::state::{
    Counts, Failure, History, HistorySample, Instance, Overview, Paused, Queue, Queues, Rates, Settings, Store, Totals,
    Upstream, Upstreams,
};

/// A value of these types, or a text, as JSON.
pub(crate) fn json_text(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("names and texts are always JSON")
}

/// Reads a value from JSON, or says what is wrong with it.
pub(crate) fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
