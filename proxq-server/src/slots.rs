//! Slots: a limit on how many attempts or connections there are at a time. The limit can change while slots are taken.

use tokio::sync::watch;

/// A limited number of slots. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    count: watch::Sender<Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    taken: usize,
    /// Kept for somebody who has not taken them yet.
    reserved: usize,
    limit: usize,
}

impl Count {
    /// The free slots. After the limit was lowered, more may be taken than it allows.
    fn free(self) -> usize {
        self.limit.saturating_sub(self.taken + self.reserved)
    }
}

impl Slots {
    /// This many slots, all free.
    pub(crate) fn new(limit: usize) -> Self {
        Self { count: watch::Sender::new(Count { taken: 0, reserved: 0, limit }) }
    }

    /// Changes the limit. If more slots are taken than it allows, none is free until enough have been given back.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.count.send_modify(|count| count.limit = limit);
    }

    /// How many slots there are, taken or not.
    pub(crate) fn limit(&self) -> usize {
        self.count.borrow().limit
    }

    /// Waits until a slot is free and returns how many are: at least one. As long as only the caller takes slots and the
    /// limit is not lowered, they stay free.
    pub(crate) async fn free(&self) -> usize {
        self.until(|count| count.free() > 0).await.free()
    }

    /// How many are free at this moment.
    pub(crate) fn count_free(&self) -> usize {
        self.count.borrow().free()
    }

    /// How many are taken at this moment.
    pub(crate) fn count_taken(&self) -> usize {
        self.count.borrow().taken
    }

    /// Waits until a slot is free and reserves all that are, but no more than `max`.
    pub(crate) async fn reserve(&self, max: usize) -> Reserved {
        loop {
            self.until(|count| count.free() > 0).await;
            let mut slots = 0;
            self.count.send_if_modified(|count| {
                slots = count.free().min(max);
                count.reserved += slots;
                slots > 0
            });
            if slots > 0 {
                return Reserved { slots: self.clone(), left: slots };
            }
        }
    }

    /// Takes a slot if one is free, or is once those that are reserved have been taken or given back. Others reserve slots only
    /// for as long as the store needs for an answer.
    pub(crate) async fn try_take(&self) -> Option<Slot> {
        loop {
            self.until(|count| count.free() > 0 || count.reserved == 0).await;
            let (mut taken, mut none_left) = (false, false);
            self.count.send_if_modified(|count| {
                taken = count.free() > 0;
                none_left = count.reserved == 0;
                count.taken += usize::from(taken);
                taken
            });
            if taken {
                return Some(Slot { slots: self.clone() });
            }
            if none_left {
                return None;
            }
        }
    }

    /// Waits until no slot is free.
    pub(crate) async fn full(&self) {
        self.until(|count| count.free() == 0).await;
    }

    /// Takes a slot, whether one is free or not. Dropping it gives it back.
    pub(crate) fn take(&self) -> Slot {
        self.count.send_modify(|count| count.taken += 1);
        Slot { slots: self.clone() }
    }

    async fn until(&self, holds: impl FnMut(&Count) -> bool) -> Count {
        let mut count = self.count.subscribe();
        let holds_now = count.wait_for(holds).await;
        *holds_now.expect("the sender is borrowed from self, and lives")
    }

    fn give_back(&self) {
        self.count.send_modify(|count| count.taken -= 1);
    }
}

/// Slots that are kept for somebody. Those that are not taken are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    slots: Slots,
    left: usize,
}

impl Reserved {
    /// How many are left.
    pub(crate) fn count(&self) -> usize {
        self.left
    }

    /// Takes one of them; beyond them, one more than there are free.
    pub(crate) fn take(&mut self) -> Slot {
        let Some(left) = self.left.checked_sub(1) else { return self.slots.take() };
        self.left = left;
        self.slots.count.send_modify(|count| {
            count.reserved -= 1;
            count.taken += 1;
        });
        Slot { slots: self.slots.clone() }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.left > 0 {
            self.slots.count.send_modify(|count| count.reserved -= self.left);
        }
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.give_back();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn free(slots: &Slots) -> Option<usize> {
        slots.free().now_or_never()
    }

    #[test]
    fn a_place_that_is_given_back_is_free_again() {
        let slots = Slots::new(2);
        let (first, _second) = (slots.take(), slots.take());
        assert_eq!(free(&slots), None);
        assert!(slots.full().now_or_never().is_some());
        drop(first);
        assert_eq!(free(&slots), Some(1));
        assert!(slots.full().now_or_never().is_none());
    }

    #[test]
    fn fewer_places_leave_those_that_are_taken() {
        let slots = Slots::new(3);
        let (first, second, third) = (slots.take(), slots.take(), slots.take());
        slots.set_limit(1);
        drop((first, second));
        assert_eq!(free(&slots), None, "one is left, and taken");
        drop(third);
        assert_eq!(free(&slots), Some(1));
        slots.set_limit(0);
        assert_eq!(free(&slots), None);
    }

    #[tokio::test]
    async fn reserved_slots_are_free_for_nobody_else() {
        let slots = Slots::new(3);
        let mut reserved = slots.reserve(2).await;
        assert_eq!((reserved.count(), slots.count_free()), (2, 1));
        let _other = slots.try_take().await.expect("the third is free");
        let mut waits = Box::pin(slots.try_take());
        assert!(futures_util::poll!(&mut waits).is_pending(), "one may be given back");
        let own = reserved.take();
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(reserved);
        assert!(waits.await.is_some());
        drop(own);
        assert_eq!(slots.count_free(), 2);
        let _all = [slots.take(), slots.take()];
        assert!(slots.try_take().await.is_none(), "all are taken");
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_more_places_and_by_fewer() {
        let slots = Slots::new(0);
        let mut free = Box::pin(slots.free());
        assert!(futures_util::poll!(&mut free).is_pending());
        slots.set_limit(2);
        assert_eq!(free.await, 2);
        let mut full = Box::pin(slots.full());
        assert!(futures_util::poll!(&mut full).is_pending());
        slots.set_limit(0);
        full.await;
    }
}
