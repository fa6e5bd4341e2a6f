//! Places of which there are only so many at a time, and how many can change while they are taken: those of attempts and
//! those of connections.

use tokio::sync::watch;

/// A number of places. Clones count the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    count: watch::Sender<Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    taken: usize,
    limit: usize,
}

impl Count {
    /// After the limit was lowered, more may be taken than there are.
    fn free(self) -> usize {
        self.limit.saturating_sub(self.taken)
    }
}

impl Slots {
    /// So many places, none of them taken.
    pub(crate) fn new(limit: usize) -> Self {
        Self { count: watch::Sender::new(Count { taken: 0, limit }) }
    }

    /// From now on there are so many. Where more are taken, none is free until as many were given back.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.count.send_modify(|count| count.limit = limit);
    }

    /// Waits until a place is free. Gives how many are: at least one, and no fewer until the caller takes some, if it is
    /// the only one to take any and the limit is not lowered.
    pub(crate) async fn free(&self) -> usize {
        self.until(|count| count.free() > 0).await.free()
    }

    /// Waits until no place is free.
    pub(crate) async fn full(&self) {
        self.until(|count| count.free() == 0).await;
    }

    /// Takes a place, free or not; it is given back when the slot is dropped.
    pub(crate) fn take(&self) -> Slot {
        self.count.send_modify(|count| count.taken += 1);
        Slot { slots: self.clone() }
    }

    async fn until(&self, holds: impl FnMut(&Count) -> bool) -> Count {
        let mut count = self.count.subscribe();
        let holds_now = count.wait_for(holds).await;
        *holds_now.expect("the sender is borrowed from self, and lives")
    }
}

impl Slots {
    fn give_back(&self) {
        self.count.send_modify(|count| count.taken -= 1);
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
