//! Places between the jobs of a list, as numbers.

use crate::job::JobId;
use crate::store::JobOrder;
use crate::store::redis::scripts::{ListPlace, ListSort, SetPlace, SetSort};

/// How many bits have a hexadecimal digit.
const DIGIT_BITS: u32 = 4;

/// How many bits the cursor of a pending job has for its place: its [`Part`](super::part::Part) needs the others.
pub(super) const PENDING_BITS: u32 = 62;

/// The first bits of a job's id, as many as so many hexadecimal digits have. `None` for an id that is none of ours.
fn id_beginning(id: &str, bits: u32) -> Option<u64> {
    let uuid = id.parse::<JobId>().ok()?;
    let first = u64::from_be_bytes(*uuid.as_bytes().first_chunk()?);
    Some(first >> (u64::BITS - bits))
}

impl SetPlace {
    /// The place behind an id, or behind all ids with this score if it is none of ours. `None` where nothing lies behind it that
    /// has a place: no cursor has room for so high a score.
    pub(super) fn behind(id: &str, score: i64, sort: SetSort, order: JobOrder) -> Option<Self> {
        let score = u64::try_from(score).unwrap_or_default();
        let bits = Self::id_bits(sort);
        let (lowest, highest) = (0, (1 << bits) - 1);
        let highest_score = (1 << (Self::all_bits(sort) - bits)) - 1;
        match order {
            JobOrder::OldestFirst => {
                let id_beginning = id_beginning(id, bits).unwrap_or(highest);
                (score <= highest_score).then_some(Self { score, id_beginning })
            }
            JobOrder::NewestFirst if score > highest_score => {
                Some(Self { score: highest_score, id_beginning: highest })
            }
            JobOrder::NewestFirst => Some(Self { score, id_beginning: id_beginning(id, bits).unwrap_or(lowest) }),
        }
    }

    /// How many bits of a cursor say how the id begins. The others have room for the seconds of 2000 years, and for the
    /// microseconds of 500 years since 1970.
    fn id_bits(sort: SetSort) -> u32 {
        sort.id_digits() * DIGIT_BITS
    }

    fn all_bits(sort: SetSort) -> u32 {
        match sort {
            SetSort::Second(_) => u64::BITS,
            SetSort::Microsecond(_) | SetSort::Filed => PENDING_BITS,
        }
    }

    pub(super) fn cursor(self, sort: SetSort) -> u64 {
        (self.score << Self::id_bits(sort)) | self.id_beginning
    }

    pub(super) fn from_cursor(cursor: u64, sort: SetSort) -> Self {
        let bits = Self::id_bits(sort);
        Self { score: cursor >> bits, id_beginning: cursor & ((1 << bits) - 1) }
    }
}

impl ListPlace {
    /// The place behind an id, or behind all ids with this anchor if it is none of ours. `None` where nothing lies behind it.
    pub(super) fn behind(id: &str, anchor: Option<u64>, sort: ListSort, order: JobOrder) -> Option<Self> {
        if let Some(id_beginning) = id_beginning(id, Self::id_bits(sort)) {
            return Some(Self { anchor, id_beginning });
        }
        let anchor = match (order, anchor) {
            (JobOrder::OldestFirst, None) => 0,
            (JobOrder::OldestFirst, Some(anchor)) => anchor.saturating_add(1),
            (JobOrder::NewestFirst, None) => u64::MAX,
            (JobOrder::NewestFirst, Some(anchor)) => anchor.checked_sub(1)?,
        };
        Some(Self { anchor: Some(anchor), id_beginning: 0 })
    }

    /// How many bits of a cursor say how the id begins. The others have room for the milliseconds of 139 years since 1970, and
    /// for the tokens of 140: those begin with the microseconds.
    fn id_bits(sort: ListSort) -> u32 {
        sort.id_digits() * DIGIT_BITS
    }

