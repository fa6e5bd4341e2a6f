//! Limits on the memory of request bodies that the store does not have yet: one for those that arrive, one for those that are
//! being submitted. Comes in: how long a body is. Goes out: leave to keep it in memory, or none. Where a body goes that may
//! not stay in memory is left to `spool.rs`.
//!
//! There are two limits because a client may take its time: a body that is complete never waits for one that is not.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::store::StoreError;

/// The memory of this process.
pub(super) static MEMORY: BodyMemory = BodyMemory::new(ARRIVING_BYTES_MAX, SUBMITTING_BYTES_MAX);

/// The most bytes of bodies that are in memory while they arrive: 32 bodies of the default `inlineBodyLimit`. What is more
/// goes to temporary files.
const ARRIVING_BYTES_MAX: usize = 8 << 20;
/// The most bytes of bodies that the store is asked to take at once. As much again as may arrive, and far more than a store
/// takes in the time of a round trip.
const SUBMITTING_BYTES_MAX: usize = 8 << 20;
/// So much of every body is in memory whatever the limits say: the number of connections limits it, as it limits the heads,
/// which are as long.
const FREE_BYTES: usize = 16 * 1024;
/// How long a complete body waits for its submission. Longer than a submission in doubt may take, which is 5 s: so the store
/// has refused or taken what came before.
const PATIENCE: Duration = Duration::from_secs(10);

/// Limited memory for bodies.
#[derive(Debug)]
pub(super) struct BodyMemory {
    arriving: Semaphore,
    submitting: Semaphore,
    submitting_max: usize,
}

/// The part of the memory that a body has which is about to be submitted. `None` for a small one.
pub(super) type Submitting = Option<SemaphorePermit<'static>>;

impl BodyMemory {
    pub(super) const fn new(arriving: usize, submitting: usize) -> Self {
        Self {
            arriving: Semaphore::const_new(arriving),
            submitting: Semaphore::const_new(submitting),
            submitting_max: submitting,
        }
    }

    /// The part of a body that arrives. It is empty at first.
    pub(super) fn arriving(&'static self) -> Arriving {
        Arriving { memory: self, permit: None }
    }

    /// Waits until a body of this length may be submitted, after those that asked before. A body that is longer than the limit
    /// is submitted alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the store does not take the others.
    pub(super) async fn submitting(&'static self, length: u64) -> Result<Submitting, StoreError> {
        if length <= FREE_BYTES as u64 {
            return Ok(None);
        }
        let bytes = usize::try_from(length).unwrap_or(usize::MAX).min(self.submitting_max);
        let bytes = u32::try_from(bytes).expect("the limit is some MiB");
        match timeout(PATIENCE, self.submitting.acquire_many(bytes)).await {
            Ok(permit) => Ok(Some(permit.expect("the semaphore is never closed"))),
            Err(_elapsed) => {
                let source = "other bodies have waited for the store for too long".into();
                Err(StoreError::Unavailable { may_be_done: false, source })
            }
        }
    }
}

/// What one body takes while it arrives. Dropping it gives that back.
#[derive(Debug)]
pub(super) struct Arriving {
    memory: &'static BodyMemory,
    permit: Option<SemaphorePermit<'static>>,
}

impl Arriving {
    /// Takes as much as so many bytes need, unless others have it. Never waits: they may be clients that send nothing more.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let taken = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let Some(missing) = bytes.saturating_sub(FREE_BYTES).checked_sub(taken).filter(|missing| *missing > 0) else {
            return true;
        };
        let Ok(missing) = u32::try_from(missing) else { return false };
        let Ok(more) = self.memory.arriving.try_acquire_many(missing) else { return false };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        true
    }

    /// Gives back what was taken.
    pub(super) fn clear(&mut self) {
        self.permit = None;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    /// Memory of a test's own.
    pub(in super::super) fn memory(arriving: usize, submitting: usize) -> &'static BodyMemory {
        Box::leak(Box::new(BodyMemory::new(arriving, submitting)))
    }

    #[test]
    fn bodies_that_arrive_share_the_memory_and_never_wait() {
        let memory = memory(1000, 0);
        let (mut one, mut other) = (memory.arriving(), memory.arriving());
        assert!(one.grow_to(FREE_BYTES) && other.grow_to(FREE_BYTES), "so much has everybody");
        assert!(one.grow_to(FREE_BYTES + 300) && one.grow_to(FREE_BYTES + 600) && one.grow_to(10));
        assert!(!other.grow_to(FREE_BYTES + 401));
        assert!(other.grow_to(FREE_BYTES + 400), "what was refused has taken nothing");
        drop(one);
        assert!(other.grow_to(FREE_BYTES + 1000));
        other.clear();
        assert!(memory.arriving().grow_to(FREE_BYTES + 1000));
    }

    #[tokio::test]
    async fn a_complete_body_waits_for_those_before_it_only() {
        let memory = memory(0, 100_000);
        assert!(memory.submitting(FREE_BYTES as u64).now_or_never().is_some_and(|small| small.unwrap().is_none()));
        let first = memory.submitting(60_000).await.unwrap();
        let mut long = Box::pin(memory.submitting(10_000_000));
        assert!(poll!(&mut long).is_pending());
        let mut third = Box::pin(memory.submitting(30_000));
        assert!(poll!(&mut third).is_pending(), "nobody overtakes");
        drop(first);
        let alone = long.await.unwrap();
        assert!(poll!(&mut third).is_pending());
        drop(alone);
        third.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_waits_in_vain_was_certainly_not_stored() {
        let memory = memory(0, 100_000);
        let _first = memory.submitting(100_000).await.unwrap();
        let refused = memory.submitting(30_000).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { may_be_done: false, .. }), "{refused:?}");
    }
}
