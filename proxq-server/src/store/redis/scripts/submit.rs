//! `submit.lua`: takes a job in.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Arguments, Call, Script, Scripts};
use crate::job::{CredentialHash, JobId, Priority, TimeBounds};
use crate::spelling::hex;
use crate::store::record::whole_millis;
use crate::store::redis::answer::{Answer, RedisInstant};
use crate::store::redis::error::unexpected;
use crate::store::turns::{CALL_TERM, CANDIDATES_MAX};
use crate::store::{self as submission, Claim, JOIN_WINDOW, Join, LOST_TURN_WINDOW, StoreError, Turn};

/// Takes a job in.
#[derive(Debug)]
pub(crate) struct Submit<'a> {
    pub(crate) id: JobId,
    /// The job as asynq knows it.
    pub(crate) message: Vec<u8>,
    /// The record of its facts.
    pub(crate) facts: Vec<u8>,
    /// Whose the job is.
    pub(crate) credential: CredentialHash,
    /// It becomes due after this span.
    pub(crate) delay: Option<Duration>,
    /// The record of its secret headers.
    pub(crate) secrets: Option<Vec<u8>>,
    /// Where its body is, if that is large.
    pub(crate) blob: Option<Uuid>,
    pub(crate) claim: Option<Claim>,
    pub(crate) bounds: TimeBounds,
    /// How long it is kept once it has ended.
    pub(crate) retention: Duration,
    pub(crate) priority: Priority,
    /// How many jobs may wait.
    pub(crate) max_queued: Option<NonZeroU32>,
    pub(crate) call: Option<CallOf<'a>>,
}

/// What a submission says of its call, and the instance that holds its client.
#[derive(Debug)]
pub(crate) struct CallOf<'a> {
    pub(crate) call: submission::Call,
    pub(crate) instance: &'a str,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is pending, or scheduled until then.
    In { due: Option<RedisInstant> },
    /// A job of this credential has the id already.
    Existing,
    /// A job of another credential has the id, or something that is no job.
    ByAnother,
    /// The blob is not there any more.
    BlobGone,
    /// This job has the same claim and fingerprint.
    Replayed(JobId),
    /// A job has the same claim and another fingerprint.
    Mismatch,
    /// It joins this job.
    Joins(Turn),
    /// The client of this job, which it may join later, still seems to be there.
    Waits(JobId),
    /// As many jobs wait as may.
    Full,
}

impl Call for Submit<'_> {
    /// With the facts of the job that has the id, if it is of this credential.
    type Output = (Taken, Option<Bytes>);

    /// Intake asks again itself while the answer is lost: a repetition is told that the job exists.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.submit
    }

    fn arguments(self) -> Arguments {
        let claim = self.claim.as_ref();
        let arguments = Arguments::new()
            .shown(self.id)
            .with(self.message)
            .with(self.facts)
            .with(self.credential.0)
            .millis_at_least(self.delay.unwrap_or_default())
            .with(self.secrets.unwrap_or_default())
            .optional(self.blob)
            .with(claim.map(|claim| hex(&claim.scope)).unwrap_or_default())
            .with(claim.map(|claim| claim.fingerprint.to_vec()).unwrap_or_default())
            .millis(claim.map_or(Duration::ZERO, |claim| claim.ttl))
            .with(match self.priority {
                Priority::Normal => "",
                Priority::High | Priority::Low => self.priority.word(),
            })
            .optional(self.bounds.to_begin().map(whole_millis))
            .optional(self.bounds.deadline.map(whole_millis))
            .with(format!("{} {}", self.retention.as_millis(), self.bounds.expired_error()))
            .optional(self.max_queued);
        let Some(CallOf { call, instance }) = self.call else { return arguments };
        let join = match call.join {
            Join::Never => 0,
            Join::IfAbandoned => 1,
            Join::OrWait => 2,
        };
        arguments
            .with(call.key.map(|key| hex(&key)).unwrap_or_default())
            .with(instance)
            .shown(join)
            .millis(JOIN_WINDOW)
            .millis(LOST_TURN_WINDOW)
            .millis(CALL_TERM)
            .shown(CANDIDATES_MAX)
            .flag(call.cancel_when_abandoned)
    }

    fn output(answer: Answer) -> Result<Self::Output, StoreError> {
        let command = answer.command;
        let [taken, due, now, holder, facts] = answer.array()?;
        let id = |holder: Answer| holder.text()?.parse::<JobId>().map_err(|_| unexpected(command));
        let taken = match taken.number()? {
            0 => Taken::In { due: RedisInstant::read(due, now)? },
            1 => Taken::Existing,
            2 => Taken::ByAnother,
            3 => Taken::BlobGone,
            4 => Taken::Replayed(id(holder)?),
            5 => Taken::Mismatch,
            6 => {
                let number = due.number()?.try_into().map_err(|_| unexpected(command))?;
                Taken::Joins(Turn { id: id(holder)?, number })
            }
            7 => Taken::Waits(id(holder)?),
            8 => Taken::Full,
            _ => return Err(unexpected(command)),
        };
        Ok((taken, facts.bytes()?.filter(|record| !record.is_empty())))
    }
}
