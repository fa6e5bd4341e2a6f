//! What flow control needs of a store: jobs within limits, and limits that all who share the store keep together.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{LeasedJob, StoreError};
use crate::job::{CredentialHash, QueueName};
use crate::pacing::{Hold, Terms};

/// Where a queue's limits are kept.
#[async_trait]
pub trait LimitedQueues: fmt::Debug + Send + Sync {
    /// Hands out what may begin by these terms, each under a lease of its own, as
    /// [`lease`](super::WorkQueues::lease) does for a queue without limits.
    ///
    /// Jobs that are held back by their credential are put aside, so that they hold up nobody; they are still pending. When
    /// the first of them may begin is told to [`due`](super::WorkQueues::due).
    async fn lease_within(&self, queue: &QueueName, terms: &Terms) -> Result<Leased, StoreError>;

    /// Has no job of this credential begin in this queue for so long, at any instance.
    async fn park(&self, queue: &QueueName, credential: CredentialHash, span: Duration) -> Result<(), StoreError>;

    /// Counts an attempt that is not at a job of the queue, if the limits leave room for it now. Where they say how many may
    /// run at once over all instances, it holds a place under this name, for [`LEASE_TERM`](super::LEASE_TERM).
    async fn admit(
        &self,
        queue: &QueueName,
        credential: CredentialHash,
        terms: &Terms,
        place: Uuid,
    ) -> Result<Result<(), Hold>, StoreError>;

    /// Holds places for a full term from now.
    async fn hold_places(&self, queue: &QueueName, places: &[(Uuid, CredentialHash)]) -> Result<(), StoreError>;

    /// Gives a place back.
    async fn give_place_back(&self, queue: &QueueName, place: (Uuid, CredentialHash)) -> Result<(), StoreError>;

    /// Why a job of this credential waits, as far as this process knows without asking anybody.
    fn held_back(&self, queue: &QueueName, credential: CredentialHash) -> Option<HeldBack>;

    /// The queues of former configurations that may have jobs: none of `known`, but of this deployment.
    async fn leftover_queues(&self, known: &[QueueName]) -> Result<Vec<QueueName>, StoreError>;
}

/// What a store holds jobs back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// An operator has paused the queue.
    Paused,
    /// The upstream asked to wait.
    Parked,
    /// The credential's own rate.
    Rate,
}

impl HeldBack {
    /// By the park or the rate of a credential.
    pub(crate) fn by(hold: Hold) -> Option<Self> {
        match hold {
            Hold::Parked(_) => Some(Self::Parked),
            Hold::Rate(_) => Some(Self::Rate),
            Hold::Limit => None,
        }
    }
}

/// Jobs that were handed out within limits.
#[derive(Debug, Default)]
pub struct Leased {
    /// The jobs.
    pub jobs: Vec<LeasedJob>,
    /// What holds back the whole queue from now on, if anything does.
    pub held: Option<Hold>,
}
