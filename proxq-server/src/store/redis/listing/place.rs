//! Places between the jobs of a list, as numbers.

use crate::job::JobId;
use crate::store::redis::scripts::{ListOrder, ListPlace, SetOrder, SetPlace};

/// How many bits have a hexadecimal digit.
const DIGIT_BITS: u32 = 4;

/// How many bits the cursor of a pending job has for its place: `PendingPlace` needs the others.
const PENDING_BITS: u32 = 62;

/// The first bits of a job's id, as many as so many hexadecimal digits have. `None` for an id that is none of ours.
fn id_beginning(id: &str, bits: u32) -> Option<u64> {
    let uuid = id.parse::<JobId>().ok()?;
    let first = u64::from_be_bytes(*uuid.as_bytes().first_chunk()?);
    Some(first >> (u64::BITS - bits))
}

impl SetPlace {
    /// The place behind an id, or behind all ids with this score if it is none of ours. `None` for a score that no cursor
    /// has room for.
    pub(super) fn after(id: &str, score: i64, order: SetOrder) -> Option<Self> {
        let score = u64::try_from(score).unwrap_or_default();
        let bits = Self::id_bits(order);
        let id_beginning = id_beginning(id, bits).unwrap_or((1 << bits) - 1);
        (score >> (Self::all_bits(order) - bits) == 0).then_some(Self { score, id_beginning })
    }

    /// How many bits of a cursor say how the id begins. The others have room for the seconds of 2000 years, and for the
    /// microseconds of 500 years since 1970.
    fn id_bits(order: SetOrder) -> u32 {
        order.id_digits() * DIGIT_BITS
    }

    fn all_bits(order: SetOrder) -> u32 {
        match order {
            SetOrder::Second(_) => u64::BITS,
            SetOrder::Microsecond(_) | SetOrder::Filed => PENDING_BITS,
        }
    }

    pub(super) fn cursor(self, order: SetOrder) -> u64 {
        (self.score << Self::id_bits(order)) | self.id_beginning
    }

    pub(super) fn from_cursor(cursor: u64, order: SetOrder) -> Self {
        let bits = Self::id_bits(order);
        Self { score: cursor >> bits, id_beginning: cursor & ((1 << bits) - 1) }
    }
}

impl ListPlace {
    /// The place behind an id, or behind all ids with this anchor if it is none of ours.
    pub(super) fn after(id: &str, anchor: Option<u64>, order: ListOrder) -> Self {
        match id_beginning(id, Self::id_bits(order)) {
            Some(id_beginning) => Self { anchor, id_beginning },
            None => Self { anchor: Some(anchor.map_or(0, |anchor| anchor.saturating_add(1))), id_beginning: 0 },
        }
    }

    /// How many bits of a cursor say how the id begins. The others have room for the milliseconds of 139 years since 1970, and
    /// for the tokens of 140: those begin with the microseconds.
    fn id_bits(order: ListOrder) -> u32 {
        order.id_digits() * DIGIT_BITS
    }

    /// Its anchor is kept one higher, so that 0 is none. One for which there is no room is kept as the highest.
    pub(super) fn cursor(self, order: ListOrder) -> u64 {
        let all_bits = match order {
            ListOrder::PendingSince => PENDING_BITS,
            ListOrder::Token => u64::BITS,
        };
        let highest = (1 << (all_bits - Self::id_bits(order))) - 1;
        let anchor = self.anchor.map_or(0, |anchor| anchor.saturating_add(1)).min(highest);
        (anchor << Self::id_bits(order)) | self.id_beginning
    }

    pub(super) fn from_cursor(cursor: u64, order: ListOrder) -> Self {
        let bits = Self::id_bits(order);
        Self { anchor: (cursor >> bits).checked_sub(1), id_beginning: cursor & ((1 << bits) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::job::{Priority, State};

    const SECONDS: SetOrder = SetOrder::Second(State::Retry);

    proptest! {
        #[test]
        fn a_cursor_says_the_same_place_again(high in 0_u64..1 << 36, low in 0_u64..1 << 28) {
            for (order, id_beginning) in [(SECONDS, low), (SetOrder::Microsecond(Priority::High), low >> 20)] {
                let place = SetPlace { score: high, id_beginning };
                prop_assert_eq!(SetPlace::from_cursor(place.cursor(order), order), place);
            }
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
            let cursors = [(second, &one), (other, &next)]
                .map(|(second, id)| SetPlace::after(id, second, SECONDS).unwrap().cursor(SECONDS));
            prop_assert_eq!(cursors[0].cmp(&cursors[1]), (second, &one[..7]).cmp(&(other, &next[..7])));
        }

        #[test]
        fn the_place_of_a_pending_job_leaves_room_for_its_priority(anchor: u64, score: i64, id_beginning in 0_u64..1 << 20) {
            let list = ListPlace { anchor: Some(anchor), id_beginning }.cursor(ListOrder::PendingSince);
            prop_assert!(list >> PENDING_BITS == 0);
            let order = SetOrder::Microsecond(Priority::Low);
            let set = SetPlace::after(&JobId::new().to_string(), score, order);
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
        assert_eq!(SetPlace::after(&JobId::new().to_string(), 1 << 36, SECONDS), None);
        assert_eq!(SetPlace::after("email", 7, SECONDS), Some(SetPlace { score: 7, id_beginning: 0xfff_ffff }));
        assert_eq!(
            ListPlace::after("email", Some(7), ListOrder::Token),
            ListPlace { anchor: Some(8), id_beginning: 0 }
        );
    }
}
