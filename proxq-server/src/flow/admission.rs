//! How an attempt passes its gate.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::gate::Gate;
use super::pass::Pass;
use crate::failure::chain;
use crate::job::CredentialHash;
use crate::metrics::Held;
use crate::pacing::{Breaker, Era, Hold};
use crate::slots::Slot;

/// How long a direct attempt that finds no place is told to wait where nobody knows when there will be one.
const PLACE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a direct attempt may not begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// When it is worth another try.
    pub(crate) retry_after: Duration,
    pub(crate) by: Hold,
}

impl Gate {
    /// An attempt that begins.
    pub(crate) fn pass(self: &Arc<Self>, credential: CredentialHash, era: Option<Era>, slot: Option<Slot>) -> Pass {
        Pass::begin(Arc::clone(self), credential, era, slot, None)
    }

    /// Lets an attempt begin that is not at a job of the queue, or says when to come again.
    pub(crate) async fn admit(self: &Arc<Self>, credential: CredentialHash) -> Result<Pass, Refused> {
        let slot = if self.counts_direct() {
            let slot = self.slots.try_take().await;
            if slot.is_none() {
                self.count_held(Held::Limit);
            }
            Some(slot.ok_or(Refused { retry_after: PLACE_RETRY_AFTER, by: Hold::Limit })?)
        } else {
            None
        };
        let limits = self.limits();
        let place = limits.shared_concurrency.map(|_| Uuid::new_v4());
        let era = self.lock().breaker.as_ref().and_then(Breaker::era_outside);
        // It counts from now on, so that no two take the last place, and gives its place back whatever happens.
        let mut pass = Pass::begin(Arc::clone(self), credential, era, slot, place);
        if !limits.holds_anything() {
            return Ok(pass);
        }
        let mut terms = self.terms(1);
        if let Some(own) = terms.running.get_mut(&credential) {
            *own -= 1;
        }
        let asked = self.shared.store.admit(self.queue(), credential, &terms, place.unwrap_or_default()).await;
        let admitted = asked.unwrap_or_else(|error| {
            tracing::debug!(error = chain(&error), "ask the store about a direct attempt");
            let now = self.now();
            self.lock().alone.admit(credential, &terms, now)
        });
        match admitted {
            Ok(()) => Ok(pass),
            Err(by) => {
                pass.has_no_place();
                self.count_held(by.into());
                let until = by.until().map(|until| until.since(self.now()));
                Err(Refused { retry_after: until.unwrap_or(PLACE_RETRY_AFTER), by })
            }
        }
    }
}
