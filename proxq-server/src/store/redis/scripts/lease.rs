//! `lease.lua`, `renew.lua` and `peek.lua`: hand jobs out, and prolong the right to work on them.

use std::time::Duration;

use bytes::Bytes;

use super::{Arguments, Call, LeaseName, OverdueJob, Script, Scripts};
use crate::clock::Timestamp;
use crate::sealing::Keyring;
use crate::store::locked::LOOK_AGAIN_AFTER;
use crate::store::redis::answer::{Answer, RedisInstant};
use crate::store::redis::fields::{JOB_FIELDS, JobFields, LEASE_FIELDS};
use crate::store::{BATCH_LIMIT, LEASE_TERM, Lease, StoreError, record};

/// Hands out jobs of a queue.
#[derive(Debug)]
pub(crate) struct LeaseJobs<'a> {
    pub(crate) max: usize,
    /// Who asks.
    pub(crate) instance: &'a str,
    /// What the history of the jobs calls it.
    pub(crate) name: &'a str,
    /// Names this call: repeated, it hands out the same jobs.
    pub(crate) order: &'a str,
    /// With which the jobs can be opened.
    pub(crate) keys: &'a Keyring,
}

/// What a queue handed out.
#[derive(Debug)]
pub(crate) struct LeasedJobs {
    /// Whether the queue is paused, so that there is nothing for anybody.
    pub(crate) paused: bool,
    /// When the next delayed or resting job is due.
    pub(crate) next_due: Option<RedisInstant>,
    /// Whether there is more.
    pub(crate) more: bool,
    /// The jobs; an error where the answer about one cannot be read.
    pub(crate) jobs: Vec<Result<HandedOutJob, StoreError>>,
    /// Those that ended instead, because their time was over. An order that is repeated does not name them again.
    pub(crate) overdue: Vec<OverdueJob>,
    /// Of those that wait on because their key is missing, one for each key. An order that is repeated does not name them again.
    pub(crate) locked: Vec<LockedJob>,
}

/// A job whose facts name a key that is missing.
#[derive(Debug)]
pub(crate) struct LockedJob {
    pub(crate) id: String,
    /// Their record.
    pub(crate) facts: Bytes,
}

impl LockedJob {
    fn read(answer: Answer) -> Result<Self, StoreError> {
        let [id, facts] = answer.array()?;
        Ok(Self { id: id.text()?, facts: facts.bytes()?.unwrap_or_default() })
    }
}

/// A job under a new lease.
#[derive(Debug)]
pub(crate) struct HandedOutJob {
    pub(crate) lease: LeaseName,
    pub(crate) fields: JobFields,
    /// asynq's message.
    pub(crate) message: Bytes,
    /// The record of its secret headers.
    pub(crate) secrets: Option<Bytes>,
    /// What is left of its deadline, if it has one.
    pub(crate) left: Option<Duration>,
    /// For how long it was pending; asynq does not always know.
    pub(crate) waited: Option<Duration>,
}

impl HandedOutJob {
    fn read(answer: Answer, now_ms: i64) -> Result<Self, StoreError> {
        let [id, token, values] = answer.array()?;
        let mut values = values.fields()?.into_iter();
        let fields = JobFields::read(&mut values);
        let [message, secrets, bounds, since] = LEASE_FIELDS.map(|_name| values.next().flatten());
        let lease = LeaseName { id: id.text()?, token: token.text()? };
        let left = bounds.and_then(|bounds| left_of_deadline(&bounds, now_ms));
        let waited = since.and_then(|since| waited_since(&since, now_ms));
        Ok(Self { lease, fields, message: message.unwrap_or_default(), secrets, left, waited })
    }
}

/// What is left of the deadline in a job's bounds, as `bounds.lua` describes them.
fn left_of_deadline(bounds: &[u8], now_ms: i64) -> Option<Duration> {
    let end_by = std::str::from_utf8(bounds).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(Timestamp::from_millis(end_by).since(Timestamp::from_millis(now_ms)))
}

