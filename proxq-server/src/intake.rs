//! The way of a request that is for an upstream: plan → peek at its body → receive it → submit the job → answer; or direct.
//! Comes in: a request with its body unread, however it came. Goes out: the answer to its client.

mod answer;
mod body;
mod body_memory;
mod control;
mod plan;
mod prefer;
mod spool;
mod spool_file;
pub(crate) mod submitter;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::BoxFuture;
use http::Response;
use http_body::Body as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::answer::Asked;
pub(crate) use self::body::ReceivedBody;
use self::body::{Peeked, ReceiveError, peek_at_body};
use self::control::Controls;
use self::plan::{Plan, QueuePlan, Sender};
use self::submitter::{HeldClient, SubmitError, SubmittedJob};
pub(crate) use self::submitter::{IdOrigin, NewSubmission, Submitter};
use crate::admit::Bypass;
use crate::arrival::Arrival;
use crate::clock::Clock;
use crate::config::{Config, Ownership};
use crate::deployment::KnownDeployment;
use crate::direct::{BegunBody, ClientBody, Direct, DirectRequest};
use crate::ended::JobWaiters;
use crate::failure::chain;
use crate::job::JobRequest;
use crate::reply::body::Body as ReplyBody;
use crate::reply::{self, Problem};
use crate::store::{JobStore, Turn};
use crate::turns::{TurnGuard, TurnKeeper};
use crate::upload::Upload;

