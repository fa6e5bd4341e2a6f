//! What intake and the jobs API need of a store so that a client which sends a request again gets the job of its first try.
//!
//! A *call* is what a program asks for once, however often its HTTP client sends the request. A *turn* is the time for which
//! one of these requests waits for the job of the call. It ends when the final answer has been written, which ends the call,
//! or when the client goes away without it. Then the job is *abandoned*: a repetition of the request may join it, which
//! begins the next turn.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::job::JobId;

/// How long after it was abandoned a job can be joined: longer than the clients known to us go on trying by themselves.
pub const JOIN_WINDOW: Duration = Duration::from_mins(2);
/// How long after its turn began a job can be joined whose server ended meanwhile. Nobody saw when its client went away;
/// followers are held for up to 280 s and may be slow to find a server again.
pub const LOST_TURN_WINDOW: Duration = Duration::from_mins(15);
/// How long after it was abandoned a job is cancelled, where its upstream's configuration says so: clients pause for up to
/// 8 s before they try again, and gateways retry sooner.
pub const CANCEL_ABANDONED_AFTER: Duration = Duration::from_secs(30);
/// How long a call is known after its last turn began: longer than any turn lasts.
pub(super) const CALL_TERM: Duration = Duration::from_hours(24);
/// The most jobs of equal calls that are looked at for one to join.
pub(super) const CANDIDATES_MAX: u32 = 100;

/// Keeps account of the clients that wait for jobs. All verbs concern only jobs that were submitted as a [`Call`].
#[async_trait]
pub trait Turns: std::fmt::Debug + Send + Sync {
    /// A client waits for the job again. `None` where the call has ended, or the job is not one of a call.
    async fn resume(&self, id: JobId) -> Result<Option<Turn>, StoreError>;

    /// The client has its final answer: nothing joins the job any more. Of no effect unless it is the job's latest turn. Counts
    /// as a change of the job, as going away does.
    async fn answered(&self, turn: Turn) -> Result<(), StoreError>;

    /// The client went away without its final answer. Of no effect unless it is the job's latest turn. Counts as a change of
    /// the job, so that whoever watches it looks again.
    async fn abandoned(&self, turn: Turn, by: LeftBy) -> Result<(), StoreError>;
}

/// What a submission says of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Hash of what all tries of the call have in common; `None` where nothing may join it.
    pub key: Option<[u8; 32]>,
    /// Whether the submission may be answered with the job of an earlier try.
    pub join: Join,
    /// Whether the job is cancelled [some time after](CANCEL_ABANDONED_AFTER) it was abandoned, unless it has ended by then.
    pub cancel_when_abandoned: bool,
}

/// Whether a submission may be answered with an abandoned job of the same key.
///
/// Of several such jobs the one that was abandoned first is joined. A job without an answer that could be given again is not
/// joined ([`ends_call`](crate::job::Verdict::ends_call)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// It is the first try: it becomes a job.
    Never,
    /// If there is one; else it becomes a job.
    IfAbandoned,
    /// If there is one; else it waits if there is a job whose client still seems to be there, else it becomes a job.
    OrWait,
}

/// A client's wait for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The job.
    pub id: JobId,
    /// Grows from one turn of the job to the next. The submission of the job begins turn 1.
    pub number: u32,
}

impl Turn {
    /// The first turn of a job.
    #[must_use]
    pub fn first(id: JobId) -> Self {
        Self { id, number: 1 }
    }
}

/// Who ended a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBy {
    /// The client, or something between it and proxq.
    Client,
    /// The server, which stops, or has told the client to come back later. Such a job is not cancelled.
    Server,
}
