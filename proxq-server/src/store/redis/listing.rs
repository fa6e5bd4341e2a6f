//! Lists the jobs of a queue in one state, a page at a time.
//!
//! asynq keeps ids in sets by time (scheduled, retry, completed, archived) and in lists (pending, active). Neither numbers
//! them, so a cursor says behind which job the next page begins, whether that job is there or not:
//!
//! - In a set, by the job's second and the beginning of its id. Exact, but for two ids of one second that begin with the same
//!   28 bits: if one ends a page, the other is left out.
//! - In a list, by what the list is sorted by: the millisecond since which the job is pending, or the token of its lease.
//!   Several pending jobs may have the same: those that one round of upkeep woke. Active ones may have none: those that asynq's
//!   workers have. Among these, the beginning of the id says behind which job the page begins. If that job has left, the
//!   page begins with the first of them: jobs are leased from that end, so those that were given have mostly left, too. One
//!   that has not is given again. A job that is pending again out of turn, because its lease was lost, may be left out.

use super::read::job_of;
use super::scripts::{ListOrder, ListPage, ListPlace, Listed, SetPage, SetPlace};
use super::shared::Shared;
use crate::failure::chain;
use crate::job::{JobId, QueueName, State};
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
    let (listed, next): (Vec<Listed>, _) = match place_of(state) {
        Place::Set => {
            let call = SetPage { state, after: cursor.map(SetPlace::from_cursor), max };
            let (jobs, more) = shared.commands.call(&queue.keys, call).await?;
            let next = jobs.last().filter(|_| more).and_then(|(last, second)| SetPlace::after(&last.id, *second));
            // Ids that are none of ours have no place of their own, and must not hold up a reader for ever.
            let next = next.map(|next| next.cursor().max(cursor.map_or(0, |cursor| cursor.saturating_add(1))));
            (jobs.into_iter().map(|(job, _second)| job).collect(), next)
        }
        Place::List(order) => {
            let after = cursor.map(|cursor| ListPlace::from_cursor(cursor, order));
            let page = shared.commands.call(&queue.keys, ListPage { order, after, max }).await?;
            let next =
                page.jobs.last().filter(|_| page.more).map(|last| ListPlace::after(&last.id, page.anchor, order));
            (page.jobs, next.map(|next| next.cursor(order)))
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

/// Where the ids of a state are.
enum Place {
    Set,
    List(ListOrder),
}

fn place_of(state: State) -> Place {
    match state {
        State::Pending => Place::List(ListOrder::PendingSince),
        State::Active => Place::List(ListOrder::Token),
        State::Scheduled | State::Retry | State::Completed | State::Archived => Place::Set,
    }
}

/// How many bits of a cursor say how an id in a set begins: seven hexadecimal digits. The other 36 are the seconds of 2000
/// years.
const SET_ID_BITS: u32 = 28;
/// How many bits have a hexadecimal digit.
const DIGIT_BITS: u32 = 4;

/// The first bits of a job's id, as many as so many hexadecimal digits have. `None` for an id that is none of ours.
fn id_beginning(id: &str, bits: u32) -> Option<u64> {
    let uuid = id.parse::<JobId>().ok()?;
    let first = u64::from_be_bytes(*uuid.as_bytes().first_chunk()?);
    Some(first >> (u64::BITS - bits))
}

impl SetPlace {
    /// The place behind an id, or behind all ids of this second if it is none of ours. `None` for a second that no cursor has
    /// room for.
    fn after(id: &str, second: i64) -> Option<Self> {
        let second = u64::try_from(second).unwrap_or_default();
        let id_beginning = id_beginning(id, SET_ID_BITS).unwrap_or((1 << SET_ID_BITS) - 1);
        (second >> (u64::BITS - SET_ID_BITS) == 0).then_some(Self { second, id_beginning })
    }

    fn cursor(self) -> u64 {
        (self.second << SET_ID_BITS) | self.id_beginning
    }

    fn from_cursor(cursor: u64) -> Self {
        Self { second: cursor >> SET_ID_BITS, id_beginning: cursor & ((1 << SET_ID_BITS) - 1) }
    }
}

impl ListPlace {
    /// The place behind an id, or behind all ids with this anchor if it is none of ours.
    fn after(id: &str, anchor: Option<u64>, order: ListOrder) -> Self {
        match id_beginning(id, Self::id_bits(order)) {
            Some(id_beginning) => Self { anchor, id_beginning },
            None => Self { anchor: Some(anchor.map_or(0, |anchor| anchor.saturating_add(1))), id_beginning: 0 },
        }
    }

    /// How many bits of a cursor say how the id begins. The others have room for the milliseconds of 500 years since 1970, and
    /// for the tokens of 140: those begin with the microseconds.
    fn id_bits(order: ListOrder) -> u32 {
        order.id_digits() * DIGIT_BITS
    }

    /// Its anchor is kept one higher, so that 0 is none.
    fn cursor(self, order: ListOrder) -> u64 {
        (self.anchor.map_or(0, |anchor| anchor.saturating_add(1)) << Self::id_bits(order)) | self.id_beginning
    }

    fn from_cursor(cursor: u64, order: ListOrder) -> Self {
        let bits = Self::id_bits(order);
        Self { anchor: (cursor >> bits).checked_sub(1), id_beginning: cursor & ((1 << bits) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_says_the_same_place_again(high in 0_u64..1 << 36, low in 0_u64..1 << 28) {
            let place = SetPlace { second: high, id_beginning: low };
            prop_assert_eq!(SetPlace::from_cursor(place.cursor()), place);
            for (order, id_beginning) in [(ListOrder::PendingSince, low >> 8), (ListOrder::Token, low >> 16)] {
                for anchor in [None, Some(high)] {
                    let place = ListPlace { anchor, id_beginning };
                    prop_assert_eq!(ListPlace::from_cursor(place.cursor(order), order), place);
                }
            }
        }

        #[test]
        fn later_places_in_a_set_have_higher_cursors(second in 0_i64..1 << 36, other in 0_i64..1 << 36) {
            let [one, next] = [(); 2].map(|()| JobId::new().to_string());
            let cursors = [(second, &one), (other, &next)].map(|(second, id)| SetPlace::after(id, second).unwrap().cursor());
            prop_assert_eq!(cursors[0].cmp(&cursors[1]), (second, &one[..7]).cmp(&(other, &next[..7])));
        }
    }

    #[test]
    fn an_id_begins_with_its_digits() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!((id_beginning(id, SET_ID_BITS), id_beginning(id, 12)), (Some(0x550_e840), Some(0x550)));
    }

    #[test]
    fn what_has_no_place_of_its_own_is_passed_over() {
        assert_eq!(SetPlace::after(&JobId::new().to_string(), 1 << 36), None);
        assert_eq!(SetPlace::after("email", 7), Some(SetPlace { second: 7, id_beginning: 0xfff_ffff }));
        assert_eq!(
            ListPlace::after("email", Some(7), ListOrder::Token),
            ListPlace { anchor: Some(8), id_beginning: 0 }
        );
    }
}