/// The span since an instant in nanoseconds.
fn waited_since(since: &[u8], now_ms: i64) -> Option<Duration> {
    let nanos: i64 = std::str::from_utf8(since).ok()?.parse().ok()?;
    Some(Timestamp::from_millis(now_ms).since(Timestamp::from_millis(nanos / 1_000_000)))
}

impl Call for LeaseJobs<'_> {
    type Output = LeasedJobs;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.lease
    }

    fn arguments(self) -> Arguments {
        self.who_and_what(BATCH_LIMIT).each(JOB_FIELDS).each(LEASE_FIELDS)
    }

    fn output(answer: Answer) -> Result<LeasedJobs, StoreError> {
        let [paused, now, due, more, jobs, overdue, locked] = answer.array()?;
        LeasedJobs::read(paused, now.number()?, due, more, jobs, overdue, locked)
    }
}

impl LeaseJobs<'_> {
    /// The arguments of `leasing.lua`.
    pub(super) fn who_and_what(self, beyond: usize) -> Arguments {
        Arguments::new()
            .shown(self.max)
            .with(self.instance)
            .with(self.name)
            .with(self.order)
            .shown(record::VERSION)
            .millis(LEASE_TERM)
            .shown(beyond)
            .overdue_words()
            .with(self.keys.ids().flat_map(|key| key.0.to_be_bytes()).collect::<Vec<u8>>())
            .millis(LOOK_AGAIN_AFTER)
    }
}

impl LeasedJobs {
    pub(super) fn read(
        paused: Answer,
        now_ms: i64,
        due: Answer,
        more: Answer,
        jobs: Answer,
        overdue: Answer,
        locked: Answer,
    ) -> Result<Self, StoreError> {
        let job = |job| HandedOutJob::read(job, now_ms);
        Ok(Self {
            paused: paused.flag()?,
            next_due: RedisInstant::of(due.number()?, now_ms),
            more: more.flag()?,
            jobs: jobs.list()?.into_iter().map(job).collect(),
            overdue: overdue.list()?.into_iter().map(OverdueJob::read).collect::<Result<_, _>>()?,
            locked: locked.list()?.into_iter().map(LockedJob::read).collect::<Result<_, _>>()?,
        })
    }
}

/// Prolongs leases, at most a batch of them.
#[derive(Debug)]
pub(crate) struct Renew<'a> {
    pub(crate) leases: &'a [&'a Lease],
}

impl Call for Renew<'_> {
    /// The positions of the leases that are gone.
    type Output = Vec<usize>;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.renew
    }

    fn arguments(self) -> Arguments {
        self.leases
            .iter()
            .fold(Arguments::new().millis(LEASE_TERM), |arguments, lease| arguments.lease(LeaseName::from(*lease)))
    }

    fn output(answer: Answer) -> Result<Vec<usize>, StoreError> {
        answer.list()?.into_iter().map(Answer::count).collect()
    }
}

/// Looks whether there is anything to hand out.
#[derive(Debug)]
pub(crate) struct Peek;

/// What a queue has to hand out.
#[derive(Debug)]
pub(crate) struct Outlook {
    /// Whether the queue is paused, so that there is nothing for anybody.
    pub(crate) paused: bool,
    /// When the next delayed or resting job is due.
    pub(crate) next_due: Option<RedisInstant>,
    /// Whether there is something now.
    pub(crate) something: bool,
}

impl Call for Peek {
    type Output = Outlook;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.peek
    }

    fn arguments(self) -> Arguments {
        Arguments::new()
    }

    fn output(answer: Answer) -> Result<Outlook, StoreError> {
        let [paused, now, due, something] = answer.array()?;
        Ok(Outlook { paused: paused.flag()?, next_due: RedisInstant::read(due, now)?, something: something.flag()? })
    }
}
