//! Reading of jobs, responses and counts. Changes nothing.

use bytes::Bytes;
use prost::Message;
use redis::Pipeline;

use super::envelope::{body_in, read_result};
use super::fields::{JOB_FIELDS, JobFields, number, word};
use super::foreign::{self, Unusable};
use super::message::TaskMessage;
use super::queues::Queue;
use super::scripts::Stats;
use super::shared::Shared;
use crate::forward::headers::strip_response;
use crate::job::{Body, CredentialHash, Job, JobId, QueueName, State, StoredResponse};
use crate::sealing::Keyring;
use crate::store::record::{Head, Record, opened_error, unopened, with_opened_error};
use crate::store::{Content, Owner, QueueStats, StoreError};

/// The job as it stands, without bodies.
pub(super) async fn job(shared: &Shared, id: JobId) -> Result<Option<Job>, StoreError> {
    let Some((queue, values)) = shared.find(id, &JOB_FIELDS).await? else { return Ok(None) };
    let fields = JobFields::read(&mut values.into_iter());
    match job_of(shared, &queue, id, &fields).await {
        // The job is there, but its state cannot be read.
        Ok(None) if fields.state.is_none() => Err(StoreError::CorruptJob { id, what: "state" }),
        job => job,
    }
}

/// Whose the job is.
pub(super) async fn owner(shared: &Shared, id: JobId) -> Result<Owner, StoreError> {
    let Some((_, values)) = shared.find(id, &["x_cred"]).await? else { return Ok(Owner::NoJob) };
    let Some(credential) = values.into_iter().next().flatten() else { return Ok(Owner::Unknown) };
    let credential = credential.as_ref().try_into().map_err(|_| StoreError::CorruptJob { id, what: "credential" })?;
    Ok(Owner::Credential(CredentialHash(credential)))
}

/// The job with these fields; `None` for what is no job of proxq's.
pub(super) async fn job_of(
    shared: &Shared,
    queue: &Queue,
    id: JobId,
    fields: &JobFields,
) -> Result<Option<Job>, StoreError> {
    let facts = fields.open_facts(id, &shared.keys)?;
    let Some(state) = fields.state else { return Ok(None) };
    let ended_elsewhere = matches!(state, State::Completed | State::Archived) && fields.progress.ended_at.is_none();
    match facts {
        Some(facts) if !ended_elsewhere => Ok(Some(Job {
            request: facts.request,
            state,
            progress: with_opened_error(id, &shared.keys, fields.progress.clone()),
        })),
        facts => {
            let Some((message, due)) = asynqs_view(shared, queue, id, state).await? else { return Ok(None) };
            let known = foreign::progress(&message, state, due);
            // Of attempts that proxq made, its own notes count. Of all others, asynq's.
            let progress =
                if fields.progress.attempts > 0 && !ended_elsewhere { fields.progress.clone() } else { known };
            let request = match facts {
                Some(facts) => facts.request,
                None => match foreign::request(&message, shared.clock.wall(), shared) {
                    Ok((mut request, _body)) => {
                        // asynq does not say when a task was made. It was before anything happened to it.
                        let happened = [progress.started_at, progress.ended_at].into_iter().flatten().min();
                        request.created_at = happened.unwrap_or(request.created_at);
                        let secrets = shared.settings.get().secret_headers.split_off(&mut request.headers);
                        request.secret_names = secrets.keys().cloned().collect();
                        request
                    }
                    Err(Unusable::NoHandler { .. }) => return Ok(None),
                    Err(Unusable::NoRequest { .. }) => return Err(StoreError::CorruptJob { id, what: "request" }),
                },
            };
            Ok(Some(Job { request, state, progress: with_opened_error(id, &shared.keys, progress) }))
        }
    }
}

/// The message of a task, and the second in which it is due.
async fn asynqs_view(
    shared: &Shared,
    queue: &Queue,
    id: JobId,
    state: State,
) -> Result<Option<(TaskMessage, Option<i64>)>, StoreError> {
    let mut commands = Pipeline::with_capacity(2);
    commands.cmd("HGET").arg(queue.keys.task(id)).arg("msg");
    let due = matches!(state, State::Scheduled | State::Retry);
    if due {
        commands.cmd("ZSCORE").arg(queue.keys.asynq(word(state))).arg(id.to_string());
    }
    let mut answers = shared.commands.run_all("HGET", &commands).await?.into_iter();
    let Some(message) = answers.next().map_or(Ok(None), super::answer::Answer::bytes)? else { return Ok(None) };
    let message = TaskMessage::decode(message).map_err(|_| StoreError::CorruptJob { id, what: "message" })?;
    let due: Option<f64> = number(answers.next().map_or(Ok(None), super::answer::Answer::bytes)?);
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
    Ok(Some((message, due.map(|due| due.ceil() as i64))))
}

/// The job's response.
pub(super) async fn response(shared: &Shared, id: JobId) -> Result<Content, StoreError> {
    let fields = ["state", "x_head", "x_error", "result"];
    let Some((queue, values)) = shared.find(id, &fields).await? else { return Ok(Content::Unknown) };
    let [state, head, error, result]: [Option<Bytes>; 4] =
        values.try_into().map_err(|_| super::error::unexpected("HMGET"))?;
    match state.as_deref().and_then(super::fields::state) {
        None => Err(StoreError::CorruptJob { id, what: "state" }),
        Some(State::Pending | State::Scheduled | State::Active | State::Retry) => Ok(Content::NotReady),
        Some(state @ State::Archived) => {
            let error = match error {
                Some(error) => String::from_utf8_lossy(&error).into_owned(),
                None => asynqs_view(shared, &queue, id, state)
                    .await?
                    .map(|(message, _)| message.error_msg)
                    .unwrap_or_default(),
            };
            Ok(Content::Failed { error: opened_error(id, &shared.keys, error) })
        }
        Some(State::Completed) => stored(&shared.keys, id, head, result).map(Content::Ready),
    }
}

fn stored(keys: &Keyring, id: JobId, head: Option<Bytes>, result: Option<Bytes>) -> Result<StoredResponse, StoreError> {
    let corrupt = |what| StoreError::CorruptJob { id, what };
    let Some(head) = head else {
        // A worker of Go's proxq completed it, and kept every field that it received.
        let (mut head, body) = read_result(&result.unwrap_or_default()).ok_or_else(|| corrupt("response"))?;
        strip_response(&mut head.headers);
        return Ok(StoredResponse { head, body: Body::Inline(body) });
    };
    let head = Head::decode(id, head, keys)?;
    let beside = match head.body.blob() {
        Some(_) => Vec::new(),
        None if head.body.seal().is_some() => result.unwrap_or_default().into(),
        None => body_in(&result.unwrap_or_default()).ok_or_else(|| corrupt("body of the response"))?,
    };
    let body = head.body.body(beside, keys).map_err(|error| unopened(id, "body of the response", error))?;
    Ok(StoredResponse { head: head.head, body })
}

/// How the queue stands.
pub(super) async fn stats(shared: &Shared, queue: &QueueName) -> Result<QueueStats, StoreError> {
    let queue = shared.queues.named(queue.as_str());
    shared.commands.call(&queue.keys, Stats).await
}
