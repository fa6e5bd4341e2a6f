//! What the server needs of a store: to keep it in order while it is open, and to close it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{SharedValues, StoreError, StoreSettings};
use crate::random::random_bytes;
use crate::sealing::KeyId;

/// How often [`StoreControl::upkeep`] is called.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// The store as a whole, in the hands of the server that opened it.
#[async_trait]
pub trait StoreControl: fmt::Debug + Send + Sync {
    /// The deployment's shared secrets; the first caller's are kept.
    async fn deployment(&self) -> Result<Deployment, StoreError>;

    /// Wakes what is due, takes lost leases away, ends waiting jobs whose time is over, drops what is past its retention. Works in bounded batches, and for
    /// no longer than [`UPKEEP_EVERY`] before it returns.
    async fn upkeep(&self) -> Result<Upkept, StoreError>;

    /// Where all instances find the values that one of them keeps. `None` where there is only one instance.
    fn shared_values(&self) -> Option<Arc<dyn SharedValues>> {
        None
    }

    /// Goes by these settings from now on. What was begun under the former ones may end under them; the secret headers of
    /// a job stay those of its submission.
    fn reconfigure(&self, settings: StoreSettings);

    /// From now on this instance asks for no more jobs, and ends those that it has. A store that shows its instances to
    /// others shows that.
    fn drain(&self) {}

    /// Finishes what was begun and lets go of the store. Nothing may be asked of it afterwards.
    async fn close(&self);
}

/// Secrets that the instances of one deployment share; made at first start and kept in the store.
#[derive(Clone)]
pub struct Deployment {
    /// Names the deployment in `Via`, where the configuration does not.
    pub via_name: String,
    /// Keys the hashes of credentials.
    pub credential_key: [u8; 32],
    /// Where the deployment's key of these hashes is sealed with a key that this process does not have: that key. The one above
    /// is then this process' own, and recognizes nothing that was hashed before.
    pub missing_key: Option<KeyId>,
}

impl Deployment {
    /// Secrets that nobody has had before, from the operating system's generator.
    pub(crate) fn made_now() -> Self {
        let (random, ..) = Uuid::new_v4().as_fields();
        Self { via_name: format!("proxq-{random:08x}"), credential_key: random_bytes(), missing_key: None }
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("via_name", &self.via_name).finish_non_exhaustive()
    }
}

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkept {
    /// Delayed and resting jobs that became pending.
    pub woken: usize,
    /// Jobs whose lost leases were taken away.
    pub reclaimed: usize,
    /// Ended jobs that were dropped: their retention was over, or the store has room for so many only.
    pub expired: usize,
    /// Waiting jobs that ended because their time was over.
    pub overdue: usize,
}
