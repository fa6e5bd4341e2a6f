//! Lists the jobs of a queue in one state, a page at a time.
//!
//! asynq keeps ids in sets by time (scheduled, retry, completed, archived) and in lists (pending, active). Neither numbers
//! them, so a cursor says behind which job the next page begins (`listing/place.rs`), whether that job is there or not:
//!
//! - In a set, by the job's second and the beginning of its id. Exact, but for two ids of one second that begin with the same
//!   28 bits: if one ends a page, the other is left out.
//! - In a list, by what the list is sorted by: the millisecond since which the job is pending, or the token of its lease.
//!   Several pending jobs may have the same: those that one round of upkeep woke. Active ones may have none: those that asynq's
//!   workers have. Among these, the beginning of the id says behind which job the page begins. If that job has left, the
//!   page begins with the first of them: jobs are leased from that end, so those that were given have mostly left, too. One
//!   that has not is given again. A job that is pending again out of turn, because its lease was lost, may be left out.
//!
//! Pending jobs are listed by their priority: first those of high priority, from a set by the microsecond, then those in
//! asynq's list, then those of low priority, then those that are filed because their credential holds them back. A job that upkeep moves from one to the other meanwhile may be left out.

mod place;

use super::queues::Queue;
use super::read::job_of;
use super::scripts::{ListOrder, ListPage, ListPlace, Listed, SetOrder, SetPage, SetPlace};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{JobId, Priority, QueueName, State};
use crate::store::pending_place::PendingPlace;
use crate::store::{BATCH_LIMIT, JobPage, StoreError};

/// Up to `max` jobs in a state, oldest first, and no more than a batch.
pub(super) async fn page(
    shared: &Shared,
    queue: &QueueName,
    state: State,
    cursor: Option<u64>,
    max: usize,
) -> Result<JobPage, StoreError> {
    let queue = shared.queues.named(queue.as_str());
    let max = max.min(BATCH_LIMIT);
    if max == 0 {
        return Ok(JobPage { jobs: Vec::new(), next: cursor });
    }
    let (listed, next) = match state {
        State::Pending => pending(shared, &queue, cursor, max).await?,
        State::Active => of_list(shared, &queue, ListOrder::Token, cursor, max).await?,
        State::Scheduled | State::Retry | State::Completed | State::Archived => {
            of_set(shared, &queue, SetOrder::Second(state), cursor, max).await?
        }
    };
    let mut jobs = Vec::with_capacity(listed.len());
    for Listed { id, fields } in listed {
        let Ok(id) = id.parse::<JobId>() else { continue };
        match job_of(shared, &queue, id, &fields).await {
            Ok(job) => jobs.extend(job.filter(|job| job.state == state)),
            Err(error @ (StoreError::CorruptJob { .. } | StoreError::NewerRecord { .. })) => {
                tracing::warn!(job.id = %id, error = chain(&error), "job left out of a list");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(JobPage { jobs, next })
}

/// What a page has, and where the next one begins.
type Part = (Vec<Listed>, Option<u64>);

/// A page of a set.
async fn of_set(
    shared: &Shared,
    queue: &Queue,
    order: SetOrder,
    cursor: Option<u64>,
    max: usize,
) -> Result<Part, StoreError> {
    let after = cursor.map(|cursor| SetPlace::from_cursor(cursor, order));
    let (jobs, more) = shared.commands.call(&queue.keys, SetPage { order, after, max }).await?;
    let next = jobs.last().filter(|_| more).and_then(|(last, score)| SetPlace::after(&last.id, *score, order));
    // Ids that are none of ours have no place of their own, and must not hold up a reader for ever.
    let next = next.map(|next| next.cursor(order).max(cursor.map_or(0, |cursor| cursor.saturating_add(1))));
    Ok((jobs.into_iter().map(|(job, _score)| job).collect(), next))
}

/// A page of a list.
async fn of_list(
    shared: &Shared,
    queue: &Queue,
    order: ListOrder,
    cursor: Option<u64>,
    max: usize,
) -> Result<Part, StoreError> {
    let after = cursor.map(|cursor| ListPlace::from_cursor(cursor, order));
    let page = shared.commands.call(&queue.keys, ListPage { order, after, max }).await?;
    let next = page.jobs.last().filter(|_| page.more).map(|last| ListPlace::after(&last.id, page.anchor, order));
    Ok((page.jobs, next.map(|next| next.cursor(order))))
}

/// A page of pending jobs, which may be of several priorities.
async fn pending(shared: &Shared, queue: &Queue, cursor: Option<u64>, max: usize) -> Result<Part, StoreError> {
    if let Some(cursor) = cursor.filter(|cursor| cursor >> FILED_SHIFT == FILED_RANK) {
        return filed(shared, queue, Some(cursor & ((1 << FILED_SHIFT) - 1)), max).await;
    }
    let begin = cursor.map(PendingPlace::from_cursor);
    let priorities = Priority::ALL.into_iter().filter(|priority| begin.is_none_or(|begin| *priority >= begin.priority));
    let mut listed = Vec::new();
    for priority in priorities {
        // The place 0 is the beginning.
        let after = begin.filter(|begin| begin.priority == priority && begin.number > 0).map(|begin| begin.number);
        let room = max - listed.len();
        let ask_for = room.max(1); // on a full page, whether there are more
        let (jobs, next) = match priority {
            Priority::High | Priority::Low => {
                of_set(shared, queue, SetOrder::Microsecond(priority), after, ask_for).await?
            }
            Priority::Normal => of_list(shared, queue, ListOrder::PendingSince, after, ask_for).await?,
        };
        if room == 0 && !jobs.is_empty() {
            return Ok((listed, Some(PendingPlace { priority, number: 0 }.cursor())));
        }
        listed.extend(jobs);
        if let Some(number) = next {
            return Ok((listed, Some(PendingPlace { priority, number: number.max(1) }.cursor())));
        }
    }
    let room = max - listed.len();
    let (jobs, next) = filed(shared, queue, None, room.max(1)).await?;
    if room == 0 {
        let more = !jobs.is_empty();
        return Ok((listed, more.then_some(FILED_RANK << FILED_SHIFT)));
    }
    listed.extend(jobs);
    Ok((listed, next))
}

/// What the cursor of a filed job begins with, behind those of all priorities.
const FILED_RANK: u64 = 3;
const FILED_SHIFT: u32 = 62;

/// A page of filed jobs. The place 0 is the beginning.
async fn filed(shared: &Shared, queue: &Queue, cursor: Option<u64>, max: usize) -> Result<Part, StoreError> {
    let after = cursor.filter(|place| *place > 0);
    let (jobs, next) = of_set(shared, queue, SetOrder::Filed, after, max).await?;
    Ok((jobs, next.map(|next| (FILED_RANK << FILED_SHIFT) | next)))
}
