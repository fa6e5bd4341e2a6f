//! `retry.lua`, `postpone.lua` and `release.lua`: end a lease and leave the job to another attempt.

use std::time::Duration;

use super::{Arguments, Call, LeaseName, Script, Scripts};
use crate::job::{HISTORY_LIMIT, Reach};
use crate::store::redis::answer::{Answer, RedisInstant};
use crate::store::redis::fields::reach_number;
use crate::store::{BATCH_LIMIT, StoreError};

/// Ends an attempt, and lets its job rest.
#[derive(Debug)]
pub(crate) struct Retry {
    pub(crate) lease: LeaseName,
    /// asynq's message, to which the script appends the error and its time.
    pub(crate) message: Vec<u8>,
    pub(crate) pause: Duration,
    pub(crate) error: String,
    /// How far the attempt got.
    pub(crate) reach: Reach,
    /// Whether the attempt counts as a retry.
    pub(crate) charged: bool,
    /// How many retries are charged to the job by now.
    pub(crate) retried: u32,
}

impl Call for Retry {
    /// When the job is due; `None` if the lease is gone.
    type Output = Option<RedisInstant>;

    /// A lease that was ended is gone, and whoever ends it again is told so: the worker asks again itself.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.retry
    }

    fn arguments(self) -> Arguments {
        Arguments::new()
            .lease(self.lease)
            .with(self.message)
            .millis_at_least(self.pause)
            .with(self.error)
            .shown(reach_number(self.reach))
            .flag(self.charged)
            .shown(self.retried)
            .shown(HISTORY_LIMIT)
    }

    fn output(answer: Answer) -> Result<Option<RedisInstant>, StoreError> {
        let [done, due, now] = answer.array()?;
        if done.flag()? { RedisInstant::read(due, now) } else { Ok(None) }
    }
}

/// Takes back a lease under which nothing was sent, and has its job wait.
#[derive(Debug)]
pub(crate) struct Postpone {
    pub(crate) lease: LeaseName,
    pub(crate) pause: Duration,
}

impl Call for Postpone {
    /// When the job is due; `None` if the lease is gone.
    type Output = Option<RedisInstant>;

    /// A lease that was ended is gone.
    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.postpone
    }

    fn arguments(self) -> Arguments {
        Arguments::new().lease(self.lease).millis_at_least(self.pause)
    }

    fn output(answer: Answer) -> Result<Option<RedisInstant>, StoreError> {
        let [done, due, now] = answer.array()?;
        if done.flag()? { RedisInstant::read(due, now) } else { Ok(None) }
    }
}

/// Takes back a lease under which nothing was sent.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) lease: LeaseName,
}

impl Call for Release {
    /// Whether it was done: the lease was not gone.
    type Output = bool;

    /// A lease that was ended is gone, and whoever ends it again is told so: the worker asks again itself.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.release
    }

    fn arguments(self) -> Arguments {
        Arguments::new().lease(self.lease).shown(BATCH_LIMIT)
    }

    fn output(answer: Answer) -> Result<bool, StoreError> {
        answer.flag()
    }
}
