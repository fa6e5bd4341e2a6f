//! Idempotency keys: of all jobs that claim the same one, one has it.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::job::JobId;
use crate::store::{Claim, Submitted};

/// Who has claimed what, by the claims' scopes.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimed: BTreeMap<[u8; 32], Claimed>,
}

#[derive(Debug)]
struct Claimed {
    by: JobId,
    fingerprint: [u8; 32],
    until: Timestamp,
    /// Another job may have it, as long as this one does not take it back.
    freed: bool,
}

impl Claims {
    /// Who has what a new submission claims, and what that means for it; `None` where it is free.
    pub(super) fn holder(&self, claim: &Claim, now: Timestamp) -> Option<(JobId, Submitted)> {
        let held = self.claimed.get(&claim.scope).filter(|held| held.until > now && !held.freed)?;
        let same = held.fingerprint == claim.fingerprint;
        Some((held.by, if same { Submitted::Replayed(held.by) } else { Submitted::Mismatch }))
    }

    /// Notes the claim of a new job, in place of one that is void.
    pub(super) fn take(&mut self, by: JobId, claim: &Claim, now: Timestamp) {
        let until = now.after(claim.ttl);
        self.claimed.insert(claim.scope, Claimed { by, fingerprint: claim.fingerprint, until, freed: false });
    }

    /// Frees a job's claim, or takes it back unless another job has claimed the same meanwhile.
    pub(super) fn set_freed(&mut self, by: JobId, freed: bool) {
        for held in self.claimed.values_mut().filter(|held| held.by == by) {
            held.freed = freed;
        }
    }

    /// Forgets the claim of a job that is gone.
    pub(super) fn remove(&mut self, by: JobId) {
        self.claimed.retain(|_, held| held.by != by);
    }
}
