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
//!   page begins with the first of them: jobs are leased from the oldest on, so those that were given oldest first have mostly
//!   left, too. One that has not is given again. A job that is pending again out of turn, because its lease was lost, may be
//!   left out.
//!
//! Pending jobs are in several such places (`listing/part.rs`), which are listed one after the other. A job that upkeep moves from
//! one to the other meanwhile may be left out.
//!
//! A page asks one script for each of the places that it touches, which gives what there is to show of the jobs. Only of tasks that
//! asynq's servers made or ended, the messages are read, too.

mod part;
mod place;

use self::part::Part;
use super::queues::Queue;
use super::read::job_of;
use super::scripts::{ListPage, ListPlace, ListSort, Listed, SetPage, SetPlace, SetSort};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{JobId, Priority, QueueName, State};
use crate::store::{BATCH_LIMIT, JobOrder, JobPage, StoreError};

/// Up to `max` jobs in a state, and no more than a batch.
pub(super) async fn page(
    shared: &Shared,
    queue: &QueueName,
    state: State,
    order: JobOrder,
    cursor: Option<u64>,
    max: usize,
) -> Result<JobPage, StoreError> {
    let queue = shared.queues.named(queue.as_str());
    let max = max.min(BATCH_LIMIT);
    if max == 0 {
        return Ok(JobPage { jobs: Vec::new(), next: cursor });
    }
    let lists = Lists { shared, queue: &queue, order };
    let (listed, next) = match state {
        State::Pending => lists.pending(cursor, max).await?,
        State::Active => lists.list(ListSort::Token, cursor, max).await?,
        State::Scheduled | State::Retry | State::Completed | State::Archived => {
            lists.set(SetSort::Second(state), cursor, max).await?
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
type Page = (Vec<Listed>, Option<u64>);

/// The lists of a queue, from one of their ends.
struct Lists<'a> {
    shared: &'a Shared,
    queue: &'a Queue,
    order: JobOrder,
}

impl Lists<'_> {
    /// A page of a set.
    async fn set(&self, sort: SetSort, cursor: Option<u64>, max: usize) -> Result<Page, StoreError> {
        let after = cursor.map(|cursor| SetPlace::from_cursor(cursor, sort));
        let page = SetPage { sort, order: self.order, after, max };
        let (jobs, more) = self.shared.commands.call(&self.queue.keys, page).await?;
        let next = jobs.last().filter(|_| more);
        let next = next.and_then(|(last, score)| SetPlace::behind(&last.id, *score, sort, self.order));
        // Ids that are none of ours have no place of their own, and must not hold up a reader for ever.
        let next = next.map(|next| next.cursor(sort)).and_then(|next| match (cursor, self.order) {
            (None, _) => Some(next),
            (Some(cursor), JobOrder::OldestFirst) => Some(next.max(cursor.checked_add(1)?)),
            (Some(cursor), JobOrder::NewestFirst) => Some(next.min(cursor.checked_sub(1)?)),
        });
        Ok((jobs.into_iter().map(|(job, _score)| job).collect(), next))
    }

    /// A page of a list.
    async fn list(&self, sort: ListSort, cursor: Option<u64>, max: usize) -> Result<Page, StoreError> {
        let after = cursor.map(|cursor| ListPlace::from_cursor(cursor, sort));
        let page = ListPage { sort, order: self.order, after, max };
        let page = self.shared.commands.call(&self.queue.keys, page).await?;
        let next = page.jobs.last().filter(|_| page.more);
        let next = next.and_then(|last| ListPlace::behind(&last.id, page.anchor, sort, self.order));
        Ok((page.jobs, next.map(|next| next.cursor(sort))))
    }

    /// A page of pending jobs, which may be in several places.
    async fn pending(&self, cursor: Option<u64>, max: usize) -> Result<Page, StoreError> {
        let (begin, number) = cursor.map(Part::of_cursor).unzip();
        let mut listed = Vec::new();
        for part in Part::in_order(self.order, begin) {
            let after = number.filter(|number| Some(part) == begin && *number != Part::BEGINNING);
            let room = max - listed.len();
            let ask_for = room.max(1); // on a full page, whether there are more
            let (jobs, next) = match part {
                Part::High => self.set(SetSort::Microsecond(Priority::High), after, ask_for).await?,
                Part::Normal => self.list(ListSort::PendingSince, after, ask_for).await?,
                Part::Low => self.set(SetSort::Microsecond(Priority::Low), after, ask_for).await?,
                Part::Filed => self.set(SetSort::Filed, after, ask_for).await?,
            };
            if room == 0 && !jobs.is_empty() {
                return Ok((listed, Some(part.cursor(Part::BEGINNING))));
            }
            listed.extend(jobs);
            if let Some(number) = next {
                return Ok((listed, Some(part.cursor(number.max(Part::BEGINNING + 1)))));
            }
        }
        Ok((listed, None))
    }
}
