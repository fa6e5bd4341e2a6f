//! The seam between proxq and whatever keeps its jobs: a trait for each kind of caller, and [`JobStore`], which is all of
//! them. Names no backend.
//!
//! | caller | takes | in |
//! |---|---|---|
//! | intake | [`Submissions`] | `submitting.rs` |
//! | workers | [`WorkQueues`] | `working.rs` |
//! | flow control | [`LimitedQueues`] | `limiting.rs` |
//! | jobs API | [`JobAccess`] | `asking.rs` |
//! | waiting clients | [`JobLookup`] | `asking.rs` |
//! | whoever answers held clients | [`Turns`] | `turns.rs` |
//! | operators | [`Oversight`] | `overseeing.rs` |
//! | whoever counts jobs | [`QueueLookup`] | `overseeing.rs` |
//! | server | [`StoreControl`] | `keeping.rs` |
//! | whoever reads or writes large bodies | [`BlobStore`] | `blob.rs` |
//!
//! Each verb is one atomic step. Its doc is a promise, which `store/contract.rs` tests on every backend.

mod asking;
mod blob;
#[cfg(test)]
mod contract;
pub mod embedded;
mod error;
mod keeping;
mod kept_key;
mod key_use;
mod limiting;
mod locked;
#[cfg(test)]
pub(crate) mod memory;
mod overseeing;
mod pauses;
mod pending_place;
mod record;
pub mod redis;
mod sealed_blobs;
mod settings;
mod signals;
mod submitting;
mod turns;
mod values;
mod working;

pub use self::asking::{Content, JobAccess, JobLookup, JobWatch, Owner, Requeued};
pub use self::blob::{BlobStore, BlobStream, BlobWriter};
pub use self::error::{Cause, StoreError};
pub use self::keeping::{Deployment, StoreControl, UPKEEP_EVERY, Upkept};
pub use self::key_use::KeyUse;
pub use self::limiting::{HeldBack, Leased, LimitedQueues};
pub use self::overseeing::{
    Instance, InstanceKind, JobOrder, JobPage, Oversight, QueueLookup, QueueStats, SubmittedRequest,
};
pub(crate) use self::pauses::StorePauses;
#[cfg(test)]
pub(crate) use self::record::{BodyFields, Facts, Record};
pub use self::settings::StoreSettings;
pub use self::submitting::{Claim, NewJob, Submissions, Submitted};
pub use self::turns::{CANCEL_ABANDONED_AFTER, Call, JOIN_WINDOW, Join, LOST_TURN_WINDOW, LeftBy, Turn, Turns};
pub use self::values::SharedValues;
pub use self::working::{
    LEASE_TERM, LOW_WAITS_AT_MOST, Lease, LeasedJob, RECLAIM_AFTER_OUTAGE, RECLAIM_GRACE, RENEW_EVERY, WorkQueues,
};

pub(crate) use self::working::pending_order;

/// The most jobs that one step moves, so that no step holds up the others.
pub const BATCH_LIMIT: usize = 100;

/// A store of jobs: what a backend does for all of its callers.
pub trait JobStore: Submissions + WorkQueues + JobAccess + Turns + Oversight + StoreControl {}

impl<S: Submissions + WorkQueues + JobAccess + Turns + Oversight + StoreControl> JobStore for S {}
