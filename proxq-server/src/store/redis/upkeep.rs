//! What time brings: delayed jobs become pending, lost leases are taken away, old jobs and blobs are dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::answer::Answer;
use super::connection::Arguments;
use super::fields::{JOB_FIELDS, JobFields, outcome_number, reach_number};
use super::foreign;
use super::message::TaskMessage;
use super::settle::retry_argument;
use super::shared::{Queue, Shared};
use crate::failure::chain;
use crate::job::{JobId, Outcome, Reach, Verdict, judge_lost_lease};
use crate::store::record;
use crate::store::signals::{Effect, lock};
use crate::store::{BATCH_LIMIT, Lease, RECLAIM_AFTER_OUTAGE, StoreError, UPKEEP_EVERY, Upkept};

/// For how long a blob is kept that nobody holds and no job refers to: within the hour that is promised.
pub(super) const BLOB_KEPT: Duration = Duration::from_mins(30);

/// Brings all queues up to date. In those that servers of asynq work on, too, asynq's limits to failed jobs hold.
pub(super) async fn upkeep(shared: &Arc<Shared>, beside_asynq: &[Queue]) -> Result<Upkept, StoreError> {
    let begun = shared.clock.steady();
    let mut sum = Upkept::default();
    for queue in shared.queues.all() {
        loop {
            let round = round(shared, &queue, beside_asynq.contains(&queue)).await?;
            sum.woken += round.woken;
            sum.reclaimed += round.reclaimed;
            sum.expired += round.expired;
            let full = round.woken.max(round.reclaimed).max(round.expired) >= BATCH_LIMIT;
            if !full || shared.clock.steady().since(begun) >= UPKEEP_EVERY {
                break;
            }
        }
    }
    Ok(sum)
}

async fn round(shared: &Arc<Shared>, queue: &Queue, beside_asynq: bool) -> Result<Upkept, StoreError> {
    let version = || Arguments::new().number(record::VERSION);
    let names = JOB_FIELDS.iter().fold(Arguments::new(), |arguments, field| arguments.with(*field));
    let (commands, scripts) = (&shared.commands, &shared.scripts);
    // After an outage the living owners renew first.
    let may_reclaim = commands.answering_for().is_some_and(|span| span >= RECLAIM_AFTER_OUTAGE);
    // Asked at once, they travel together.
    let (woken, lost, expired, trimmed) = tokio::try_join!(
        commands.script(&scripts.wake, &queue.keys, Arguments::new()),
        async {
            if may_reclaim { commands.script(&scripts.lost, &queue.keys, names).await.map(Some) } else { Ok(None) }
        },
        commands.script(&scripts.expire, &queue.keys, version()),
        async {
            if beside_asynq { commands.script(&scripts.trim, &queue.keys, version()).await.map(Some) } else { Ok(None) }
        },
    )?;
    let [woken, due, now] = woken.numbers()?;
    let woken = usize::try_from(woken).unwrap_or_default();
    if woken > 0 {
        shared.note_next_due(&queue.name, due, now);
        shared.signals.apply(Effect::Ready(shared.signals.queue(&queue.name)));
    }
    let expired = expired.number()? + trimmed.map_or(Ok(0), Answer::number)?;
    let expired = usize::try_from(expired).unwrap_or_default();
    let mut reclaimed = 0;
    for job in lost.map_or(Ok(Vec::new()), Answer::list)? {
        reclaimed += usize::from(reclaim(shared, queue, job).await?);
    }
    Ok(Upkept { woken, reclaimed, expired })
}

