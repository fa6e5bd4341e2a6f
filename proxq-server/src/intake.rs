//! What happens to a request that is for an upstream: route → admit → queue, or direct.

mod asking;
mod body;
mod control;
mod plan;
mod prefer;
mod proposed;
mod spool;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::Body as ReplyBody;
use http::{Method, Response};
use http_body::Body as _;

use self::asking::{Outcome, ask};
use self::body::{Looked, ReceiveError, ReceivedBody, look, receive};
use self::control::{Controls, Wait};
use self::plan::{Plan, Submission, record_bypass};
use crate::admit::Bypass;
use crate::arrival::Arrival;
use crate::clock::Clock;
use crate::config::{CacheMode, Config};
use crate::deployment::KnownDeployment;
use crate::direct::{BegunBody, ClientBody, Direct, DirectRequest};
use crate::ended::JobWaiters;
use crate::failure::chain;
use crate::idempotency::claim;
use crate::job::{CredentialHash, JobId, JobRequest, State};
use crate::multipart::BodyDigest;
use crate::replay::replay;
use crate::reply::{self, Problem};
use crate::store::{Content, JobStore, NewJob, StoreError, Submitted};
use crate::upload::Upload;

/// Takes requests in.
#[derive(Debug)]
pub(crate) struct Intake {
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    waiters: Arc<JobWaiters>,
    direct: Direct,
    clock: Clock,
    deployment: Arc<KnownDeployment>,
    warned_of_untrusted_peer: AtomicBool,
}

impl Intake {
    pub(crate) fn new(
        config: Arc<Config>,
        store: Arc<dyn JobStore>,
        waiters: Arc<JobWaiters>,
        direct: Direct,
        clock: Clock,
        deployment: Arc<KnownDeployment>,
    ) -> Self {
        let warned_of_untrusted_peer = AtomicBool::new(false);
        Self { config, store, waiters, direct, clock, deployment, warned_of_untrusted_peer }
    }

    /// Answers a request that is for an upstream. `None` where the client broke off: there is nobody to answer.
    pub(crate) async fn handle(&self, arrival: Arrival) -> Option<Response<ReplyBody>> {
        let Arrival { mut head, body, peer, request_id } = arrival;
        self.deployment.ask_quickly(&*self.store).await;
        match self.plan(&mut head, body.is_end_stream(), peer, &request_id) {
            Ok(Plan::Redirect(target)) => Some(body.answer_unread(reply::redirect(&target))),
            Ok(Plan::Direct(request)) => self.pass_through(*request, None, body).await,
            // Boxed, so that the future of a request that goes direct stays small.
            Ok(Plan::Queue(submission)) => Box::pin(self.take_in(*submission, body)).await,
            Err(problem) => Some(body.answer_unread(problem.into_response())),
        }
    }

    async fn pass_through(
        &self,
        request: DirectRequest,
        begun: Option<BegunBody>,
        rest: Upload,
    ) -> Option<Response<ReplyBody>> {
        let body = ClientBody::new(begun, rest, self.config.limits.idle_timeout);
        self.direct.handle(request, body).await
    }

    /// Queues a request, unless its body tells that it has to go direct.
    async fn take_in(&self, submission: Submission, mut body: Upload) -> Option<Response<ReplyBody>> {
        let Submission { request, controls, credential, store_known, length, limit, peek, look: looked_for, passage } =
            submission;
        let looked = match peek {
            Some(peek) => look(&mut body, peek, &self.config).await,
            None => Ok(Looked::not(&self.config)),
        };
        let received = match looked {
            Ok(Looked { wanted, begun }) if looked_for.goes_direct(wanted) => {
                record_bypass(Bypass::Streaming);
                return self.pass_through(passage.of_job(request), Some(begun.into_stream()), body).await;
            }
            Ok(Looked { .. }) if length > limit => {
                let problem = Problem::body_too_large(length, limit);
                return Some(body.answer_unread(problem.into_response()));
            }
            Ok(Looked { .. }) if !store_known => {
                return Some(body.answer_unread(Problem::store_not_ready().into_response()));
            }
            Ok(Looked { begun, .. }) => {
                let wanted = request.idempotency_key.is_some() || self.config.cache.mode != CacheMode::None;
                let digest = wanted.then(|| BodyDigest::new(&request.headers));
                receive(begun, body, length, digest, &self.config, &*self.store).await
            }
            Err(error) => Err(error),
        };
        match received {
            Ok(received) => {
                let method = request.method.clone();
                Some(match self.submit(request, &controls, credential, received).await {
                    Ok(taken) => self.answer(taken, &controls, &method).await,
                    Err(problem) => problem.into_response(),
                })
            }
            Err(ReceiveError::Client(error)) => {
                tracing::info!(%error, "client broke off before its body was complete");
                None
            }
            Err(ReceiveError::Store { error, unread }) => {
                tracing::error!(error = chain(&error), "store a request's body");
                Some(unread.answer_unread(Problem::store(&error).into_response()))
            }
        }
    }

