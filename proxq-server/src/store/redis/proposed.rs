//! Ids that clients propose. An id is one job's in all queues of the deployment; but these lie in slots of their own, and no
//! script sees two of them. So an id is reserved for a queue first, in the slot of the home queue, and the other queues are
//! looked at then: of two submissions to different queues at the same time, one finds the reservation or the job of the other.

use std::time::Duration;

use bytes::Bytes;
use redis::{Pipeline, Value};

use super::answer::Answer;
use super::error::{is_wrong_type, unexpected};
use super::queues::Queue;
use super::shared::Shared;
use crate::job::JobId;
use crate::store::StoreError;
use crate::store::record::{Facts, Record};

/// How long an id stays reserved where a submission does not come to its end: many times longer than one may take.
const RESERVED: Duration = Duration::from_mins(1);

/// What has an id elsewhere than in the queue that it is wanted for.
#[derive(Debug)]
pub(super) enum Elsewhere {
    /// A job: whose it is, and the record of its facts.
    Job { credential: Option<Bytes>, facts: Option<Bytes> },
    /// A submission that is under way, or something that is no job.
    Other,
}

impl Elsewhere {
    /// Whether it is the job that these facts are of, as its client submits it again.
    pub(super) fn is_same(&self, facts: &Facts, shared: &Shared) -> bool {
        let Self::Job { credential, facts: there } = self else { return false };
        let there = there.clone().and_then(|record| Facts::decode(facts.request.id, record, &shared.keys).ok());
        credential.as_ref().is_some_and(|credential| **credential == facts.request.credential.0)
            && there.is_none_or(|there| there.asked() == facts.asked())
    }
}

/// What has an id elsewhere, where a job is to have it in this queue. `None`: nothing has; the id is reserved for this queue.
pub(super) async fn elsewhere(shared: &Shared, queue: &Queue, id: JobId) -> Result<Option<Elsewhere>, StoreError> {
    let others: Vec<Queue> = shared.queues.all().into_iter().filter(|other| other != queue).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let reservation = reservation(shared, id);
    let mut commands = Pipeline::with_capacity(3 + 2 * others.len());
    let millis = u64::try_from(RESERVED.as_millis()).unwrap_or(u64::MAX);
    commands.cmd("SET").arg(&reservation).arg(&queue.name).arg("NX").arg("PX").arg(millis);
    commands.cmd("GET").arg(&reservation);
    commands.cmd("EXISTS").arg(queue.keys.task(id));
    for other in &others {
        let task = other.keys.task(id);
        commands.cmd("HEXISTS").arg(&task).arg("msg").cmd("HMGET").arg(task).arg("x_cred").arg("x_facts");
    }
    let answers = match shared.commands.run_all("SET", &commands).await {
        Err(error) if is_wrong_type(&error) => return Ok(Some(Elsewhere::Other)),
        answers => answers?,
    };
    let mut answers = answers.into_iter();
    let mut next = || answers.next().ok_or_else(|| unexpected("SET"));
    let (is_new, reserved_for, is_here) = (next()?.value != Value::Nil, next()?.bytes()?, next()?.number()? > 0);
    if is_here {
        return Ok(None);
    }
    let is_ours = reserved_for.is_some_and(|name| name == queue.name.as_bytes());
    for _ in others {
        let (found, fields) = (next()?.number()? == 1, next()?);
        if found {
            if is_ours {
                release(shared, id).await?;
            }
            return job(fields).map(Some);
        }
    }
    if !is_ours {
        return Ok(Some(Elsewhere::Other));
    }
    // An earlier submission's may end any moment.
    let lasts = is_new || {
        let command = redis::cmd("PEXPIRE").arg(&reservation).arg(millis).to_owned();
        shared.commands.run("PEXPIRE", &command).await?.number()? == 1
    };
    if lasts {
        return Ok(None);
    }
    let source = "the reservation of the proposed id ended meanwhile".into();
    Err(StoreError::Unavailable { may_be_done: false, source })
}

/// Ends the reservation of an id: its job is there.
pub(super) async fn release(shared: &Shared, id: JobId) -> Result<(), StoreError> {
    if shared.queues.all().len() > 1 {
        shared.commands.run("DEL", redis::cmd("DEL").arg(reservation(shared, id))).await?;
    }
    Ok(())
}

fn reservation(shared: &Shared, id: JobId) -> String {
    shared.queues.home().keys.own(&format!("id:{id}"))
}

fn job(fields: Answer) -> Result<Elsewhere, StoreError> {
    let [credential, facts] = fields.fields()?.try_into().map_err(|_| unexpected("HMGET"))?;
    Ok(Elsewhere::Job { credential, facts })
}
