//! The place of a pending job in a list, for stores that number their jobs: by priority, and by number within one.

use crate::job::Priority;

/// Where the number of a priority begins in a cursor. No store has 2^62 jobs.
const NUMBER_BITS: u32 = 62;

/// A place between pending jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingPlace {
    /// The priority of the job before it.
    pub(crate) priority: Priority,
    /// The number of this job.
    pub(crate) number: u64,
}

impl PendingPlace {
    /// The place as a number that grows from place to place.
    pub(crate) fn cursor(self) -> u64 {
        let rank = Priority::ALL.into_iter().zip(0..).find(|(priority, _)| *priority == self.priority);
        let (_, rank) = rank.expect("it is one of all");
        (rank << NUMBER_BITS) | self.number
    }

    /// The place that a cursor says; behind all jobs for a number that is none.
    pub(crate) fn from_cursor(cursor: u64) -> Self {
        let rank = usize::try_from(cursor >> NUMBER_BITS).expect("two bits fit");
        let number = cursor & ((1 << NUMBER_BITS) - 1);
        match Priority::ALL.get(rank) {
            Some(priority) => Self { priority: *priority, number },
            None => Self { priority: Priority::Low, number: (1 << NUMBER_BITS) - 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_says_the_same_place_again(
            priority in select(Priority::ALL.to_vec()),
            number in 0_u64..1 << NUMBER_BITS,
        ) {
            let place = PendingPlace { priority, number };
            prop_assert_eq!(PendingPlace::from_cursor(place.cursor()), place);
        }

        #[test]
        fn any_number_is_a_place(cursor: u64) {
            prop_assert!(PendingPlace::from_cursor(cursor).cursor() <= cursor);
        }
    }
}