    /// Stores the job. Where it is unknown whether that was done, asks again under the same id.
    async fn submit(
        &self,
        request: JobRequest,
        controls: &Controls,
        credential: CredentialHash,
        received: ReceivedBody,
    ) -> Result<TakenIn, Problem> {
        let claimed = request.idempotency_key.as_ref().map(|_key| received.digest(&request.headers));
        let claim = claimed.and_then(|digest| claim(&request, credential, digest, self.config.idempotency_ttl));
        let (body, blob, body_sha256) = received.into_parts();
        let request = JobRequest { body_sha256, ..request };
        let job = NewJob { queue: self.config.queue.clone(), request, body, delay: controls.delay, claim };
        let (id, outcome) = match controls.job_id {
            Some(_proposed) => self.place(job, controls).await?,
            None => (job.request.id, ask(|| self.store.submit(job.clone())).await),
        };
        tracing::Span::current().record("job.id", tracing::field::display(id));
        // Only a body whose job is in the store, or may be, is left to it.
        let keep = matches!(outcome, Outcome::Answered(Submitted::New) | Outcome::Unknown);
        if let (true, Some(blob)) = (keep, blob) {
            blob.keep();
        }
        let submitted = match outcome {
            Outcome::Answered(submitted) => submitted,
            Outcome::NotStored(error) => {
                tracing::error!(error = chain(&error), "store a job");
                return Err(Problem::store(&error));
            }
            Outcome::Unknown => {
                tracing::error!("the store did not say whether it took a job");
                return Err(Problem::may_be_accepted(id));
            }
        };
        match submitted {
            Submitted::New => Ok(TakenIn { id, replayed: false }),
            Submitted::Existing(first) => Ok(TakenIn { id: first, replayed: false }),
            // An id that nobody proposed comes back where the answer to the first of these attempts was lost.
            Submitted::Replayed(first) => Ok(TakenIn { id: first, replayed: first != id || controls.job_id.is_some() }),
            Submitted::Taken => Err(Problem::job_id_taken(id)),
            Submitted::Mismatch => Err(Problem::idempotency_mismatch()),
        }
    }

    /// Answers a submission: with the upstream's response, if that comes while the client waits, else with a `202`.
    async fn answer(&self, taken: TakenIn, controls: &Controls, method: &Method) -> Response<ReplyBody> {
        let TakenIn { id, replayed } = taken;
        let behind = controls.redirects.as_ref().map(|_| self.id_behind(id));
        let known = behind.is_some_and(|behind| controls.knows_redirect_to(behind));
        let report = behind.filter(|_| !known);
        // A redirect that its client knows is there, and wanted now.
        let wait = controls.wait.or(known.then_some(Wait { span: Duration::ZERO, preferred: None }));
        let held = match wait {
            Some(wait) => self.hold(id, wait, method, report).await,
            None => None,
        };
        let mut answer = held.unwrap_or_else(|| reply::accepted(self.config.jobs_path.as_str(), id));
        if replayed {
            reply::mark_replayed(&mut answer);
        }
        answer
    }

    /// Waits for a job's response. `None` if there is none when the wait is over, or none to be had: then the job is
    /// asked for like any other. A redirect is only reported where `report` names the job behind it.
    async fn hold(&self, id: JobId, wait: Wait, method: &Method, report: Option<JobId>) -> Option<Response<ReplyBody>> {
        let response = async {
            let job = self.waiters.job_when_ended(id, wait.span).await?;
            if job.is_none_or(|job| job.state != State::Completed) {
                return Ok(None);
            }
            match self.store.response(id).await? {
                Content::Ready(response) => match report.and_then(|behind| Problem::redirect(&response.head, behind)) {
                    Some(report) => Ok(Some(report.into_response())),
                    None => Ok(Some(replay(response, method, &*self.store).await?)),
                },
                Content::Unknown | Content::NotReady | Content::Failed { .. } => Ok(None),
            }
        };
        let mut answer = response.await.unwrap_or_else(|error: Arc<StoreError>| {
            tracing::warn!(error = chain(&*error), "wait for a job's response");
            None
        })?;
        reply::mark_held(&mut answer, id, wait.preferred);
        Some(answer)
    }
}

/// A submission that was taken in.
#[derive(Clone, Copy, Debug)]
struct TakenIn {
    id: JobId,
    /// Whether an earlier submission with the same idempotency key made the job.
    replayed: bool,
}
