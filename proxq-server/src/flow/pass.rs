//! An attempt that has passed its gate, until it ends.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::gate::Gate;
use super::signs::{Signs, signs_of_status};
use crate::clock::Timestamp;
use crate::failure::chain;
use crate::job::CredentialHash;
use crate::pacing::{AttemptSign, Era};
use crate::slots::Slot;

/// An attempt that runs. Dropped, it makes room for others.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    credential: CredentialHash,
    /// What the breaker was like.
    era: Option<Era>,
    began: Timestamp,
    slot: Option<Slot>,
    /// Its place among those of all instances.
    place: Option<Uuid>,
    /// Whether the gate knows how it ended.
    is_told: bool,
}

impl Pass {
    pub(super) fn begin(
        gate: Arc<Gate>,
        credential: CredentialHash,
        era: Option<Era>,
        slot: Option<Slot>,
        place: Option<Uuid>,
    ) -> Self {
        let began = gate.now();
        let mut state = gate.lock();
        *state.running.entry(credential).or_default() += 1;
        if let Some(place) = place {
            state.places.insert(place, credential);
        }
        drop(state);
        Self { gate, credential, era, began, slot, place, is_told: false }
    }

    /// Reads what a response says of limits, and parks the credential if that is to wait. Gives for how long.
    pub(crate) async fn heed(&self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let wait = self.gate.read_advice(status, headers)?;
        self.park(wait).await;
        Some(wait)
    }

    /// The same for a direct attempt, whose client does not wait for the store.
    pub(crate) fn heed_aside(&mut self, status: StatusCode, headers: &HeaderMap) {
        let wait = self.gate.read_advice(status, headers);
        if let Some(wait) = wait {
            let (gate, credential) = (Arc::clone(&self.gate), self.credential);
            self.gate.shared.tasks.spawn(async move { gate.park(credential, wait).await });
        }
        self.ended(signs_of_status(status, self.gate.counts_as_failure(status), wait.is_some()));
    }

    /// Has no other attempt of its credential begin for so long.
    pub(crate) async fn park(&self, span: Duration) {
        self.gate.park(self.credential, span).await;
    }

    /// Notes that it was refused a place among those of all instances.
    pub(super) fn has_no_place(&mut self) {
        if let Some(place) = self.place.take() {
            self.gate.lock().places.remove(&place);
        }
    }

    /// Tells the gate how the attempt ended. Gives whether its failure is its job's own: that of an upstream that is down is not.
    pub(crate) fn ended(&mut self, signs: Signs) -> bool {
        self.is_told = true;
        let now = self.gate.now();
        let mut state = self.gate.lock();
        let running = state.running.values().map(|count| *count as usize).sum();
        if let Some(adaptive) = &mut state.adaptive {
            if signs.is_loss {
                adaptive.lost(self.began, signs.said_so, now);
            } else if signs.is_success {
                adaptive.succeeded(running);
            }
        }
        if signs.of_breaker != AttemptSign::None {
            state.drained.ended(now);
        }
        let is_own = match (&mut state.breaker, self.era) {
            (Some(breaker), Some(era)) => breaker.ended(era, signs.of_breaker, now),
            _ => true,
        };
        self.gate.set_slots(&state);
        is_own
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_told {
            self.ended(Signs::NONE);
        }
        let mut state = self.gate.lock();
        if let Some(count) = state.running.get_mut(&self.credential) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&self.credential);
            }
        }
        if let Some(place) = self.place {
            state.places.remove(&place);
        }
        drop(state);
        drop(self.slot.take());
        self.gate.tell_ended();
        if let Some(place) = self.place {
            let (gate, credential) = (Arc::clone(&self.gate), self.credential);
            self.gate.shared.tasks.try_spawn(async move {
                if let Err(error) = gate.shared.store.give_place_back(&gate.queue, (place, credential)).await {
                    tracing::debug!(error = chain(&error), "give a place back"); // it runs out
                }
            });
        }
    }
}
