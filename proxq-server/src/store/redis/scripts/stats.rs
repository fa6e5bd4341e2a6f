//! `stats.lua`: counts the jobs of a queue.

use std::time::Duration;

use super::{Arguments, Call, Script, Scripts};
use crate::job::State;
use crate::store::redis::answer::Answer;
use crate::store::redis::error::unexpected;
use crate::store::{QueueStats, StoreError};

/// Counts the jobs of a queue.
#[derive(Debug)]
pub(crate) struct Stats;

impl Call for Stats {
    type Output = QueueStats;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.stats
    }

    fn arguments(self) -> Arguments {
        Arguments::new()
    }

    fn output(answer: Answer) -> Result<QueueStats, StoreError> {
        let mut numbers = answer.list()?.into_iter().map(Answer::number);
        let mut next = || numbers.next().unwrap_or_else(|| Err(unexpected("stats")));
        let mut stats = QueueStats::default();
        for state in State::ALL {
            stats.set(state, u64::try_from(next()?).unwrap_or_default());
        }
        stats.oldest = u64::try_from(next()?).ok().map(Duration::from_millis);
        stats.paused = next()? == 1;
        Ok(stats)
    }
}