/// Takes a lost lease away, if it still is one. Gives whether it was.
async fn reclaim(shared: &Arc<Shared>, queue: &Queue, job: Answer) -> Result<bool, StoreError> {
    let [id, token, fields, message] = job.array()?;
    let (id, token, message) = (id.text()?, token.text()?, message.bytes()?.unwrap_or_default());
    let fields = JobFields::read(&mut fields.fields()?.into_iter());
    let Judged { verdict, retention, max_retries } = judged(shared, &id, &fields, message);
    let max_retries = retry_argument(max_retries);
    let arguments = Arguments::new().with(id.as_str()).with(token.as_str());
    let frees_claim = verdict.frees_claim();
    let script = match verdict {
        Verdict::RetryAfter { error, .. } => {
            let script = &shared.scripts.reclaim;
            shared.commands.script(script, &queue.keys, arguments.with(error).with(max_retries)).await?
        }
        Verdict::Fail { error, outcome, .. } => {
            let arguments = arguments
                .with("1")
                .with(error)
                .number(reach_number(Reach::Unknown))
                .number(outcome_number(outcome))
                .number(retention.as_millis())
                .number(u8::from(frees_claim))
                .with(max_retries);
            shared.commands.script(&shared.scripts.archive, &queue.keys, arguments).await?
        }
        Verdict::Complete(_) | Verdict::Release => unreachable!("a lost worker neither responds nor releases"),
    };
    let reclaimed = script.number()? == 1;
    if reclaimed {
        tracing::warn!(job.id = id, attempt = fields.progress.attempts, "worker lost, its lease is taken away");
        shared.signals.apply(Effect::Ready(shared.signals.queue(&queue.name)));
        if let Ok(id) = id.parse::<JobId>() {
            if let Ok(token) = token.parse() {
                shared.revoke(&Lease { id, token });
            }
            shared.changed(id);
        }
    }
    Ok(reclaimed)
}

/// What becomes of a job whose worker was lost.
struct Judged {
    verdict: Verdict,
    /// For how long it is kept if it ends.
    retention: Duration,
    /// How often it may be retried, where its message is to say so.
    max_retries: Option<i32>,
}

fn judged(shared: &Shared, id: &str, fields: &JobFields, message: Bytes) -> Judged {
    let unreadable = |error: String| {
        let verdict = Verdict::Fail { error, reach: Reach::Unknown, outcome: Outcome::Indeterminate };
        Judged { verdict, retention: shared.settings.get().retention, max_retries: None }
    };
    let Ok(job_id) = id.parse::<JobId>() else {
        return unreadable("worker lost, and the task is none of proxq's".to_owned());
    };
    let (request, max_retries) = match fields.facts(job_id) {
        Ok(Some(facts)) => {
            let max_retries = shared.max_retries(&facts.request.upstream);
            (facts.request, max_retries)
        }
        Ok(None) => {
            let message = TaskMessage::decode(message).unwrap_or_default();
            match foreign::request(&message, shared.clock.wall(), shared) {
                Ok((request, _body)) => (request, None),
                Err(error) => return unreadable(error.to_string()),
            }
        }
        Err(error) => {
            tracing::error!(job.id = id, error = chain(&error), "job is damaged and given up");
            return unreadable(error.to_string());
        }
    };
    let verdict = judge_lost_lease(&request, &fields.progress, shared.settings.get().max_lease_losses);
    Judged { verdict, retention: request.retention, max_retries }
}

/// Keeps the blobs that this process holds, and removes those that no job refers to.
pub(super) async fn sweep(shared: &Shared) -> Result<(), StoreError> {
    let held: Vec<_> = lock(&shared.blobs).iter().map(|(blob, keys)| (*blob, keys.clone())).collect();
    for queue in shared.queues.all() {
        let of_queue: Vec<_> = held.iter().filter(|(_, keys)| *keys == queue.keys).collect();
        let mut batches: Vec<_> = of_queue.chunks(BATCH_LIMIT).collect();
        if batches.is_empty() {
            batches.push(&[]);
        }
        // All are kept before the first is swept.
        for batch in batches {
            let arguments = Arguments::new().number(BLOB_KEPT.as_millis());
            let arguments = batch.iter().fold(arguments, |arguments, (blob, _)| arguments.with(blob.to_string()));
            shared.commands.script(&shared.scripts.sweep, &queue.keys, arguments).await?.number()?;
        }
    }
    Ok(())
}

/// Puts right what crashes of others left.
pub(super) async fn heal(shared: &Shared) -> Result<(), StoreError> {
    for queue in shared.queues.all() {
        let arguments = Arguments::new().number(record::VERSION);
        let healed = shared.commands.script(&shared.scripts.heal, &queue.keys, arguments).await?.number()?;
        if healed > 0 {
            tracing::warn!(queue = queue.name, ids = healed, "put right what a crash of somebody else left");
        }
    }
    Ok(())
}
