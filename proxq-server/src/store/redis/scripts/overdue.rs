//! `overdue.lua`: ends waiting jobs whose time is over.

use super::{Arguments, Call, Script, Scripts};
use crate::job::{NOT_TRIED_AGAIN, Outcome, Reach};
use crate::store::redis::answer::Answer;
use crate::store::redis::fields::{outcome_number, reach_number};
use crate::store::{BATCH_LIMIT, StoreError, record};

/// Ends waiting jobs whose time is over, at most a batch of them.
#[derive(Debug)]
pub(crate) struct EndOverdue;

/// A job that ended because its time was over.
#[derive(Debug)]
pub(crate) struct OverdueJob {
    pub(crate) id: String,
    /// Attempts that were begun.
    pub(crate) attempts: usize,
    pub(crate) outcome: Outcome,
    /// Why it failed.
    pub(crate) error: String,
}

impl OverdueJob {
    pub(super) fn read(answer: Answer) -> Result<Self, StoreError> {
        let [id, attempts, outcome, error] = answer.array()?;
        let not_sent = outcome.text()? == outcome_number(Outcome::NotSent).to_string();
        Ok(Self {
            id: id.text()?,
            attempts: attempts.count()?,
            outcome: if not_sent { Outcome::NotSent } else { Outcome::Indeterminate },
            error: error.text()?,
        })
    }
}

impl Arguments {
    /// The words with which `end_overdue` in `bounds.lua` ends a job.
    pub(super) fn overdue_words(self) -> Self {
        self.with(NOT_TRIED_AGAIN)
            .shown(reach_number(Reach::NotSent))
            .shown(outcome_number(Outcome::NotSent))
            .shown(outcome_number(Outcome::Indeterminate))
    }
}

impl Call for EndOverdue {
    type Output = Vec<OverdueJob>;

    /// A repetition would not name the jobs that the first run ended, and they are logged.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.overdue
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(record::VERSION).shown(BATCH_LIMIT).overdue_words()
    }

    fn output(answer: Answer) -> Result<Self::Output, StoreError> {
        answer.list()?.into_iter().map(OverdueJob::read).collect()
    }
}
