//! How an attempt passes its gate.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::gate::Gate;
use super::pass::Pass;
use crate::failure::chain;
use crate::job::CredentialHash;
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
            Some(slot.ok_or(Refused { retry_after: PLACE_RETRY_AFTER, by: Hold::Limit })?)
        } else {
            None
        };
        let terms = self.terms(1);
        let mut place = None;
        if terms.limits.holds_anything() {
            let name = Uuid::new_v4();
            let admitted = match self.shared.store.admit(self.queue(), credential, &terms, name).await {
                Ok(admitted) => {
                    place = Some(name).filter(|_| terms.limits.shared_concurrency.is_some() && admitted.is_ok());
                    admitted
                }
                Err(error) => {
                    tracing::debug!(error = chain(&error), "ask the store about a direct attempt");
                    let now = self.now();
                    self.lock().alone.admit(credential, &terms, now)
                }
            };
            if let Err(by) = admitted {
                let until = by.until().map(|until| until.since(self.now()));
                return Err(Refused { retry_after: until.unwrap_or(PLACE_RETRY_AFTER), by });
            }
        }
        let era = self.lock().breaker.as_ref().map(Breaker::era);
        Ok(Pass::begin(Arc::clone(self), credential, era, slot, place))
    }
}
