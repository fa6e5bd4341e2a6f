//! The leases under which attempts run, of all lanes: the heartbeat renews them, and ends attempts whose lease is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use crate::lock::lock;
use crate::store::Lease;

/// The leases that this instance holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    leases: Arc<Mutex<HashMap<Lease, CancellationToken>>>,
}

impl Running {
    /// Notes a lease until the guard is dropped. `revoked` ends its attempt.
    pub(super) fn enter(&self, lease: Lease, revoked: &CancellationToken) -> RunningGuard {
        self.lock().insert(lease, revoked.clone());
        RunningGuard { running: self.clone(), lease }
    }

    /// All leases.
    pub(super) fn leases(&self) -> Vec<Lease> {
        self.lock().keys().copied().collect()
    }

    /// Ends the attempt under this lease.
    pub(super) fn revoke(&self, lease: &Lease) {
        if let Some(revoked) = self.lock().get(lease) {
            revoked.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, CancellationToken>> {
        lock(&self.leases) // each change of it is one step
    }
}

/// Keeps a lease in [`Running`].
#[derive(Debug)]
pub(super) struct RunningGuard {
    running: Running,
    lease: Lease,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.lock().remove(&self.lease);
    }
}
