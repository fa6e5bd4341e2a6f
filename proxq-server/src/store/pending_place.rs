//! The place of a pending job in a list, for stores that number their jobs: by what begins first.
//!
//! A cursor has no room for the whole number of a job, only for its end. That tells apart what became due in the same
//! millisecond: such jobs were submitted together, or are few.

#[cfg(test)]
use std::cmp::Ordering;

#[cfg(test)]
use crate::job::Priority;

const DUE_BITS: u32 = 42;
const NUMBER_BITS: u32 = 19;

/// How much of a number a cursor says.
pub(crate) const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;
/// A number that is ahead of another by up to this much is behind it in the list, whatever lies before their ends.
pub(crate) const AHEAD_MAX: u64 = NUMBER_MASK >> 1;

/// The place of a pending job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PendingPlace {
    /// Jobs of a later part come after all of an earlier one.
    pub(crate) part: Part,
    /// Since when a worker may take it, in milliseconds.
    pub(crate) due_ms: i64,
    /// Its number; of a place that a cursor says, the end of it.
    pub(crate) number: u64,
}

/// Those that are filed come after all others; among each, a higher priority comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    /// 1 if they are filed.
    pub(crate) filed: i64,
    /// From 0 for the highest.
    pub(crate) rank: i64,
}

impl Part {
    /// How many there are.
    const RANKS: i64 = 3;

    /// Jobs of a priority. A database has their numbers.
    #[cfg(test)]
    pub(crate) fn of(filed: bool, priority: Priority) -> Self {
        let rank = Priority::ALL.into_iter().zip(0..).find(|(known, _)| *known == priority);
        Self { filed: filed.into(), rank: rank.expect("it is one of all").1 }
    }

    fn number(self) -> Option<u64> {
        let known = (0..Self::RANKS).contains(&self.rank) && (0..=1).contains(&self.filed);
        known.then(|| (self.filed * Self::RANKS + self.rank).unsigned_abs())
    }
}

impl PendingPlace {
    /// The place as a number that grows from part to part, and from millisecond to millisecond. `None` for one that has no
    /// room in a cursor: rather an early end of a list than a page that comes again and again.
    pub(crate) fn cursor(self) -> Option<u64> {
        let due = u64::try_from(self.due_ms).ok().filter(|due| due >> DUE_BITS == 0)?;
        Some((self.part.number()? << (DUE_BITS + NUMBER_BITS)) | (due << NUMBER_BITS) | (self.number & NUMBER_MASK))
    }

    /// The place that a cursor says. Every number says one.
    pub(crate) fn from_cursor(cursor: u64) -> Self {
        let part = (cursor >> (DUE_BITS + NUMBER_BITS)).cast_signed();
        Self {
            part: Part { filed: part / Part::RANKS, rank: part % Part::RANKS },
            due_ms: ((cursor >> NUMBER_BITS) & ((1 << DUE_BITS) - 1)).cast_signed(),
            number: cursor & NUMBER_MASK,
        }
    }

    /// Where this job is beside the place that a cursor says. A database is asked in its own words.
    #[cfg(test)]
    pub(crate) fn beside(self, cursor: Self) -> Ordering {
        let ahead = self.number.wrapping_sub(cursor.number) & NUMBER_MASK;
        let by_number = match ahead {
            0 => Ordering::Equal,
            1..=AHEAD_MAX => Ordering::Greater,
            _ => Ordering::Less,
        };
        (self.part, self.due_ms).cmp(&(cursor.part, cursor.due_ms)).then(by_number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn any_place() -> impl Strategy<Value = PendingPlace> {
        (any::<bool>(), select(Priority::ALL.to_vec()), 0_i64..1 << DUE_BITS, any::<u64>()).prop_map(
            |(filed, priority, due_ms, number)| PendingPlace { part: Part::of(filed, priority), due_ms, number },
        )
    }

    proptest! {
        #[test]
        fn a_cursor_says_the_same_place_again(place in any_place()) {
            let said = PendingPlace::from_cursor(place.cursor().unwrap());
            prop_assert_eq!(said, PendingPlace { number: place.number & NUMBER_MASK, ..place });
            prop_assert_eq!(place.beside(said), Ordering::Equal);
        }

        #[test]
        fn a_job_is_where_it_is_beside_another(place in any_place(), other in any_place(), ahead in 1..=AHEAD_MAX) {
            let said = PendingPlace::from_cursor(other.cursor().unwrap());
            if (place.part, place.due_ms) != (other.part, other.due_ms) {
                prop_assert_eq!(place.beside(said), place.cmp(&other));
            }
            let next = PendingPlace { number: other.number.saturating_add(ahead), ..other };
            prop_assert_eq!(next.beside(said), next.cmp(&other));
        }

        #[test]
        fn any_number_is_a_place(cursor: u64) {
            let place = PendingPlace::from_cursor(cursor);
            prop_assert!(place.cursor().is_none_or(|again| again == cursor));
        }
    }

    #[test]
    fn every_priority_has_its_rank() {
        let ranks: Vec<_> = Priority::ALL.into_iter().map(|priority| Part::of(false, priority).rank).collect();
        assert_eq!(ranks, (0..Part::RANKS).collect::<Vec<_>>());
    }

    #[test]
    fn an_instant_that_has_no_room_has_no_cursor() {
        let place = PendingPlace { part: Part::of(false, Priority::High), due_ms: 1 << DUE_BITS, number: 7 };
        assert_eq!(place.cursor(), None);
        assert_eq!(PendingPlace { due_ms: -1, ..place }.cursor(), None);
    }
}
