//! The submission of jobs. Comes in: a request that is to become a job, with its body. Goes out: the job that it became, or
//! why there is no job. Where the request comes from, and what its sender is told, is left to the caller: intake has an HTTP
//! client, others may have none.

mod joining;
mod proposed;
#[cfg(test)]
mod tests;
mod traced;
mod until_known;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::until_known::Outcome;
use super::body::{ReceiveError, ReceivedBody, receive};
use super::control::CallTerms;
use super::spool::Spool;
use crate::config::{CacheMode, Config};
use crate::deployment::KnownDeployment;
use crate::failure::chain;
use crate::flow::{Gate, Gates};
use crate::idempotency::claim;
use crate::job::{CredentialHash, JobId, JobRequest, QueueName};
use crate::metrics::Held;
use crate::multipart::BodyDigest;
use crate::redirects::{KnownRedirects, id_behind};
use crate::store::{JobStore, NewJob, StoreError, Submitted, Turn};
use crate::traces::Traces;
use crate::upload::Upload;

/// Which part of a full queue ends until those who were refused come again: one place would be gone before the second of them.
const FREED_SHARE: f64 = 0.05;
/// The shortest and the longest time after which they are told to.
const FULL_RETRY_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_hours(1)];
/// That time where nothing is known of how fast jobs end.
const FULL_RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(10);

/// Submits jobs to the store.
#[derive(Debug)]
pub(crate) struct Submitter {
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    gates: Arc<Gates>,
    deployment: Arc<KnownDeployment>,
    traces: Option<Arc<Traces>>,
}

/// What is to become a job.
#[derive(Debug)]
pub(crate) struct NewSubmission {
    /// What is to be sent, under the id that the job is to have.
    pub(crate) request: JobRequest,
    /// The request's body.
    pub(crate) body: ReceivedBody,
    /// Not before this span from now has passed.
    pub(crate) delay: Option<Duration>,
    /// Who chose the id.
    pub(crate) id_origin: IdOrigin,
    /// Who claims the request's idempotency key, if it has one, and whose later tries join the job; the key of `None` claims
    /// nothing, and nothing joins.
    pub(crate) claimant: Option<CredentialHash>,
    /// The client, if one waits for the final answer and it matters that it goes away.
    pub(crate) held: Option<HeldClient>,
}

/// A client that waits for the final answer.
#[derive(Clone, Debug)]
pub(crate) struct HeldClient {
    /// What becomes of its job if it goes away.
    pub(crate) terms: CallTerms,
    /// Cancelled when it goes away: a later try that still waits for an earlier one's client then becomes no job.
    pub(crate) gone: CancellationToken,
}

/// Who chose the id that a job is to have.
#[derive(Clone, Debug)]
pub(crate) enum IdOrigin {
    /// This server, just now: no other job has it.
    Server,
    /// The client, which may have sent the request before, or follow a redirect under the id of the job that led there.
    Client {
        /// `Some`: the client wants redirects reported, except those listed, which it knows.
        known_redirects: Option<KnownRedirects>,
    },
}

/// The job that a submission became, or that an equal earlier one had become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubmittedJob {
    pub(crate) id: JobId,
    /// Which submission made it.
    pub(crate) made_by: MadeBy,
    /// The turn that began with this submission, if one did.
    pub(crate) turn: Option<Turn>,
}

/// Which submission made a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeBy {
    /// This one, or an earlier one under the same proposed id.
    ThisOne,
    /// An earlier one with the same idempotency key.
    SameKey,
    /// An earlier try of the same call.
    EarlierTry,
}

