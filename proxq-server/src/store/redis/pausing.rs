//! Pauses queues by asynq's key, which its tools and servers heed, too.

use redis::{Pipeline, Value};

use super::keys::queue_channel;
use super::shared::Shared;
use crate::job::QueueName;
use crate::store::StoreError;

/// Has no job of a queue begin, at any instance. Gives whether it was not paused before.
pub(super) async fn pause(shared: &Shared, queue: &QueueName) -> Result<bool, StoreError> {
    let queue = shared.queues.named(queue.as_str());
    let mut set = redis::cmd("SET");
    set.arg(queue.keys.asynq("paused")).arg(shared.clock.wall().since_epoch().as_secs()).arg("NX");
    let answer = shared.commands.run("SET", &set).await?;
    shared.waiting_workers.of(&queue.name).set_paused(true);
    // If it was sent twice because the first answer was lost, the first may have changed it.
    Ok(answer.value != Value::Nil || answer.repeated)
}

/// Has jobs of a queue begin again, and wakes the workers of all instances. Gives whether it was paused before.
pub(super) async fn resume(shared: &Shared, queue: &QueueName) -> Result<bool, StoreError> {
    let queue = shared.queues.named(queue.as_str());
    let mut commands = Pipeline::with_capacity(2);
    commands.cmd("DEL").arg(queue.keys.asynq("paused"));
    commands.cmd("PUBLISH").arg(queue_channel(&queue.name)).arg("ready");
    let mut answers = shared.commands.run_all("DEL", &commands).await?.into_iter();
    let deleted = answers.next().ok_or_else(|| super::error::unexpected("DEL"))?;
    shared.waiting_workers.of(&queue.name).set_paused(false);
    shared.ready(&queue);
    let repeated = deleted.repeated;
    Ok(deleted.number()? > 0 || repeated)
}
