//! The end of leases, as their owners decide it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;

use super::envelope::{REQUEST, TaskEnvelope, result};
use super::fields::number;
use super::leases::{Held, charged};
use super::message::{StoredTask, TaskMessage, tag};
use super::scripts::{Archive, By, Complete, Release, ResultPlace, Retry};
use super::shared::Shared;
use crate::job::{Body, Outcome, Reach, StoredResponse, Verdict};
use crate::store::record::{BodyFields, Facts, Head, Record, Secrets, sealed_error};
use crate::store::{Lease, StoreError};

/// Ends a lease with a verdict.
pub(super) async fn settle(shared: &Shared, lease: &Lease, verdict: Verdict) -> Result<(), StoreError> {
    let held = match shared.leases.get(lease) {
        Some(held) => held,
        None => load(shared, lease).await?,
    };
    let (frees_claim, ends_call) = (verdict.frees_claim(), verdict.ends_call());
    let settled = match verdict {
        Verdict::Complete(response) => complete(shared, lease, &held, &response, frees_claim, ends_call).await?,
        Verdict::RetryAfter { pause, error, reach, charged } => {
            let error = sealed_error(lease.id, &shared.keys, error);
            retry(shared, lease, &held, pause, error, reach, charged).await?
        }
        Verdict::Fail { error, reach, outcome } => {
            let error = sealed_error(lease.id, &shared.keys, error);
            fail(shared, lease, &held, Failure { error, reach, outcome, frees_claim, ends_call }).await?
        }
        Verdict::Release => {
            let released = shared.commands.call(&held.queue.keys, Release { lease: lease.into() }).await?;
            if released {
                shared.ready(&held.queue);
            }
            released
        }
    };
    shared.leases.let_go(lease);
    if settled {
        shared.changed(lease.id);
        Ok(())
    } else {
        Err(StoreError::LeaseLost { id: lease.id })
    }
}

/// Reads what is needed to end a lease that a former run of this process was given.
async fn load(shared: &Shared, lease: &Lease) -> Result<Held, StoreError> {
    let lost = || StoreError::LeaseLost { id: lease.id };
    let found = match shared.find(lease.id, &["x_token", "msg", "x_secrets", "x_retried", "x_facts"]).await {
        Err(StoreError::CorruptJob { .. }) => None, // what is there bears no lease
        found => found?,
    };
    let (queue, values) = found.ok_or_else(lost)?;
    let [token, message, secrets, retried, facts]: [Option<Bytes>; 5] = values.try_into().map_err(|_| lost())?;
    let token: u64 = number(token).filter(|token| *token == lease.token).ok_or_else(lost)?;
    let message = StoredTask::decode(message.unwrap_or_default()).map_err(|_| lost())?;
    let secrets = secrets
        .map(|secrets| Secrets::decode(lease.id, secrets, &shared.keys))
        .transpose()?
        .unwrap_or_default()
        .names();
    // A lease can be ended even if the facts are damaged: the result of the attempt must not be lost.
    let facts = facts.and_then(|facts| Facts::decode_open(lease.id, facts, &shared.keys).ok());
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Ok(Held {
        token,
        queue,
        secrets,
        retried: charged(number(retried).unwrap_or_default(), &message.known),
        upstream: facts.map(|facts| facts.request.upstream),
        retention: seconds(message.known.retention),
        timeout: seconds(message.known.timeout),
        message,
        since: shared.clock.wall(),
        revoked: tokio_util::sync::CancellationToken::new(),
    })
}

async fn complete(
    shared: &Shared,
    lease: &Lease,
    held: &Held,
    response: &StoredResponse,
    frees_claim: bool,
    ends_call: bool,
) -> Result<bool, StoreError> {
    let _room = shared.room.take(response.body.bytes_in_memory()).await;
    let keys = &*shared.keys;
    let (fields, beside) = BodyFields::of(&response.body, keys);
    let call = Complete {
        lease: lease.into(),
        message: (!held.secrets.is_empty()).then(|| without_secrets(&held.message, &held.secrets)),
        head: Head { head: response.head.clone(), body: fields }.encode(lease.id, keys),
        status: response.head.status,
        result: match &response.body {
            Body::Inline(_) if keys.seals() => ResultPlace::Inline(beside.into()),
            Body::Inline(bytes) => ResultPlace::Inline(result(&response.head, bytes)),
            Body::Blob(blob) => ResultPlace::Blob(blob.id),
        },
        retention: held.retention,
        frees_claim,
        ends_call,
        max_retries: shared.max_retries(held.upstream.as_deref()),
    };
    shared.commands.call(&held.queue.keys, call).await
}

async fn retry(
    shared: &Shared,
    lease: &Lease,
    held: &Held,
    pause: Duration,
    error: String,
    reach: Reach,
    charged: bool,
) -> Result<bool, StoreError> {
    let retried = held.retried.saturating_add(charged.into());
    let fields = TaskMessage {
        retry: shared.max_retries(held.upstream.as_deref()).unwrap_or(held.message.known.retry),
        retried: i32::try_from(retried).unwrap_or(i32::MAX),
        ..TaskMessage::default()
    };
    let numbers = [tag::RETRY, tag::RETRIED, tag::ERROR_MSG, tag::LAST_FAILED_AT];
    let message = held.message.with(&numbers, &fields);
    let call = Retry { lease: lease.into(), message, pause, error, reach, charged, retried };
    let Some(due) = shared.commands.call(&held.queue.keys, call).await? else { return Ok(false) };
    shared.due_at(&held.queue, due);
    Ok(true)
}

/// How a job ended without a response.
#[derive(Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) error: String,
    /// How far the last attempt got.
    pub(super) reach: Reach,
    pub(super) outcome: Outcome,
    /// Whether its idempotency key is free again.
    pub(super) frees_claim: bool,
    /// Whether its call ends with it.
    pub(super) ends_call: bool,
}

/// Ends a job without a response, under a lease of this process. Gives whether the lease was not gone.
pub(super) async fn fail(shared: &Shared, lease: &Lease, held: &Held, failure: Failure) -> Result<bool, StoreError> {
    let Failure { error, reach, outcome, frees_claim, ends_call } = failure;
    let call = Archive {
        lease: lease.into(),
        by: By::Owner,
        error,
        reach,
        outcome,
        retention: held.retention,
        frees_claim,
        ends_call,
        max_retries: shared.max_retries(held.upstream.as_deref()),
    };
    shared.commands.call(&held.queue.keys, call).await
}

/// A message whose request has no secret headers any more.
fn without_secrets(message: &StoredTask, secret: &[HeaderName]) -> Vec<u8> {
    if message.known.kind.starts_with(REQUEST)
        && let Some(mut envelope) = TaskEnvelope::read(&message.known.payload)
    {
        let is_secret = |name: &str| secret.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_str()));
        envelope.request.headers.retain(|name, _| !is_secret(name));
        let fields = TaskMessage { payload: envelope.write().into(), ..TaskMessage::default() };
        return message.with(&[tag::PAYLOAD, tag::ERROR_MSG], &fields);
    }
    message.with(&[tag::ERROR_MSG], &TaskMessage::default())
}
