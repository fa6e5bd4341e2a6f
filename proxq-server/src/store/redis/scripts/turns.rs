//! `resume.lua`, `part.lua` and `given_up.lua`: the turns of clients that wait for jobs.

use super::{Arguments, Call, Script, Scripts};
use crate::job::JobId;
use crate::store::redis::answer::Answer;
use crate::store::redis::error::unexpected;
use crate::store::turns::CALL_TERM;
use crate::store::{BATCH_LIMIT, CANCEL_ABANDONED_AFTER, LeftBy, StoreError, Turn};

/// Begins a job's next turn.
#[derive(Debug)]
pub(crate) struct Resume<'a> {
    pub(crate) id: JobId,
    pub(crate) instance: &'a str,
}

impl Call for Resume<'_> {
    /// The number of the turn; 0 where the job is not here, or its call has ended.
    type Output = u32;

    /// The second turn takes the place of the first, of which nobody knows.
    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.resume
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(self.id).with(self.instance).millis(CALL_TERM)
    }

    fn output(answer: Answer) -> Result<u32, StoreError> {
        let command = answer.command;
        answer.number()?.try_into().map_err(|_| unexpected(command))
    }
}

/// Ends a turn, if it is the job's latest.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) turn: Turn,
    pub(crate) how: Parting,
}

/// How a turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// The client has its final answer.
    Answered,
    /// There is none for it any more.
    Left(LeftBy),
}

impl Call for Part {
    /// Whether the job is here and the turn its latest.
    type Output = bool;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.part
    }

    fn arguments(self) -> Arguments {
        let how = match self.how {
            Parting::Answered => "answered",
            Parting::Left(LeftBy::Client) => "",
            Parting::Left(LeftBy::Server) => "-",
        };
        Arguments::new().shown(self.turn.id).shown(self.turn.number).with(how)
    }

    fn output(answer: Answer) -> Result<bool, StoreError> {
        answer.flag()
    }
}

/// The jobs to which nobody has come back, at most a batch.
#[derive(Debug)]
pub(crate) struct GivenUp;

impl Call for GivenUp {
    /// With the turns that were abandoned.
    type Output = Vec<Turn>;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.given_up
    }

    fn arguments(self) -> Arguments {
        Arguments::new().millis(CANCEL_ABANDONED_AFTER).shown(BATCH_LIMIT)
    }

    fn output(answer: Answer) -> Result<Vec<Turn>, StoreError> {
        let command = answer.command;
        let turn = |entry: Answer| {
            let [id, number] = entry.array()?;
            let id = id.text()?.parse().map_err(|_| unexpected(command))?;
            Ok(Turn { id, number: number.text()?.parse().map_err(|_| unexpected(command))? })
        };
        answer.list()?.into_iter().map(turn).collect()
    }
}