    /// Its anchor is kept one higher, so that 0 is none. One for which there is no room is kept as the highest.
    pub(super) fn cursor(self, sort: ListSort) -> u64 {
        let all_bits = match sort {
            ListSort::PendingSince => PENDING_BITS,
            ListSort::Token => u64::BITS,
        };
        let highest = (1 << (all_bits - Self::id_bits(sort))) - 1;
        let anchor = self.anchor.map_or(0, |anchor| anchor.saturating_add(1)).min(highest);
        (anchor << Self::id_bits(sort)) | self.id_beginning
    }

    pub(super) fn from_cursor(cursor: u64, sort: ListSort) -> Self {
        let bits = Self::id_bits(sort);
        Self { anchor: (cursor >> bits).checked_sub(1), id_beginning: cursor & ((1 << bits) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::job::{Priority, State};

    const SECONDS: SetSort = SetSort::Second(State::Retry);
    const OLDEST: JobOrder = JobOrder::OldestFirst;
    const NEWEST: JobOrder = JobOrder::NewestFirst;

    proptest! {
        #[test]
        fn a_cursor_says_the_same_place_again(high in 0_u64..1 << 36, low in 0_u64..1 << 28) {
            for (order, id_beginning) in [(SECONDS, low), (SetSort::Microsecond(Priority::High), low >> 20)] {
                let place = SetPlace { score: high, id_beginning };
                prop_assert_eq!(SetPlace::from_cursor(place.cursor(order), order), place);
            }
            for (order, id_beginning) in [(ListSort::PendingSince, low >> 8), (ListSort::Token, low >> 16)] {
                for anchor in [None, Some(high)] {
                    let place = ListPlace { anchor, id_beginning };
                    prop_assert_eq!(ListPlace::from_cursor(place.cursor(order), order), place);
                }
            }
        }

        #[test]
        fn later_places_in_a_set_have_higher_cursors(second in 0_i64..1 << 36, other in 0_i64..1 << 36) {
            let [one, next] = [(); 2].map(|()| JobId::new().to_string());
            let cursors = [(second, &one), (other, &next)]
                .map(|(second, id)| SetPlace::behind(id, second, SECONDS, OLDEST).unwrap().cursor(SECONDS));
            prop_assert_eq!(cursors[0].cmp(&cursors[1]), (second, &one[..7]).cmp(&(other, &next[..7])));
        }

        #[test]
        fn the_place_of_a_pending_job_leaves_room_for_its_priority(anchor: u64, score: i64, id_beginning in 0_u64..1 << 20) {
            let list = ListPlace { anchor: Some(anchor), id_beginning }.cursor(ListSort::PendingSince);
            prop_assert!(list >> PENDING_BITS == 0);
            let order = SetSort::Microsecond(Priority::Low);
            let set = SetPlace::behind(&JobId::new().to_string(), score, order, OLDEST);
            prop_assert!(set.is_none_or(|place| place.cursor(order) >> PENDING_BITS == 0));
        }
    }

    #[test]
    fn an_id_begins_with_its_digits() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!((id_beginning(id, 28), id_beginning(id, 12)), (Some(0x550_e840), Some(0x550)));
    }

    #[test]
    fn what_has_no_place_of_its_own_is_passed_over() {
        let id = JobId::new().to_string();
        let (set, list) = (
            |id: &str, score, order| SetPlace::behind(id, score, SECONDS, order),
            |anchor, order| ListPlace::behind("email", anchor, ListSort::Token, order),
        );
        assert_eq!(set(&id, 1 << 36, OLDEST), None);
        let before = SetPlace { score: (1 << 36) - 1, id_beginning: 0xfff_ffff };
        assert_eq!(set(&id, 1 << 36, NEWEST), Some(before));
        assert_eq!(set("email", 7, OLDEST), Some(SetPlace { score: 7, id_beginning: 0xfff_ffff }));
        assert_eq!(set("email", 7, NEWEST), Some(SetPlace { score: 7, id_beginning: 0 }));
        let at = |anchor| Some(ListPlace { anchor: Some(anchor), id_beginning: 0 });
        assert_eq!([list(Some(7), OLDEST), list(None, OLDEST)], [at(8), at(0)]);
        assert_eq!([list(Some(7), NEWEST), list(Some(0), NEWEST), list(None, NEWEST)], [at(6), None, at(u64::MAX)]);
    }
}
