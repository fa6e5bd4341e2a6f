//! Takes jobs in.

use bytes::Bytes;
use prost::Message;

use super::connection::Arguments;
use super::envelope::{BEYOND_GO, REQUEST, payload};
use super::error::unexpected;
use super::keys;
use super::message::TaskMessage;
use super::shared::{Queue, Shared};
use crate::job::{Body, JobRequest, Reach, may_send_again};
use crate::spelling::hex;
use crate::store::record::{Facts, Record, Secrets, beside};
use crate::store::signals::Effect;
use crate::store::{NewJob, StoreError, Submitted};

/// Takes a job in.
pub(super) async fn submit(shared: &Shared, job: NewJob) -> Result<Submitted, StoreError> {
    let NewJob { queue, mut request, body, delay, claim } = job;
    let queue = shared.queues.named(queue.as_str());
    let (id, credential) = (request.id, request.credential);
    let message = message(&request, &body, &queue, shared.max_retries(&request.upstream).unwrap_or_default());
    let secrets = Secrets::take(&mut request, &shared.settings.get().secret_headers);
    let facts = Facts::new(request, &body);
    let delay_ms = delay.map_or(0, |delay| delay.as_nanos().div_ceil(1_000_000));
    let arguments = Arguments::new()
        .with(id.to_string())
        .with(message.encode_to_vec())
        .with(facts.encode(id))
        .with(credential.0)
        .number(delay_ms)
        .with(secrets.map(|secrets| secrets.encode(id)).unwrap_or_default())
        .with(blob_name(&body))
        .with(claim.map(|claim| hex(&claim.scope)).unwrap_or_default())
        .with(claim.map(|claim| claim.fingerprint.to_vec()).unwrap_or_default())
        .number(claim.map_or(0, |claim| claim.ttl.as_millis()));
    let answer = shared.commands.script(&shared.scripts.submit, &queue.keys, arguments).await?;
    let [taken, due, now, there, facts_there] = answer.array()?;
    let (due, now) = (due.number()?, now.number()?);
    // The facts of a job never change: they may as well be compared now.
    let facts_there = facts_there.bytes()?.filter(|record| !record.is_empty());
    let facts_there = facts_there.and_then(|record| Facts::decode(id, record).ok());
    if facts_there.is_some_and(|there| there.asked() != facts.asked()) {
        return Ok(Submitted::Taken);
    }
    match taken.number()? {
        0 => {
            let signal = shared.signals.queue(&queue.name);
            shared.signals.apply(if due < 0 {
                Effect::Ready(signal)
            } else {
                Effect::DueAt(signal, shared.instant(due, now))
            });
            shared.changed(id);
            Ok(Submitted::New)
        }
        1 => Ok(Submitted::Existing(id)),
        2 => Ok(Submitted::Taken),
        4 => Ok(Submitted::Replayed(there.text()?.parse().map_err(|_| unexpected("submit"))?)),
        5 => Ok(Submitted::Mismatch),
        _ => Err(StoreError::Unavailable { may_be_done: false, source: "the request's body has expired".into() }),
    }
}

/// What scripts call a body's blob; empty for none.
pub(super) fn blob_name(body: &Body) -> String {
    match body {
        Body::Inline(_) => String::new(),
        Body::Blob(blob) => blob.id.to_string(),
    }
}

/// The job as asynq knows it.
fn message(request: &JobRequest, body: &Body, queue: &Queue, max_retries: i32) -> TaskMessage {
    // Go's workers retry whatever failed, for as often as the message says.
    let go_retries_too_much = max_retries > 0 && !may_send_again(request, Reach::Unknown);
    let for_go = match body {
        Body::Inline(bytes) if !go_retries_too_much => payload(request, bytes),
        Body::Inline(_) | Body::Blob(_) => None,
    };
    let (kind, payload) = match for_go {
        Some(payload) => (REQUEST, Bytes::from(payload)),
        None => (BEYOND_GO, beside(body)),
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

/// Has asynq's tools know of these queues. Gives whether that was news.
pub(super) async fn register(shared: &Shared, queues: &[Queue]) -> Result<bool, StoreError> {
    let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    let added = shared.commands.run("SADD", redis::cmd("SADD").arg(keys::ASYNQ_QUEUES).arg(&names)).await?;
    Ok(added.number()? > 0)
}
