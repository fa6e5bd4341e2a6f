//! What people order done with a job; the deployment's secrets; what is odd about the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use redis::Pipeline;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::answer::Answer;
use super::connecting::{LONGEST_PAUSE, reconnect_pauses};
use super::error::unexpected;
use super::fields::{self, word};
use super::foreign;
use super::keys;
use super::message::TaskMessage;
use super::queues::Queue;
use super::scripts::{Cancel, Cancelled, Rerun, Watch};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{JobId, State};
use crate::store::{Deployment, Requeued, StoreError};

/// How much later than its limit an attempt of a worker of Go's may write its result: clocks differ, and Redis may be slow.
const GO_MARGIN: Duration = Duration::from_mins(1);

/// Removes a job. Gives whether there was one.
pub(super) async fn cancel(shared: &Shared, id: JobId) -> Result<bool, StoreError> {
    let Some((queue, values)) = shared.find(id, &["state", "x_token"]).await? else { return Ok(false) };
    let runs_in_go = matches!(&values[..], [Some(state), None] if state == word(State::Active));
    let limit = if runs_in_go { limit_in_go(shared, &queue, id).await? } else { foreign::ASYNQ_TIMEOUT };
    let held = shared.leases.of(id);
    match shared.commands.call(&queue.keys, Cancel { id, go_limit: limit.saturating_add(GO_MARGIN) }).await? {
        Cancelled::NotThere => Ok(false),
        Cancelled::Removed => {
            if let Some(lease) = held {
                shared.leases.revoke(&lease);
            }
            shared.changed(id);
            Ok(true)
        }
        Cancelled::Newer(version) => Err(StoreError::NewerRecord { id, version }),
    }
}

/// How long an attempt of a worker of Go's at this job may take.
async fn limit_in_go(shared: &Shared, queue: &Queue, id: JobId) -> Result<Duration, StoreError> {
    let message = shared.commands.run("HGET", redis::cmd("HGET").arg(queue.keys.task(id)).arg("msg")).await?.bytes()?;
    let message = message.and_then(|message| TaskMessage::decode(message).ok()).unwrap_or_default();
    Ok(foreign::timeout(&message, shared.clock.wall()))
}

/// Makes a failed job pending again.
pub(super) async fn retry_failed(shared: &Shared, id: JobId, confirmed: bool) -> Result<Requeued, StoreError> {
    let Some((queue, values)) = shared.find(id, &["state"]).await? else { return Ok(Requeued::Unknown) };
    if !values.iter().flatten().any(|word| fields::state(word).is_some()) {
        return Err(StoreError::CorruptJob { id, what: "state" });
    }
    let order = Uuid::new_v4().simple().to_string();
    let requeued = shared.commands.call(&queue.keys, Rerun { id, confirmed, order: &order }).await?;
    if requeued == Requeued::Queued {
        shared.ready(&queue);
        shared.changed(id);
    }
    Ok(requeued)
}

/// Has this instance told of the job's next change, whoever makes it.
pub(super) async fn watch(shared: &Shared, id: JobId) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        if shared.commands.call(&queue.keys, Watch { id, instance: &shared.instance.id }).await? {
            break;
        }
    }
    Ok(())
}

/// The deployment's secrets; made now if there are none.
pub(super) async fn deployment(shared: &Shared) -> Result<Deployment, StoreError> {
    let Deployment { via_name, credential_key: key } = Deployment::made_now();
    let mut commands = Pipeline::with_capacity(3);
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg("via_name").arg(via_name).ignore();
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg("credential_key").arg(&key[..]).ignore();
    commands.cmd("HMGET").arg(keys::DEPLOYMENT).arg("via_name").arg("credential_key");
    let mut answers = shared.commands.run_all("HSETNX", &commands).await?;
    let kept = answers.pop().map_or(Ok(Vec::new()), Answer::fields)?;
    let [Some(via_name), Some(key)]: [Option<Bytes>; 2] = kept.try_into().map_err(|_| unexpected("HMGET"))? else {
        return Err(unexpected("HMGET"));
    };
    Ok(Deployment {
        via_name: String::from_utf8(via_name.into()).map_err(|_| unexpected("HMGET"))?,
        credential_key: key.as_ref().try_into().map_err(|_| unexpected("HMGET"))?,
    })
}

/// Warns of what is odd about the server, as soon as it answers.
pub(super) async fn look_over(shared: Arc<Shared>, closing: CancellationToken) {
    let mut pauses = reconnect_pauses();
    loop {
        match oddities(&shared).await {
            Ok(odd) => {
                for warning in odd {
                    tracing::warn!(warning, "Redis");
                }
                return;
            }
            Err(error) => tracing::debug!(error = chain(&error), "look the Redis server over"),
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
            () = closing.cancelled() => return,
        }
    }
}

/// What is odd about the server, for the operator.
pub(super) async fn oddities(shared: &Shared) -> Result<Vec<String>, StoreError> {
    let info = shared.commands.run("INFO", &redis::cmd("INFO")).await?.text()?;
    let value = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
    };
    let mut odd = Vec::new();
    let version = value("redis_version");
    if is_older(version, (6, 2)) {
        odd.push(format!("Redis {version} is older than 6.2, which proxq needs"));
    }
    let policy = value("maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        odd.push(format!(
            "Redis may evict jobs: maxmemory-policy is {policy}; set it to noeviction, so that a full Redis refuses new \
             jobs instead of losing old ones"
        ));
    }
    // `save` cannot be seen in INFO, and CONFIG may not be allowed.
    let saves = match shared.commands.run("CONFIG", redis::cmd("CONFIG").arg("GET").arg("save")).await {
        Ok(answer) => answer.fields()?.pop().flatten().is_some_and(|points| !points.is_empty()),
        Err(_not_allowed) => true,
    };
    if value("aof_enabled") == "0" {
        odd.push(if saves {
            "Redis saves to disk only now and then: jobs accepted since may be lost when it ends; set appendonly to yes"
                .to_owned()
        } else {
            "Redis saves nothing to disk: all jobs are lost when it ends; set appendonly to yes".to_owned()
        });
    }
    if value("role") == "slave" {
        odd.push("this Redis is a replica, on which nothing can be written; name its master".to_owned());
    }
    Ok(odd)
}

fn is_older(version: &str, (major, minor): (u32, u32)) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(of), Some(minor_of)) => (of, minor_of) < (major, minor),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("6.0.16", (6, 2)) && is_older("5.0.14", (6, 2)));
        assert!(!is_older("6.2.0", (6, 2)) && !is_older("7.0.15", (6, 2)) && !is_older("10.1.0", (6, 2)));
        assert!(!is_older("", (6, 2)), "who does not say is given the benefit of the doubt");
    }
}
