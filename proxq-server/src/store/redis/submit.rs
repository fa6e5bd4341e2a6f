//! Submission: a job is taken in, in asynq's words and in proxq's.

use bytes::Bytes;
use prost::Message;
use redis::Pipeline;
use uuid::Uuid;

use super::envelope::{BEYOND_GO, REQUEST, payload};
use super::error::unexpected;
use super::keys;
use super::message::TaskMessage;
use super::proposed;
use super::queues::{self, Queue};
use super::scripts::{CallOf, Submit, Taken};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{Body, JobRequest, Reach, TimeBounds, may_send_again};
use crate::store::record::{BodyFields, Facts, Record, Secrets};
use crate::store::{NewJob, StoreError, Submitted};

/// Takes a job in.
pub(super) async fn submit(shared: &Shared, job: NewJob) -> Result<Submitted, StoreError> {
    let NewJob { queue, mut request, id_is_proposed, body, delay, claim, max_queued, call } = job;
    let queue = shared.queues.named(queue.as_str());
    let (id, priority, credential) = (request.id, request.priority, request.credential);
    let _room = shared.room.take(body.bytes_in_memory()).await;
    let max_retries = shared.max_retries(Some(&request.upstream)).unwrap_or_default();
    let keys = &*shared.keys;
    let (fields, beside) = BodyFields::of(&body, keys);
    let message = message(&request, &body, &beside, &queue, (keys.seals(), max_retries));
    let secrets = Secrets::take(&mut request, &shared.settings.get().secret_headers);
    let facts = Facts::new(request, fields);
    if id_is_proposed && let Some(found) = proposed::elsewhere(shared, &queue, id).await? {
        return Ok(if found.is_same(&facts, shared) { Submitted::Existing(id) } else { Submitted::Taken });
    }
    let call = Submit {
        id,
        message: message.encode_to_vec(),
        facts: facts.encode(id, keys),
        credential,
        delay,
        secrets: secrets.map(|secrets| secrets.encode(id, keys)),
        blob: blob_of(&body),
        claim,
        bounds: facts.request.bounds,
        retention: facts.request.retention,
        priority,
        max_queued,
        call: call.map(|call| CallOf { call, instance: &shared.instance.id }),
    };
    let (taken, facts_there) = shared.commands.call(&queue.keys, call).await?;
    if id_is_proposed
        && matches!(taken, Taken::In { .. } | Taken::Existing)
        && let Err(error) = proposed::release(shared, id).await
    {
        tracing::debug!(error = chain(&error), "release the reservation of a proposed id, which ends by itself");
    }
    // The facts of a job never change, so it does no harm to compare them after the script.
    let facts_there = facts_there.and_then(|record| Facts::decode(id, record, keys).ok());
    if facts_there.is_some_and(|there| there.asked() != facts.asked()) {
        return Ok(Submitted::Taken);
    }
    match taken {
        Taken::In { due } => {
            match due {
                Some(due) => shared.due_at(&queue, due),
                None => shared.ready(&queue),
            }
            shared.changed(id);
            Ok(Submitted::New)
        }
        Taken::Existing => Ok(Submitted::Existing(id)),
        Taken::ByAnother => Ok(Submitted::Taken),
        Taken::Full => Ok(Submitted::Full),
        Taken::Replayed(holder) => Ok(Submitted::Replayed(holder)),
        Taken::Mismatch => Ok(Submitted::Mismatch),
        Taken::Joins(turn) => Ok(Submitted::Joined(turn)),
        Taken::Waits(held) => Ok(Submitted::StillHeld(held)),
        Taken::BlobGone => {
            Err(StoreError::Unavailable { may_be_done: false, source: "the request's body has expired".into() })
        }
    }
}

fn blob_of(body: &Body) -> Option<Uuid> {
    match body {
        Body::Inline(_) => None,
        Body::Blob(blob) => Some(blob.id),
    }
}

/// The job as asynq knows it, with what is kept beside the fields of its body.
fn message(
    request: &JobRequest,
    body: &Body,
    beside: &Bytes,
    queue: &Queue,
    (is_sealed, max_retries): (bool, i32),
) -> TaskMessage {
    // Go's workers retry every failure, as often as the message says, and know no bounds.
    let go_retries_too_much = max_retries > 0 && !may_send_again(request, Reach::Unknown);
    let for_go = match body {
        Body::Inline(bytes) if !is_sealed && !go_retries_too_much && request.bounds == TimeBounds::NONE => {
            payload(request, bytes)
        }
        Body::Inline(_) | Body::Blob(_) => None,
    };
    let (kind, payload) = match for_go {
        Some(payload) => (REQUEST, Bytes::from(payload)),
        None => (BEYOND_GO, beside.clone()),
    };
    let seconds = |span: std::time::Duration| i64::try_from(span.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    TaskMessage {
        kind: kind.to_owned(),
        payload,
        id: request.id.to_string(),
        queue: queue.name.clone(),
        retry: max_retries,
        timeout: seconds(request.timeout),
        retention: seconds(request.retention),
        ..TaskMessage::default()
    }
}

/// Makes these queues known to asynq's tools, and to all runs of this deployment; and knows those of others from now on: a queue
/// that no upstream has any more has jobs until they are past their retention. Gives whether one of them was unknown to the tools.
pub(super) async fn register(shared: &Shared, queues: &[Queue]) -> Result<bool, StoreError> {
    let home = shared.queues.home();
    let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    let others: Vec<&str> = names.iter().copied().filter(|name| *name != home.name).collect();
    let mut commands = Pipeline::with_capacity(3);
    commands.cmd("SADD").arg(keys::ASYNQ_QUEUES).arg(&names);
    commands.cmd("SMEMBERS").arg(home.keys.queues());
    if !others.is_empty() {
        commands.cmd("SADD").arg(home.keys.queues()).arg(&others);
    }
    let mut answers = shared.commands.run_all("SADD", &commands).await?.into_iter();
    let added = answers.next().ok_or_else(|| unexpected("SADD"))?.number()?;
    let of_all_time = answers.next().ok_or_else(|| unexpected("SMEMBERS"))?.fields()?;
    shared.queues.learn(&queues::with_names(of_all_time.into_iter().flatten()));
    answers.try_for_each(|answer| answer.number().map(drop))?;
    Ok(added > 0)
}