/// Takes requests in.
#[derive(Debug)]
pub(crate) struct Intake {
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    submitter: Arc<Submitter>,
    turns: TurnKeeper,
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
        turns: TurnKeeper,
    ) -> Self {
        let submitter = Submitter::new(
            Arc::clone(&config),
            Arc::clone(&store),
            Arc::clone(direct.gates()),
            Arc::clone(&deployment),
            direct.traces().cloned(),
        );
        let submitter = Arc::new(submitter);
        let warned_of_untrusted_peer = AtomicBool::new(false);
        Self { config, store, submitter, turns, waiters, direct, clock, deployment, warned_of_untrusted_peer }
    }

    /// Answers a request that is for an upstream. `None` where the client broke off: there is nobody to answer.
    pub(crate) async fn handle(&self, arrival: Arrival) -> Option<Response<ReplyBody>> {
        let Arrival { mut head, body, peer, scheme, request_id } = arrival;
        self.deployment.ask_quickly(&*self.store).await;
        let sender = Sender { peer, scheme, request_id: &request_id };
        match self.plan(&mut head, body.is_end_stream(), sender) {
            Ok(Plan::Redirect(target)) => Some(body.answer_unread(reply::redirect(&target))),
            Ok(Plan::Direct(request)) => self.pass_through(*request, None, body).await,
            Ok(Plan::Queue(plan)) => {
                drop(head); // not needed while a client waits
                // Boxed, so that the future of a request that goes direct stays small, and apart from the answer, so that
                // nothing of the submission stays while a client waits.
                match Box::pin(self.queue(*plan, body)).await {
                    Queued::Submitted { job, turn, controls, asked } => {
                        Some(Box::pin(self.answer(job, turn, &controls, &asked)).await)
                    }
                    Queued::Answered(answer) => answer,
                }
            }
            Err(problem) => Some(body.answer_unread(problem.into_response())),
        }
    }

    /// Boxed, so that its future is moved once and not by everybody who waits for it.
    fn pass_through(
        &self,
        request: DirectRequest,
        begun: Option<BegunBody>,
        rest: Upload,
    ) -> BoxFuture<'_, Option<Response<ReplyBody>>> {
        let body = ClientBody::new(begun, rest, self.config.limits.idle_timeout);
        Box::pin(self.direct.handle(request, body))
    }

    /// Queues a request, unless its body tells that it has to go direct.
    async fn queue(&self, plan: QueuePlan, mut body: Upload) -> Queued {
        let QueuePlan { request, controls, credential, secrets_known, length, limit, peek, check, direct_parts } = plan;
        let peeked = match peek {
            Some(peek) => peek_at_body(&mut body, peek, &self.config).await,
            None => Ok(Peeked::skipped(&self.config)),
        };
        let Peeked { wanted, begun } = match peeked {
            Ok(peeked) => peeked,
            Err(error) => return Queued::Answered(not_received(error)),
        };
        if check.goes_direct(wanted) {
            self.record_bypass(Bypass::Streaming, &request.upstream);
            let request = direct_parts.into_direct_request(request);
            return Queued::Answered(self.pass_through(request, Some(begun.into_stream()), body).await);
        }
        if length > limit {
            return Queued::refused(body, Problem::body_too_large(length, limit));
        }
        if !secrets_known {
            return Queued::refused(body, Problem::store_not_ready());
        }
        if self.deployment.missing_key().is_some() && self.must_be_recognized(&request, &controls) {
            return Queued::refused(body, Problem::not_recognizable());
        }
        let body = match self.submitter.receive(&request, length, begun, body, controls.call).await {
            Ok(received) => received,
            Err(error) => return Queued::Answered(not_received(error)),
        };
        let asked = Asked { method: request.method.clone(), path: request.path.clone() };
        let id_origin = match controls.job_id {
            Some(_proposed) => IdOrigin::Client { known_redirects: controls.redirects.clone() },
            None => IdOrigin::Server,
        };
        let held = controls.call.map(|terms| HeldClient { terms, gone: CancellationToken::new() });
        let gone = held.as_ref().map(|held| held.gone.clone().drop_guard());
        let (delay, claimant) = (controls.delay, Some(credential));
        let submission = NewSubmission { request, body, delay, id_origin, claimant, held };
        let (submitted, turn) = match gone {
            None => (self.submitter.submit(submission).await, None),
            Some(_until_it_is_submitted) => match self.submit_with_turn(submission).await {
                Some(submitted) => submitted,
                None => return Queued::Answered(Some(Problem::internal().into_response())),
            },
        };
        match submitted {
            Ok(job) => Queued::Submitted { job, turn, controls, asked },
            Err(error) => Queued::Answered(Some(Problem::from(error).into_response())),
        }
    }

    /// Whether it matters, when this process is gone, too, who sent a request: it may repeat another one, or its job has an owner.
    fn must_be_recognized(&self, request: &JobRequest, controls: &Controls) -> bool {
        request.idempotency_key.is_some()
            || controls.job_id.is_some()
            || controls.call.is_some_and(|call| call.joins)
            || controls.result_url.is_some()
            || self.config.auth.owner == Ownership::Credential
    }

    /// Submits a job whose client waits for the final answer. Goes on when the client goes away, as its turn may have begun.
    /// `None` where it panicked.
    async fn submit_with_turn(
        &self,
        submission: NewSubmission,
    ) -> Option<(Result<SubmittedJob, SubmitError>, Option<TurnGuard>)> {
        let (submitter, turns) = (Arc::clone(&self.submitter), self.turns.clone());
        let submit = async move {
            let result = submitter.submit(submission).await;
            let guard = match &result {
                Ok(SubmittedJob { turn: Some(turn), .. }) => Some(turns.guard(*turn)),
                Ok(SubmittedJob { turn: None, id, .. }) => turns.resume(*id).await, // a repetition by id or by key
                Err(SubmitError::Unknown(id)) => {
                    turns.guard(Turn::first(*id)).let_go(); // of no effect where the job was not stored
                    None
                }
                Err(_) => None,
            };
            (result, guard)
        };
        self.turns.outlive(submit.in_current_span()).await
    }
}

/// What became of a request that was to be queued.
#[derive(Debug)]
enum Queued {
    /// There is a job. The client is answered as it asked.
    Submitted { job: SubmittedJob, turn: Option<TurnGuard>, controls: Controls, asked: Asked },
    /// It went direct, or was refused. `None` where the client broke off.
    Answered(Option<Response<ReplyBody>>),
}

impl Queued {
    fn refused(unread: Upload, problem: Problem) -> Self {
        Self::Answered(Some(unread.answer_unread(problem.into_response())))
    }
}

/// The answer to a request whose body was not received; `None` where the client broke off.
fn not_received(error: ReceiveError) -> Option<Response<ReplyBody>> {
    match error {
        ReceiveError::Client(error) => {
            tracing::info!(%error, "client broke off before its body was complete");
            None
        }
        ReceiveError::Store { error, unread } => {
            tracing::error!(error = chain(&error), "store a request's body");
            Some(unread.answer_unread(Problem::store(&error).into_response()))
        }
    }
}
