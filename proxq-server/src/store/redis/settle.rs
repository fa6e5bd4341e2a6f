//! Ends leases as their owners say.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use prost::Message;

use super::connection::Arguments;
use super::envelope::{REQUEST, TaskEnvelope, result};
use super::fields::{number, outcome_number, reach_number};
use super::message::TaskMessage;
use super::shared::{Held, Shared};
use super::submit::blob_name;
use crate::job::{Body, Outcome, Reach, StoredResponse, Verdict};
use crate::store::record::{Head, Record, Secrets};
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
            retry(shared, lease, held, pause, error, reach, charged).await?
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
    let found = match shared.find(lease.id, &["state", "x_token", "msg", "x_secrets"]).await {
        Err(StoreError::CorruptJob { .. }) => None, // what is there bears no lease
        found => found?,
    };
    let (queue, values) = found.ok_or_else(lost)?;
    let [_, token, message, secrets]: [Option<Bytes>; 4] = values.try_into().map_err(|_| lost())?;
    let token: u64 = number(token).filter(|token| *token == lease.token).ok_or_else(lost)?;
    let message = TaskMessage::decode(message.unwrap_or_default()).map_err(|_| lost())?;
    let secrets = secrets.map(|secrets| Secrets::decode(lease.id, secrets)).transpose()?.unwrap_or_default().names();
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Ok(Held {
        token,
        queue,
        secrets,
        retention: seconds(message.retention),
        timeout: seconds(message.timeout),
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
        .number(u8::from(frees_claim));
    Ok(shared.commands.script(&shared.scripts.complete, &held.queue.keys, arguments).await?.number()? == 1)
}

async fn retry(
    shared: &Shared,
    lease: &Lease,
    held: Held,
    pause: Duration,
    error: String,
    reach: Reach,
    charged: bool,
) -> Result<bool, StoreError> {
    let mut message = held.message;
    message.retried = message.retried.saturating_add(charged.into());
    message.error_msg.clear(); // the script appends it with the time
    message.last_failed_at = 0;
    let arguments = of(lease)
        .with(message.encode_to_vec())
        .number(pause.as_nanos().div_ceil(1_000_000))
        .with(error)
        .number(reach_number(reach))
        .number(u8::from(charged));
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
        .number(u8::from(frees_claim));
    Ok(shared.commands.script(&shared.scripts.archive, &held.queue.keys, arguments).await?.number()? == 1)
}

/// A message whose request has no secret headers any more.
fn without_secrets(message: &TaskMessage, secret: &[HeaderName]) -> Vec<u8> {
    let mut message = message.clone();
    message.error_msg.clear();
    if message.kind.starts_with(REQUEST)
        && let Some(mut envelope) = TaskEnvelope::read(&message.payload)
    {
        let is_secret = |name: &str| secret.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_str()));
        envelope.request.headers.retain(|name, _| !is_secret(name));
        message.payload = envelope.write().into();
    }
    message.encode_to_vec()
}
