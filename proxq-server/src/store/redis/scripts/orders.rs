//! `cancel.lua`, `rerun.lua` and `watch.lua`: what clients and operators ask for.

use std::time::Duration;

use super::{Arguments, Call, Script, Scripts};
use crate::job::{JobId, Outcome};
use crate::store::redis::answer::Answer;
use crate::store::redis::error::unexpected;
use crate::store::redis::fields::outcome_number;
use crate::store::{Requeued, StoreError, record};

/// Removes a job in any state.
#[derive(Debug)]
pub(crate) struct Cancel {
    pub(crate) id: JobId,
    /// For how long a worker of Go's may go on with it.
    pub(crate) go_limit: Duration,
    /// The number of its latest turn, whose client must have gone away for good while the job goes on.
    pub(crate) if_abandoned: Option<u32>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Cancelled {
    Removed,
    NotThere,
    /// A later proxq wrote the job, with this version of the record.
    Newer(u32),
}

impl Call for Cancel {
    type Output = Cancelled;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.cancel
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(self.id).shown(record::VERSION).millis(self.go_limit).optional(self.if_abandoned)
    }

    fn output(answer: Answer) -> Result<Cancelled, StoreError> {
        // The caller has seen the job. If the answer to the first call was lost and the second call finds no job, the first
        // one removed it.
        let removed_before = answer.repeated;
        Ok(match answer.number()? {
            0 if !removed_before => Cancelled::NotThere,
            0 | 1 => Cancelled::Removed,
            newer => Cancelled::Newer(u32::try_from(-newer).unwrap_or(u32::MAX)),
        })
    }
}

/// Makes a failed job pending again.
#[derive(Debug)]
pub(crate) struct Rerun<'a> {
    pub(crate) id: JobId,
    /// Whether it may be sent again though it may have reached its upstream.
    pub(crate) confirmed: bool,
    /// Names this call: repeated, it changes nothing more.
    pub(crate) order: &'a str,
}

impl Call for Rerun<'_> {
    type Output = Requeued;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.rerun
    }

    fn arguments(self) -> Arguments {
        let harmless = [Outcome::Responded, Outcome::NotSent].map(outcome_number);
        Arguments::new().shown(self.id).flag(self.confirmed).with(self.order).each(harmless)
    }

    fn output(answer: Answer) -> Result<Requeued, StoreError> {
        let command = answer.command;
        match answer.number()? {
            1 => Ok(Requeued::Queued),
            0 => Ok(Requeued::NotFailed),
            -1 => Ok(Requeued::Unknown),
            -2 => Ok(Requeued::MayDuplicate),
            _ => Err(unexpected(command)),
        }
    }
}

/// Has an instance told of a job's next change.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) id: JobId,
    pub(crate) instance: &'a str,
}

impl Call for Watch<'_> {
    /// Whether the job is there.
    type Output = bool;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.watch
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(self.id).with(self.instance)
    }

    fn output(answer: Answer) -> Result<bool, StoreError> {
        answer.flag()
    }
}
