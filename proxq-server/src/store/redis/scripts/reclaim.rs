//! `lost.lua` and `reclaim.lua`: find leases that were lost, and take them away.

use bytes::Bytes;

use super::{Arguments, Call, LeaseName, Script, Scripts};
use crate::job::{HISTORY_LIMIT, Reach};
use crate::store::redis::answer::Answer;
use crate::store::redis::fields::{JOB_FIELDS, JobFields, reach_number};
use crate::store::{BATCH_LIMIT, RECLAIM_GRACE, StoreError};

/// Names jobs whose leases were lost, at most a batch of them.
#[derive(Debug)]
pub(crate) struct LostJobs;

/// A job whose lease nobody renewed in time.
#[derive(Debug)]
pub(crate) struct LostJob {
    pub(crate) lease: LeaseName,
    pub(crate) fields: JobFields,
    /// asynq's message, where there are no facts.
    pub(crate) message: Bytes,
}

impl LostJob {
    fn read(answer: Answer) -> Result<Self, StoreError> {
        let [id, token, fields, message] = answer.array()?;
        Ok(Self {
            lease: LeaseName { id: id.text()?, token: token.text()? },
            fields: JobFields::read(&mut fields.fields()?.into_iter()),
            message: message.bytes()?.unwrap_or_default(),
        })
    }
}

impl Call for LostJobs {
    /// The jobs; an error where the answer about one cannot be read.
    type Output = Vec<Result<LostJob, StoreError>>;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.lost
    }

    fn arguments(self) -> Arguments {
        Arguments::new().millis(RECLAIM_GRACE).shown(BATCH_LIMIT).each(JOB_FIELDS)
    }

    fn output(answer: Answer) -> Result<Self::Output, StoreError> {
        Ok(answer.list()?.into_iter().map(LostJob::read).collect())
    }
}

/// Takes away a lost lease from a job that may be sent again.
#[derive(Debug)]
pub(crate) struct Reclaim {
    pub(crate) lease: LeaseName,
    pub(crate) error: String,
    /// How often the job may be retried, where its message is to say so.
    pub(crate) max_retries: Option<i32>,
}

impl Call for Reclaim {
    /// Whether it was done: the lease was neither gone nor renewed.
    type Output = bool;

    /// A repetition would not say that the first run did it; whether a job was reclaimed is counted and logged.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.reclaim
    }

    fn arguments(self) -> Arguments {
        Arguments::new()
            .lease(self.lease)
            .millis(RECLAIM_GRACE)
            .with(self.error)
            .shown(reach_number(Reach::Unknown))
            .optional(self.max_retries)
            .shown(HISTORY_LIMIT)
    }

    fn output(answer: Answer) -> Result<bool, StoreError> {
        answer.flag()
    }
}
