//! Ends leases as their owners say.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;

use super::connection::Arguments;
use super::envelope::{REQUEST, TaskEnvelope, result};
use super::fields::{number, outcome_number, reach_number};
use super::message::{StoredTask, TaskMessage, tag};
use super::shared::{Held, Shared, charged};
use super::submit::blob_name;
use crate::job::{Body, Outcome, Reach, StoredResponse, Verdict};
use crate::store::record::{Facts, Head, Record, Secrets};
use crate::store::signals::Effect;
use crate::store::{Lease, StoreError};

/// Ends a lease with a verdict.
pub(super) async fn settle(shared: &Shared, lease: &Lease, verdict: Verdict) -> Result<(), StoreError> {
    let held = match shared.held(lease) {
        Some(held) => held,
        None => load(shared, lease).await?,
    };
    let frees_claim = verdict.frees_claim();
    let settled = match verdict {
        Verdict::Complete(response) => complete(shared, lease, &held, &response, frees_claim).await?,
        Verdict::RetryAfter { pause, error, reach, charged } => {
            retry(shared, lease, &held, pause, error, reach, charged).await?
        }
        Verdict::Fail { error, reach, outcome } => {
            fail(shared, lease, &held, &error, reach, outcome, frees_claim).await?
        }
        Verdict::Release => {
            let released = shared.commands.script(&shared.scripts.release, &held.queue.keys, of(lease)).await?;
            let released = released.number()? == 1;
            if released {
                shared.signals.apply(Effect::Ready(shared.signals.queue(&held.queue.name)));
            }
            released
        }
    };
    shared.let_go(lease);
    if settled {
        shared.changed(lease.id);
        Ok(())
    } else {
        Err(StoreError::LeaseLost { id: lease.id })
    }
}

/// What is to be known of a lease that a former run of this process was given.
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
    let secrets = secrets.map(|secrets| Secrets::decode(lease.id, secrets)).transpose()?.unwrap_or_default().names();
    // How the attempt ended is worth more than what can be read of the job.
    let facts = facts.and_then(|facts| Facts::decode(lease.id, facts).ok());
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

/// A script's first arguments.
fn of(lease: &Lease) -> Arguments {
    Arguments::new().with(lease.id.to_string()).number(lease.token)
}

async fn complete(
    shared: &Shared,
    lease: &Lease,
    held: &Held,
    response: &StoredResponse,
    frees_claim: bool,
) -> Result<bool, StoreError> {
    let message = if held.secrets.is_empty() { Vec::new() } else { without_secrets(&held.message, &held.secrets) };
    let result = match &response.body {
        Body::Inline(bytes) => result(&response.head, bytes),
        Body::Blob(_) => Vec::new(),
    };
    let arguments = of(lease)
        .with(message)
        .with(Head::of(response).encode(lease.id))
        .number(response.head.status.as_u16())
        .with(result)
        .with(blob_name(&response.body))
        .number(held.retention.as_millis())
        .number(u8::from(frees_claim))
        .with(retry_argument(held.max_retries(shared)));
    Ok(shared.commands.script(&shared.scripts.complete, &held.queue.keys, arguments).await?.number()? == 1)
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
        retry: held.max_retries(shared).unwrap_or(held.message.known.retry),
        retried: i32::try_from(retried).unwrap_or(i32::MAX),
        ..TaskMessage::default()
    };
    // The script appends the error and its time.
    let numbers = [tag::RETRY, tag::RETRIED, tag::ERROR_MSG, tag::LAST_FAILED_AT];
    let arguments = of(lease)
        .with(held.message.with(&numbers, &fields))
        .number(pause.as_nanos().div_ceil(1_000_000))
        .with(error)
        .number(reach_number(reach))
        .number(u8::from(charged))
        .number(retried);
    let answer = shared.commands.script(&shared.scripts.retry, &held.queue.keys, arguments).await?;
    let mut numbers = answer.list()?.into_iter();
    let mut next = || numbers.next().map_or(Ok(0), super::answer::Answer::number);
    if next()? != 1 {
        return Ok(false);
    }
    let (due, now) = (next()?, next()?);
    let signal = shared.signals.queue(&held.queue.name);
    shared.signals.apply(Effect::DueAt(signal, shared.instant(due, now)));
    Ok(true)
}

async fn fail(
    shared: &Shared,
    lease: &Lease,
    held: &Held,
    error: &str,
    reach: Reach,
    outcome: Outcome,
    frees_claim: bool,
) -> Result<bool, StoreError> {
    let arguments = of(lease)
        .with("0")
        .with(error)
        .number(reach_number(reach))
        .number(outcome_number(outcome))
        .number(held.retention.as_millis())
        .number(u8::from(frees_claim))
        .with(retry_argument(held.max_retries(shared)));
    Ok(shared.commands.script(&shared.scripts.archive, &held.queue.keys, arguments).await?.number()? == 1)
}

/// How scripts are told how often a job may be retried; nothing where its message is right already.
pub(super) fn retry_argument(max_retries: Option<i32>) -> String {
    max_retries.map(|max_retries| max_retries.to_string()).unwrap_or_default()
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
