//! What intake needs of a store: to have a job taken in.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use super::{BlobStore, Call, StoreError, Turn};
use crate::job::{Body, JobId, JobRequest, QueueName};

/// Where jobs are submitted.
#[async_trait]
pub trait Submissions: BlobStore {
    /// Takes a job in: durable on return, and idempotent by the job's id and by its claim. A submission that [joins] a job is
    /// idempotent by its own id, too: sent again, it has the same turn.
    ///
    /// [joins]: super::Join
    async fn submit(&self, job: NewJob) -> Result<Submitted, StoreError>;
}

/// What is submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Where it waits.
    pub queue: QueueName,
    /// What is to be sent, secret headers included.
    pub request: JobRequest,
    /// Whether a client chose the id: then another job may have it.
    pub id_is_proposed: bool,
    /// The request's body.
    pub body: Body,
    /// Not before this span from now has passed, by the store's clock.
    pub delay: Option<Duration>,
    /// What it claims by its idempotency key, if it has one.
    pub claim: Option<Claim>,
    /// How many jobs may wait in the queue at most; `None` for any number.
    pub max_queued: Option<NonZeroU32>,
    /// What it says of its call, if its client waits for the final answer. Its first turn begins with the submission.
    pub call: Option<Call>,
}

/// A submission's claim to be the only one under its idempotency key.
///
/// It holds from the submission on for as long as it says, and is given up when the job is cancelled or ends so that
/// another try is due ([`frees_claim`](crate::job::Verdict::frees_claim)). A failed job that is retried takes it back,
/// unless another job has it by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed: hash of the key, the upstream and the credential.
    pub scope: [u8; 32],
    /// Hash of what makes the request the same.
    pub fingerprint: [u8; 32],
    /// For how long it holds.
    pub ttl: Duration,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is a new job.
    New,
    /// The same credential submitted this job before. So it is taken to be where the job's record cannot be read.
    Existing(JobId),
    /// This job has the idempotency key, and its request was the same.
    Replayed(JobId),
    /// The id belongs to a job of another credential, or to another request of this one: one with another method, path,
    /// query or length of its body.
    Taken,
    /// The idempotency key was used for another request.
    Mismatch,
    /// It is a later try of the call whose job this is, and has the next turn.
    Joined(Turn),
    /// As many jobs wait as may.
    Full,
    /// It may be a later try of the call whose job this is, whose client still seems to be there.
    StillHeld(JobId),
}
