//! The wait for work, which does not ask Redis again and again.
//!
//! `BLMOVE pending pending RIGHT RIGHT` blocks until the list has something, and then puts the id that it took back where it
//! was: it waits and changes nothing. So a push of proxq or of any client of asynq ends the wait. Jobs of high and low priority
//! are not in that list; `events.rs` hears of them. The command has a connection
//! of its own, and is sent only while a worker waits. When delayed and resting jobs are due is known in advance. In case
//! something was missed, each waiting worker looks once a second.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};
use tokio_util::sync::CancellationToken;

use super::answer::RedisInstant;
use super::connecting::{CONNECT_TIMEOUT, LONGEST_PAUSE, reconnect_pauses};
use super::error::checked;
use super::queues::Queue;
use super::scripts::Peek;
use super::shared::Shared;
use super::waiting_workers::QueueWorkers;
use crate::store::StoreError;

/// How often a waiting worker looks whether a wake-up was missed.
const TICK: Duration = Duration::from_secs(1);
/// How long one command blocks. A connection that is dead is noticed after this time.
const BLOCK: Duration = Duration::from_secs(5);
/// How much later than that Redis may answer.
const BLOCK_MARGIN: Duration = Duration::from_secs(2);

/// Returns when something may be due in the queue.
pub(super) async fn due(shared: &Arc<Shared>, client: &Client, closing: &CancellationToken, queue: &str) {
    let queue = shared.queues.named(queue);
    let workers = shared.waiting_workers.of(&queue.name);
    if workers.begin_to_serve() {
        let blocking = block(Arc::clone(shared), client.clone(), closing.clone(), queue.clone(), Arc::clone(&workers));
        shared.tasks.spawn(blocking);
    }
    let signal = shared.signals.queue(&queue.name);
    let _waiting = workers.enter();
    let told = signal.due(shared.clock);
    let missed = async {
        loop {
            tokio::time::sleep(TICK).await;
            // An error is no reason to wake the worker. Those who need Redis meet it themselves.
            if let Ok(true) = peek(shared, &queue, &workers).await {
                return;
            }
        }
    };
    tokio::select! {
        () = told => {}
        () = missed => {}
    }
}

/// Whether there is anything to hand out.
async fn peek(shared: &Shared, queue: &Queue, workers: &QueueWorkers) -> Result<bool, StoreError> {
    let outlook = shared.commands.call(&queue.keys, Peek).await?;
    workers.set_paused(outlook.paused);
    if outlook.next_due.is_some_and(RedisInstant::is_ahead) {
        shared.next_due(queue, outlook.next_due);
    }
    Ok(outlook.something)
}

/// Blocks on the queue's list while somebody waits, until the end of the store.
async fn block(
    shared: Arc<Shared>,
    client: Client,
    closing: CancellationToken,
    queue: Queue,
    workers: Arc<QueueWorkers>,
) {
    let mut demand = workers.demand();
    let mut connection: Option<MultiplexedConnection> = None;
    let mut pauses = reconnect_pauses();
    let mut served = 0;
    loop {
        tokio::select! {
            wanted = demand.wait_for(|demand| demand.waiting > 0 && demand.entries != served) => {
                if wanted.is_err() {
                    return;
                }
            }
            () = closing.cancelled() => return,
        }
        let blocked = async {
            if workers.is_paused() {
                tokio::time::sleep(TICK).await;
                return Ok(false);
            }
            if connection.is_none() {
                connection = Some(connect(&client).await?);
            }
            let Some(connection) = connection.as_mut() else { return Ok(false) };
            pushed(connection, &queue).await
        };
        let pushed = tokio::select! {
            pushed = blocked => pushed,
            () = closing.cancelled() => return,
        };
        match pushed {
            Ok(pushed) => {
                pauses = reconnect_pauses();
                if pushed {
                    served = demand.borrow().entries;
                    shared.ready(&queue);
                }
            }
            Err(error) => {
                tracing::debug!(%error, queue = queue.name, "wait for pushes to a queue");
                connection = None;
                tokio::select! {
                    () = tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
                    () = closing.cancelled() => return,
                }
            }
        }
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(BLOCK + BLOCK_MARGIN));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Waits until the list has something, for as long as one command blocks. Gives whether it has.
async fn pushed(connection: &mut MultiplexedConnection, queue: &Queue) -> Result<bool, RedisError> {
    let pending = queue.keys.asynq("pending");
    let mut command = redis::cmd("BLMOVE");
    command.arg(&pending).arg(&pending).arg("RIGHT").arg("RIGHT").arg(BLOCK.as_secs());
    let moved = connection.send_packed_command(&command).await.and_then(checked)?;
    Ok(moved != Value::Nil)
}
