//! `set_page.lua` and `list_page.lua`: name jobs in one state, a page at a time.

use super::{Arguments, Call, Script, Scripts};
use crate::job::{Priority, State};
use crate::store::redis::answer::Answer;
use crate::store::redis::fields::{JOB_FIELDS, JobFields, word};
use crate::store::{JobOrder, StoreError};

/// A job of a page.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Any text: a task of asynq's may have another id than a job of ours.
    pub(crate) id: String,
    pub(crate) fields: JobFields,
}

impl Listed {
    fn read(id: Answer, fields: Answer) -> Result<Self, StoreError> {
        let id = String::from_utf8_lossy(&id.bytes()?.unwrap_or_default()).into_owned();
        Ok(Self { id, fields: JobFields::read(&mut fields.fields()?.into_iter()) })
    }
}

/// A page of jobs whose ids lie in a set by time.
#[derive(Debug)]
pub(crate) struct SetPage {
    pub(crate) sort: SetSort,
    pub(crate) order: JobOrder,
    /// Where it begins; `None` for the first page.
    pub(crate) after: Option<SetPlace>,
    pub(crate) max: usize,
}

/// What a set is sorted by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetSort {
    /// Jobs in a state, other than pending and active ones: by a second.
    Second(State),
    /// Pending jobs of high or low priority: by the microsecond since which they wait.
    Microsecond(Priority),
    /// Filed jobs: by their order, in microseconds.
    Filed,
}

impl SetSort {
    /// How many hexadecimal digits of an id tell apart what has the same score: more where many may have the same.
    pub(crate) fn id_digits(self) -> u32 {
        match self {
            Self::Second(_) => 7,
            Self::Microsecond(_) | Self::Filed => 2,
        }
    }
}

/// A place between the ids of such a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetPlace {
    /// The score that the last id before the page has.
    pub(crate) score: u64,
    /// The first hexadecimal digits of that id, as a number.
    pub(crate) id_beginning: u64,
}

impl Call for SetPage {
    /// The jobs, each with its score, and whether there are more.
    type Output = (Vec<(Listed, i64)>, bool);

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.set_page
    }

    fn arguments(self) -> Arguments {
        let arguments = Arguments::new().with(match self.sort {
            SetSort::Second(state) => word(state),
            SetSort::Microsecond(priority) => priority.word(),
            SetSort::Filed => "filed",
        });
        let arguments = match self.after {
            Some(SetPlace { score, id_beginning }) => {
                let beginning = format!("{id_beginning:0width$x}", width = self.sort.id_digits() as usize);
                arguments.shown(score).with(beginning)
            }
            None => arguments.with("").with(""),
        };
        arguments.shown(self.max).flag(self.order == JobOrder::NewestFirst).each(JOB_FIELDS)
    }

    fn output(answer: Answer) -> Result<Self::Output, StoreError> {
        let [more, jobs] = answer.array()?;
        let job = |answer: Answer| {
            let [id, score, fields] = answer.array()?;
            Ok((Listed::read(id, fields)?, score.number()?))
        };
        let jobs = jobs.list()?.into_iter().map(job).collect::<Result<_, StoreError>>()?;
        Ok((jobs, more.flag()?))
    }
}

/// A page of a state whose ids lie in a list, the newest on the left.
#[derive(Debug)]
pub(crate) struct ListPage {
    pub(crate) sort: ListSort,
    pub(crate) order: JobOrder,
    /// Where it begins; `None` for the first page.
    pub(crate) after: Option<ListPlace>,
    pub(crate) max: usize,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListSort {
    /// Pending jobs: by the millisecond since which they are pending.
    PendingSince,
    /// Active jobs: by the token of their lease.
    Token,
}

impl ListSort {
    /// How many hexadecimal digits of an id tell apart what has the same anchor: more where many may have the same.
    pub(crate) fn id_digits(self) -> u32 {
        match self {
            Self::PendingSince => 5,
            Self::Token => 3,
        }
    }
}

/// A place between the ids of such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListPlace {
    /// What the last job before it is sorted by; `None` where no job before it has that.
    pub(crate) anchor: Option<u64>,
    /// The first hexadecimal digits of this job's id, as a number.
    pub(crate) id_beginning: u64,
}

/// What is on the page.
#[derive(Debug)]
pub(crate) struct ListPaged {
    pub(crate) jobs: Vec<Listed>,
    /// What the last of them is sorted by, or a job before it; `None` where none has that.
    pub(crate) anchor: Option<u64>,
    /// Whether there are more.
    pub(crate) more: bool,
}

impl Call for ListPage {
    type Output = ListPaged;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.list_page
    }

    fn arguments(self) -> Arguments {
        // Jobs are pending since a nanosecond, of which neither a number in Lua nor a cursor holds all digits.
        let (state, field, uncounted_digits) = match self.sort {
            ListSort::PendingSince => (State::Pending, "pending_since", 6),
            ListSort::Token => (State::Active, "x_token", 0),
        };
        let arguments = Arguments::new().with(word(state)).with(field).shown(uncounted_digits);
        let arguments = match self.after {
            Some(ListPlace { anchor, id_beginning }) => {
                let beginning = format!("{id_beginning:0width$x}", width = self.sort.id_digits() as usize);
                match anchor {
                    Some(anchor) => arguments.shown(anchor).with(beginning),
                    None => arguments.shown(-1).with(beginning),
                }
            }
            None => arguments.shown(-1).with(""),
        };
        arguments.shown(self.max).flag(self.order == JobOrder::NewestFirst).each(JOB_FIELDS)
    }

    fn output(answer: Answer) -> Result<ListPaged, StoreError> {
        let [more, anchor, jobs] = answer.array()?;
        let job = |answer: Answer| {
            let [id, fields] = answer.array()?;
            Listed::read(id, fields)
        };
        Ok(ListPaged {
            jobs: jobs.list()?.into_iter().map(job).collect::<Result<_, _>>()?,
            anchor: u64::try_from(anchor.number()?).ok(),
            more: more.flag()?,
        })
    }
}
