//! Room for bodies on their way to and from Redis. Comes in: how many bytes somebody is about to send or fetch. Goes out:
//! leave to do so, in the order in which it was asked for. Whoever waits for room reads nothing more meanwhile, so the wait
//! reaches the client or the upstream that the bytes come from.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The most bytes of bodies that are under way at once. The Redis library copies a command up to three times, so they take
/// four times as much memory. Enough for 200 MB/s over a network with a round trip of 10 ms.
const BYTES_MAX: u32 = 2 << 20;
/// Bodies up to this length need no room: the number of commands under way limits them.
const FREE_BYTES: usize = 4 * 1024;

/// Limited room. A permit is held only while Redis is asked, never while a client or an upstream is.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Semaphore,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { bytes: Semaphore::new(BYTES_MAX as usize) }
    }

    /// Waits until there is room for this many bytes. More than there ever is counts as all of it, so a long body goes alone.
    /// Dropping the permit gives the room back. `None` where none is needed.
    pub(super) async fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        if bytes <= FREE_BYTES {
            return None;
        }
        let bytes = u32::try_from(bytes).unwrap_or(BYTES_MAX).min(BYTES_MAX);
        Some(self.bytes.acquire_many(bytes).await.expect("the semaphore is never closed"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    const ALL: usize = BYTES_MAX as usize;

    #[tokio::test]
    async fn a_body_waits_while_others_take_the_room() {
        let room = Room::new();
        let first = room.take(ALL - FREE_BYTES).await;
        let mut second = Box::pin(room.take(ALL / 2));
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(Box::pin(room.take(FREE_BYTES + 1))).is_pending(), "nobody overtakes");
        assert!(room.take(FREE_BYTES).now_or_never().is_some_and(|permit| permit.is_none()), "a small one needs none");
        drop(first);
        assert!(poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn a_body_that_is_longer_than_the_room_goes_alone() {
        let room = Room::new();
        let first = room.take(FREE_BYTES + 1).await;
        let mut long = Box::pin(room.take(3 * ALL));
        assert!(poll!(&mut long).is_pending());
        drop(first);
        let alone = long.await;
        assert!(room.take(FREE_BYTES + 1).now_or_never().is_none());
        drop(alone);
        assert!(room.take(ALL).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_nothing() {
        let room = Room::new();
        let first = room.take(ALL).await;
        assert!(room.take(ALL).now_or_never().is_none());
        drop(first);
        assert!(room.take(ALL).now_or_never().is_some());
    }
}
