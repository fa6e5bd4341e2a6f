//! Where pending jobs are, in the order in which they begin: those of high priority in a set by the microsecond, those of normal
//! priority in asynq's list, those of low priority in a set again, and those that are filed because their credential holds them
//! back in one more.

use super::place::PENDING_BITS;
use crate::store::JobOrder;

/// One of these places. A cursor begins with its number, which two bits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    High,
    Normal,
    Low,
    Filed,
}

impl Part {
    const ALL: [Self; 4] = [Self::High, Self::Normal, Self::Low, Self::Filed];

    /// The number of the end from which it is listed.
    pub(super) const BEGINNING: u64 = 0;

    /// Those that are listed from this one on, or from the first.
    pub(super) fn in_order(order: JobOrder, from: Option<Self>) -> impl Iterator<Item = Self> {
        let mut parts = Self::ALL;
        if order == JobOrder::NewestFirst {
            parts.reverse();
        }
        parts.into_iter().skip_while(move |part| from.is_some_and(|from| *part != from))
    }

    /// A place in it, as a cursor.
    pub(super) fn cursor(self, number: u64) -> u64 {
        ((self as u64) << PENDING_BITS) | number
    }

    /// What a cursor says: a part, and the number of a place in it.
    pub(super) fn of_cursor(cursor: u64) -> (Self, u64) {
        let part = Self::ALL.into_iter().find(|part| *part as u64 == cursor >> PENDING_BITS);
        (part.expect("there are four"), cursor & ((1 << PENDING_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_says_the_same_place_again(cursor: u64) {
            let (part, number) = Part::of_cursor(cursor);
            prop_assert_eq!(part.cursor(number), cursor);
        }
    }

    #[test]
    fn the_parts_are_listed_from_the_one_that_is_said() {
        let parts = |order, from| Part::in_order(order, from).collect::<Vec<_>>();
        assert_eq!(parts(JobOrder::OldestFirst, None), Part::ALL);
        assert_eq!(parts(JobOrder::OldestFirst, Some(Part::Low)), [Part::Low, Part::Filed]);
        assert_eq!(parts(JobOrder::NewestFirst, Some(Part::Normal)), [Part::Normal, Part::High]);
    }
}
