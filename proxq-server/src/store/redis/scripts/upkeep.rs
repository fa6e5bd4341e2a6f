//! `wake.lua`, `age.lua`, `expire.lua`, `trim.lua` and `heal.lua`: what time brings, at most a batch at once.

use super::{Arguments, Call, Script, Scripts};
use crate::store::redis::answer::{Answer, RedisInstant};
use crate::store::{BATCH_LIMIT, LOW_WAITS_AT_MOST, StoreError, record};

/// Makes jobs that are due pending.
#[derive(Debug)]
pub(crate) struct Wake;

/// What it did.
#[derive(Debug)]
pub(crate) struct Woken {
    pub(crate) count: usize,
    /// When the next job is due.
    pub(crate) next_due: Option<RedisInstant>,
}

impl Call for Wake {
    type Output = Woken;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.wake
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(BATCH_LIMIT)
    }

    fn output(answer: Answer) -> Result<Woken, StoreError> {
        let [count, due, now] = answer.array()?;
        Ok(Woken { count: count.count()?, next_due: RedisInstant::read(due, now)? })
    }
}

/// Has jobs of low priority that have waited count as normal.
#[derive(Debug)]
pub(crate) struct Age {
    /// Whether servers of asynq work on the queue, who know neither high nor low priority.
    pub(crate) beside_asynq: bool,
    /// Whether the queue has no limits, and so no filed jobs.
    pub(crate) without_limits: bool,
}

impl Call for Age {
    /// How many jobs were moved.
    type Output = usize;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.age
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(BATCH_LIMIT).millis(LOW_WAITS_AT_MOST).flag(self.beside_asynq).flag(self.without_limits)
    }

    fn output(answer: Answer) -> Result<usize, StoreError> {
        answer.count()
    }
}

/// Drops ended jobs that are past their retention.
#[derive(Debug)]
pub(crate) struct Expire;

impl Call for Expire {
    /// How many were dropped.
    type Output = usize;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.expire
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(record::VERSION).shown(BATCH_LIMIT)
    }

    fn output(answer: Answer) -> Result<usize, StoreError> {
        answer.count()
    }
}

/// Drops failed jobs that asynq would not keep.
#[derive(Debug)]
pub(crate) struct Trim;

impl Call for Trim {
    /// How many were dropped.
    type Output = usize;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.trim
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(record::VERSION).shown(BATCH_LIMIT)
    }

    fn output(answer: Answer) -> Result<usize, StoreError> {
        answer.count()
    }
}

/// Puts right what a crash between two commands of somebody else left.
#[derive(Debug)]
pub(crate) struct Heal;

impl Call for Heal {
    /// How many ids were put right.
    type Output = usize;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.heal
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(record::VERSION).shown(BATCH_LIMIT)
    }

    fn output(answer: Answer) -> Result<usize, StoreError> {
        answer.count()
    }
}
