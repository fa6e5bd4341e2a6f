//! `complete.lua` and `archive.lua`: end a job, with a response or without one.

use std::time::Duration;

use http::StatusCode;
use uuid::Uuid;

use super::{Arguments, Call, LeaseName, Script, Scripts};
use crate::job::{HISTORY_LIMIT, Outcome, Reach};
use crate::store::redis::answer::Answer;
use crate::store::redis::fields::{outcome_number, reach_number};
use crate::store::{RECLAIM_GRACE, StoreError};

/// Ends a job with its response.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) lease: LeaseName,
    /// asynq's message without the secrets; `None` where it has none.
    pub(crate) message: Option<Vec<u8>>,
    /// The record of the response's head.
    pub(crate) head: Vec<u8>,
    pub(crate) status: StatusCode,
    pub(crate) result: ResultPlace,
    pub(crate) retention: Duration,
    /// Whether its idempotency key is free again.
    pub(crate) frees_claim: bool,
    /// Whether its call ends with it.
    pub(crate) ends_call: bool,
    /// How often the job may be retried, where its message is to say so.
    pub(crate) max_retries: Option<i32>,
}

/// Where the body of a response is.
#[derive(Debug)]
pub(crate) enum ResultPlace {
    /// With the head, in the JSON that Go's proxq writes.
    Inline(Vec<u8>),
    /// In a blob.
    Blob(Uuid),
}

impl Call for Complete {
    /// Whether it was done: the lease was not gone.
    type Output = bool;

    /// A lease that was ended is gone, and whoever ends it again is told so: the worker asks again itself.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.complete
    }

    fn arguments(self) -> Arguments {
        let (result, blob) = match self.result {
            ResultPlace::Inline(result) => (result, None),
            ResultPlace::Blob(blob) => (Vec::new(), Some(blob)),
        };
        Arguments::new()
            .lease(self.lease)
            .with(self.message.unwrap_or_default())
            .with(self.head)
            .shown(self.status.as_u16())
            .with(result)
            .optional(blob)
            .shown(reach_number(Reach::Responded))
            .shown(outcome_number(Outcome::Responded))
            .millis(self.retention)
            .flag(self.frees_claim)
            .optional(self.max_retries)
            .shown(HISTORY_LIMIT)
            .flag(self.ends_call)
    }

    fn output(answer: Answer) -> Result<bool, StoreError> {
        answer.flag()
    }
}

/// Ends a job without a response.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) lease: LeaseName,
    pub(crate) by: By,
    /// Why.
    pub(crate) error: String,
    /// How far the last attempt got.
    pub(crate) reach: Reach,
    pub(crate) outcome: Outcome,
    pub(crate) retention: Duration,
    /// Whether its idempotency key is free again.
    pub(crate) frees_claim: bool,
    /// Whether its call ends with it.
    pub(crate) ends_call: bool,
    /// How often the job may be retried, where its message is to say so.
    pub(crate) max_retries: Option<i32>,
}

/// Who ends a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Whoever has the lease.
    Owner,
    /// Upkeep, if nobody renewed the lease in time.
    Upkeep,
}

impl Call for Archive {
    /// Whether it was done: the lease was neither gone nor, for upkeep, renewed.
    type Output = bool;

    /// A lease that was ended is gone, and whoever ends it again is told so: the worker asks again itself.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.archive
    }

    fn arguments(self) -> Arguments {
        let grace = match self.by {
            By::Owner => None,
            By::Upkeep => Some(RECLAIM_GRACE),
        };
        Arguments::new()
            .lease(self.lease)
            .optional(grace.map(|grace| grace.as_millis()))
            .with(self.error)
            .shown(reach_number(self.reach))
            .shown(outcome_number(self.outcome))
            .millis(self.retention)
            .flag(self.frees_claim)
            .optional(self.max_retries)
            .shown(HISTORY_LIMIT)
            .flag(self.ends_call)
    }

    fn output(answer: Answer) -> Result<bool, StoreError> {
        answer.flag()
    }
}