/// Why a submission did not become a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// For certain, the job was not stored.
    #[error("store a job")]
    NotStored(#[source] StoreError),
    /// The job may have been stored under this id.
    #[error("the store did not say whether it took job {0}")]
    Unknown(JobId),
    /// It is unknown which job has the proposed id.
    #[error("look for the job of a proposed id")]
    NotLookedFor(#[source] StoreError),
    /// The proposed id belongs to another job.
    #[error("another credential or another request has job {0}")]
    IdTaken(JobId),
    /// The idempotency key was used for another request.
    #[error("the idempotency key belongs to another request")]
    IdempotencyMismatch,
    /// The client follows a redirect of this job, which is not there any more.
    #[error("the redirect of job {0} is gone")]
    RedirectGone(JobId),
    /// So many redirects were followed under one proposed id.
    #[error("{0} redirects were followed under one proposed id")]
    TooManyFollowed(usize),
    /// As many jobs wait for the upstream as may.
    #[error("{limit} jobs wait for the upstream, as many as may")]
    QueueFull {
        /// How many may.
        limit: NonZeroU32,
        /// When there will be room, as far as anybody can tell.
        retry_after: Duration,
    },
    /// Its client went away while it waited for the client of an earlier try to go.
    #[error("nobody waits for the job any more")]
    ClientGone,
}

impl Submitter {
    pub(crate) fn new(
        config: Arc<Config>,
        store: Arc<dyn JobStore>,
        gates: Arc<Gates>,
        deployment: Arc<KnownDeployment>,
        traces: Option<Arc<Traces>>,
    ) -> Self {
        Self { config, store, gates, deployment, traces }
    }

    /// Receives the body of a request, which has this length and has `begun` to come. A large one is digested meanwhile,
    /// where its digest will be wanted.
    pub(crate) async fn receive(
        &self,
        request: &JobRequest,
        length: u64,
        begun: Spool,
        rest: Upload,
        call: Option<CallTerms>,
    ) -> Result<ReceivedBody, ReceiveError> {
        let compared = request.idempotency_key.is_some() || call.is_some_and(|call| call.joins);
        let wanted = compared || self.config.cache.mode != CacheMode::None;
        let digest = wanted.then(|| BodyDigest::new(&request.headers));
        receive(begun, rest, length, digest, &self.config, &*self.store).await
    }

    /// Stores the job. Where it is unknown whether that was done, asks again under the same id. Tells the log, and the span
    /// of whoever submits, which job it is.
    pub(crate) async fn submit(&self, mut submission: NewSubmission) -> Result<SubmittedJob, SubmitError> {
        let Some(traces) = &self.traces else { return self.make_job(submission).await };
        let queue = self.queue_of(self.gates.of(&submission.request.upstream).as_deref());
        let span = traces.submission(&mut submission.request, &queue, submission.delay.is_some());
        let result = self.make_job(submission).await;
        traced::ended(span, &result);
        result
    }

    async fn make_job(&self, submission: NewSubmission) -> Result<SubmittedJob, SubmitError> {
        let NewSubmission { request, mut body, delay, id_origin, claimant, held } = submission;
        let mut memory = body.take_memory(); // held to the end
        let claimed = claimant.filter(|_| request.idempotency_key.is_some());
        let claim = claimed.and_then(|claimant| {
            let digest = body.digest(&request.headers);
            let key = self.deployment.credential_key().expect("nothing is submitted before the deployment is known");
            claim(&request, claimant, digest, self.config.idempotency_ttl, key)
        });
        let call = held.as_ref().map(|held| self.call(&request, &body, claimant, held));
        let (body, blob, body_sha256) = body.into_parts();
        let request = JobRequest { body_sha256, ..request };
        let (gate, metrics) = (self.gates.of(&request.upstream), self.gates.metrics_of(&request.upstream));
        let queue = self.queue_of(gate.as_deref());
        let max_queued = gate.as_ref().and_then(|gate| gate.max_queued());
        let id_is_proposed = matches!(id_origin, IdOrigin::Client { .. });
        let job = NewJob { queue, request, id_is_proposed, body, delay, claim, max_queued, call };
        let (id, outcome) = match &id_origin {
            IdOrigin::Client { known_redirects } => self.submit_proposed(job, known_redirects.as_ref()).await?,
            IdOrigin::Server => (job.request.id, self.submit_or_join(job, held.as_ref(), &mut memory).await?),
        };
        let of_job = match &outcome {
            Outcome::Answered(Submitted::Joined(turn)) => turn.id,
            Outcome::Answered(_) | Outcome::NotStored(_) | Outcome::Unknown => id,
        };
        tracing::Span::current().record("job.id", tracing::field::display(of_job));
        // Only a body whose job is in the store, or may be, is left to it.
        let keep = matches!(outcome, Outcome::Answered(Submitted::New) | Outcome::Unknown);
        if let (true, Some(blob)) = (keep, blob) {
            blob.keep();
        }
        let submitted = match outcome {
            Outcome::Answered(submitted) => submitted,
            Outcome::NotStored(error) => {
                tracing::error!(error = chain(&error), "store a job");
                return Err(SubmitError::NotStored(error));
            }
            Outcome::Unknown => {
                tracing::error!("the store did not say whether it took a job");
                return Err(SubmitError::Unknown(id));
            }
        };
        let made = |id, made_by, turn| Ok(SubmittedJob { id, made_by, turn });
        // If proxq chose the id and it comes back, our own first try was stored and only its answer was lost.
        let is_own = |first| first == id && matches!(id_origin, IdOrigin::Server);
        let first_turn = held.map(|_| Turn::first(id));
        match submitted {
            Submitted::New => {
                metrics.submitted.inc();
                if delay.is_some() {
                    metrics.held(Held::Delayed);
                }
                made(id, MadeBy::ThisOne, first_turn)
            }
            Submitted::Existing(first) | Submitted::Replayed(first) if is_own(first) => {
                made(id, MadeBy::ThisOne, first_turn)
            }
            Submitted::Existing(first) => made(first, MadeBy::ThisOne, None),
            Submitted::Replayed(first) => made(first, MadeBy::SameKey, None),
            Submitted::Joined(turn) => {
                metrics.joined.inc();
                tracing::info!("joined the job of an earlier try");
                made(turn.id, MadeBy::EarlierTry, Some(turn))
            }
            Submitted::StillHeld(_) => unreachable!("a submission under its own id does not wait in the end"),
            Submitted::Full => {
                let limit = max_queued.expect("without a limit no queue is full");
                let retry_after = gate.and_then(|gate| gate.time_to_end(f64::from(limit.get()) * FREED_SHARE));
                let [least, most] = FULL_RETRY_AFTER;
                let retry_after = retry_after.map_or(FULL_RETRY_AFTER_UNKNOWN, |span| span.clamp(least, most));
                Err(SubmitError::QueueFull { limit, retry_after })
            }
            Submitted::Taken => Err(SubmitError::IdTaken(id)),
            Submitted::Mismatch => Err(SubmitError::IdempotencyMismatch),
        }
    }

    /// The queue behind a gate, or the one of all upstreams without flow control.
    fn queue_of(&self, gate: Option<&Gate>) -> QueueName {
        gate.map_or_else(|| self.config.queue.clone(), |gate| gate.queue().clone())
    }

    /// The id of the job behind a redirect of the job `id`.
    pub(super) fn id_behind(&self, id: JobId) -> JobId {
        let key = self.deployment.credential_key();
        id_behind(key.expect("nothing is submitted before the deployment is known"), id)
    }
}
