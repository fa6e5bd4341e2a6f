//! The news from other instances and from asynq's tools: that a watched job changed, that an attempt is to end, or that a
//! job of high or low priority is pending.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use redis::aio::PubSub;
use redis::{Client, Msg, Pipeline, RedisError};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::connecting::{CONNECT_TIMEOUT, LONGEST_PAUSE, reconnect_pauses};
use super::keys::{CANCEL_CHANNEL, changed_channel, queue_channel};
use super::queues::Queue;
use super::settle::{self, Failure};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{JobId, Outcome, Reach};
use crate::store::{Lease, StoreError};

/// Listens until the end of the store.
///
/// Redis does not repeat what it told while this process was not connected. So after every new connection all watchers are
/// woken to look for themselves, and an attempt whose lease is gone ends with the next renewal.
pub(super) async fn listen(shared: Arc<Shared>, client: Client, closing: CancellationToken) {
    let mut pauses = reconnect_pauses();
    loop {
        let listened = tokio::select! {
            subscribed = subscribe(&shared, &client) => match subscribed {
                Ok(subscribed) => {
                    pauses = reconnect_pauses();
                    shared.signals.all_changed();
                    tokio::select! {
                        () = hear(&shared, subscribed) => Ok(()),
                        () = shared.queues.added() => continue, // to hear of it, too
                        () = closing.cancelled() => return,
                    }
                }
                Err(error) => Err(error),
            },
            () = closing.cancelled() => return,
        };
        if let Err(error) = listened {
            tracing::debug!(error = chain(&error), "listen for changes of watched jobs");
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
            () = closing.cancelled() => return,
        }
    }
}

async fn subscribe(shared: &Shared, client: &Client) -> Result<PubSub, RedisError> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, async {
        let mut connection = client.get_async_pubsub().await?;
        let mut channels = vec![CANCEL_CHANNEL.to_owned(), changed_channel(&shared.instance.id)];
        channels.extend(shared.queues.all().iter().map(|queue| queue_channel(&queue.name)));
        connection.subscribe(&channels).await?;
        Ok(connection)
    });
    connected.await.unwrap_or_else(|_elapsed| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// Hears messages until the connection breaks.
async fn hear(shared: &Arc<Shared>, connection: PubSub) {
    let mut messages = connection.into_on_message();
    while let Some(message) = messages.next().await {
        if message.get_payload_bytes() == READY {
            ready(shared, message.get_channel_name());
            continue;
        }
        let Some((id, token)) = told(&message) else { continue };
        match token {
            Some(token) => shared.leases.revoke(&Lease { id, token }),
            None if message.get_channel_name() == CANCEL_CHANNEL => end_attempt(shared, id),
            None => shared.changed(id),
        }
    }
}

/// What is told in a queue when a job of high or low priority is pending.
const READY: &[u8] = b"ready";

/// Wakes the workers of the queue with this channel.
fn ready(shared: &Shared, channel: &str) {
    if let Some(queue) = shared.queues.all().iter().find(|queue| queue_channel(&queue.name) == channel) {
        shared.ready(queue);
    }
}

/// Looks at the watched jobs of these queues in one round trip, and wakes those who watch a job that may have changed. This
/// finds the changes that servers of asynq make, for those tell nobody.
pub(super) async fn look_at_watched(shared: &Shared, queues: &[Queue]) -> Result<(), StoreError> {
    let watched = if queues.is_empty() { Vec::new() } else { shared.signals.watched() };
    if watched.is_empty() {
        shared.seen_states.clear();
        return Ok(());
    }
    let mut commands = Pipeline::with_capacity(watched.len() * queues.len());
    for id in &watched {
        for queue in queues {
            commands.cmd("HGET").arg(queue.keys.task(*id)).arg("state");
        }
    }
    let answers = shared.commands.run_all("HGET", &commands).await?;
    let mut answers = answers.into_iter().map(Answer::bytes);
    let mut states = HashMap::with_capacity(watched.len());
    for id in watched {
        let found: Result<Vec<_>, _> = answers.by_ref().take(queues.len()).collect();
        states.insert(id, found?.into_iter().flatten().next());
    }
    for id in shared.seen_states.replace(states) {
        shared.changed(id);
    }
    Ok(())
}

/// The id of a job, and the token of its lease if the message says that the lease was taken away.
fn told(message: &Msg) -> Option<(JobId, Option<u64>)> {
    let text = std::str::from_utf8(message.get_payload_bytes()).ok()?;
    let (id, token) = text.split_once(' ').map_or((text, None), |(id, token)| (id, Some(token)));
    Some((id.parse().ok()?, token.map(str::parse).transpose().ok()?))
}

/// Ends the attempt at a job that runs here, because one of asynq's tools asks for that.
fn end_attempt(shared: &Arc<Shared>, id: JobId) {
    let Some(lease) = shared.leases.of(id) else { return };
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        match give_up(&shared, &lease).await {
            Ok(()) => shared.leases.revoke(&lease),
            // If the job is gone, the next renewal finds that out and ends the attempt.
            Err(error) => tracing::warn!(job.id = %id, error = chain(&error), "end an attempt from outside"),
        }
    });
}

/// Ends the job without a response, unless it is gone already.
async fn give_up(shared: &Shared, lease: &Lease) -> Result<(), StoreError> {
    let Some(held) = shared.leases.get(lease) else { return Ok(()) };
    let failure = Failure {
        error: "attempt cancelled by an operator: it is unknown whether the request reached the upstream".to_owned(),
        reach: Reach::Unknown,
        outcome: Outcome::Indeterminate,
        frees_claim: false,
        ends_call: false,
    };
    settle::fail(shared, lease, &held, failure).await?;
    shared.changed(lease.id);
    Ok(())
}
