//! The signals by which a drain stops the workers.

use tokio_util::sync::CancellationToken;

/// When the workers are to stop, in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopSignals {
    /// No new leases.
    pub(crate) draining: CancellationToken,
    /// Running attempts are aborted, judged and settled.
    pub(crate) abort: CancellationToken,
    /// No more upkeep and renewals: nothing runs any more.
    pub(crate) finished: CancellationToken,
    /// Attempts stop where they are, as in a crash: nothing is settled any more. No drain sends this.
    pub(crate) crashed: CancellationToken,
}
