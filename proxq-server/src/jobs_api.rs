//! What clients ask about jobs: status, content, events, cancellation, a retry; and what probes ask about the server.

mod events;
mod request;
mod view;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response};
use tokio_util::sync::CancellationToken;

use self::request::{JobsCall, Resource};
use self::visitor::Access;
use crate::clock::Clock;
use crate::config::{Config, FOLLOW_HOPS, FOLLOW_WAIT, Upstream};
use crate::deployment::KnownDeployment;
use crate::ended::JobWaiters;
use crate::failure::chain;
use crate::flow::Gates;
use crate::follow::{self, AskedAt, final_answer};
use crate::job::{Job, JobId, ResponseHead};
use crate::redirects::{KnownRedirects, id_behind};
use crate::replay::replay_unless_removed;
use crate::reply::body::Body;
use crate::reply::{self, Problem};
use crate::store::{Content, JobAccess, Requeued, StoreError};
use crate::turns::{TurnGuard, TurnKeeper};

/// The jobs API.
#[derive(Debug)]
pub(crate) struct JobsApi {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<dyn JobAccess>,
    pub(crate) waiters: Arc<JobWaiters>,
    pub(crate) deployment: Arc<KnownDeployment>,
    pub(crate) turns: TurnKeeper,
    pub(crate) gates: Arc<Gates>,
    pub(crate) clock: Clock,
    /// Cancelled when the server stops: events end, and probes are told.
    pub(crate) draining: CancellationToken,
}

impl JobsApi {
    /// Answers a request whose path is `jobsPath` or below it.
    pub(crate) async fn handle(&self, head: Parts) -> Response<Body> {
        let let_in = self.let_in(&head);
        let result_urls = self.config.auth.result_urls;
        let call =
            let_in.and_then(|visitor| Ok((JobsCall::read(&head, &self.config.jobs_path, result_urls)?, visitor)));
        let method = head.method.clone();
        drop(head); // not needed while a client waits
        let is_probe = call.as_ref().is_ok_and(|(call, _)| call.resource.is_probe());
        let answer = match call {
            Ok((call, visitor)) => match self.check(&call, &method, &visitor).await {
                Ok(access) => self.answer(call, &method, access).await,
                Err(problem) => Err(problem),
            },
            Err(problem) => Err(problem),
        };
        let mut answer = answer.unwrap_or_else(Problem::into_response);
        if is_probe {
            answer.extensions_mut().insert(reply::IsProbe);
        }
        answer
    }

    async fn answer(&self, call: JobsCall, method: &Method, access: Access) -> Result<Response<Body>, Problem> {
        match call.resource {
            Resource::Health => Ok(reply::healthy("ok")),
            Resource::Readiness => self.readiness().await,
            Resource::Job(id) if *method == Method::DELETE => self.cancel(id?).await,
            Resource::Job(id) => self.status(id?, call.wait).await,
            Resource::Events(id) => self.events(id?, method).await,
            Resource::Retry(id) => self.retry(id?, call.confirmed).await,
            Resource::Content(id) if *method == Method::DELETE => self.cancel(id?).await,
            Resource::Content(id) => self.content(id?, call.wait, call.redirects.as_ref(), method).await,
            Resource::Hop(id, number) => self.hop(id?, number, method, access).await,
            Resource::Monitor(id) if *method == Method::DELETE => self.cancel_or_gone(id?).await,
            Resource::Monitor(id) => self.monitor(id?, method).await,
        }
    }

    async fn readiness(&self) -> Result<Response<Body>, Problem> {
        if self.draining.is_cancelled() {
            return Err(Problem::draining());
        }
        self.store.ready().await.map_err(|error| {
            tracing::warn!(error = chain(&error), "not ready");
            Problem::store_not_ready_for(&error)
        })?;
        if self.deployment.missing_key().is_some() {
            return Err(Problem::not_recognizable());
        }
        Ok(reply::healthy("ready"))
    }

    async fn status(&self, id: JobId, wait: Duration) -> Result<Response<Body>, Problem> {
        let job = self.job_when_ended(id, wait).await?;
        Ok(reply::status(&view::job_info(&job, &self.config, &self.gates)))
    }

    async fn content(
        &self,
        id: JobId,
        wait: Duration,
        redirects: Option<&KnownRedirects>,
        method: &Method,
    ) -> Result<Response<Body>, Problem> {
        if !wait.is_zero() {
            self.job_when_ended(id, wait).await?;
        }
        match self.store.response(id).await.map_err(|error| store_problem(id, &error))? {
            Content::Unknown => Err(Problem::no_job(id)),
            Content::NotReady => Err(Problem::not_ready()),
            Content::Failed { error } => {
                let job = self.store.get(id).await.map_err(|error| store_problem(id, &error))?;
                Err(Problem::job_failed(&error, job.as_ref().map(|job| &job.progress)))
            }
            Content::Ready(response) => {
                if let Some(report) = self.report(id, &response.head, redirects)? {
                    return Err(report);
                }
                let replayed = replay_unless_removed(id, response, method, &*self.store).await;
                replayed.map_err(|error| store_problem(id, &error))?.ok_or_else(|| Problem::no_job(id))
            }
        }
    }

    /// The final answer of a job for a follower, held for as long as its upstream says; else where to go on.
    async fn hop(&self, id: JobId, number: u32, method: &Method, access: Access) -> Result<Response<Body>, Problem> {
        let watched = self.waiters.watch(id).await.map_err(|error| store_problem(id, &error))?;
        let upstream = watched.job().and_then(|job| self.config.upstream(&job.request.upstream));
        let (wait, hops) = upstream.map_or((FOLLOW_WAIT, FOLLOW_HOPS), |own| (own.follow_wait, own.follow_hops));
        if watched.job().is_some() && number > hops {
            return Err(Problem::bad_query(format!(
                "hop={number} is not valid: the last hop here is {hops} (followHops)"
            )));
        }
        // Whoever asks for the head alone has no answer yet.
        let is_turn = *method != Method::HEAD || watched.job().is_some_and(|job| job.request.method == Method::HEAD);
        let tracks = is_turn && access == Access::Own && upstream.is_some_and(Upstream::tracks_turns);
        let resumed = async { if tracks { self.turns.resume(id).await } else { None } };
        let (turn, job) = tokio::join!(resumed, self.waiters.watched_when_ended(watched, wait));
        let job = job.map_err(|error| store_problem(id, &error))?;
        match self.final_answer(id, job.as_deref(), method).await? {
            Some(answer) => Ok(TurnGuard::end_with(turn, answer)),
            None if number < hops => Ok(reply::follow(follow::next_hop(number + 1), id)),
            None => {
                if let Some(turn) = turn {
                    turn.let_go();
                }
                Err(Problem::still_running(id, hops))
            }
        }
    }

    /// The final answer of a job for a client that polls, or its status until then.
    async fn monitor(&self, id: JobId, method: &Method) -> Result<Response<Body>, Problem> {
        let job = self.store.get(id).await.map_err(|error| store_problem(id, &error))?;
        match (self.final_answer(id, job.as_ref(), method).await?, job) {
            (Some(answer), _) => Ok(answer),
            (None, Some(job)) => Ok(reply::pending(&view::job_info(&job, &self.config, &self.gates))),
            (None, None) => Err(Problem::gone(id)),
        }
    }

    /// The final answer of a job that is in this state now. `None` if it has not ended.
    async fn final_answer(
        &self,
        id: JobId,
        job: Option<&Job>,
        method: &Method,
    ) -> Result<Option<Response<Body>>, Problem> {
        let asked_at = AskedAt::Content { jobs_path: &self.config.jobs_path };
        let answer = final_answer(id, job, method, asked_at, &*self.store).await;
        answer.map_err(|error| store_problem(id, &error))
    }

    async fn cancel_or_gone(&self, id: JobId) -> Result<Response<Body>, Problem> {
        let found = self.store.cancel(id).await.map_err(|error| store_problem(id, &error))?;
        if found { Ok(reply::cancelled()) } else { Err(Problem::gone(id)) }
    }

    /// The report of a redirect that the client wants and has not had.
    fn report(
        &self,
        id: JobId,
        head: &ResponseHead,
        redirects: Option<&KnownRedirects>,
    ) -> Result<Option<Problem>, Problem> {
        let Some(known) = redirects else { return Ok(None) };
        let key = self.deployment.credential_key().ok_or_else(Problem::store_not_ready)?;
        let behind = id_behind(key, id);
        Ok(if known.lead_to(behind) { None } else { Problem::redirect(head, behind) })
    }

    async fn is_gone(&self, id: JobId) -> Result<bool, Problem> {
        let job = self.store.get(id).await.map_err(|error| store_problem(id, &error))?;
        Ok(job.is_none())
    }

    async fn cancel(&self, id: JobId) -> Result<Response<Body>, Problem> {
        let found = self.store.cancel(id).await.map_err(|error| store_problem(id, &error))?;
        if found { Ok(reply::cancelled()) } else { Err(Problem::no_job(id)) }
    }

    async fn retry(&self, id: JobId, confirmed: bool) -> Result<Response<Body>, Problem> {
        match self.store.retry_failed(id, confirmed).await.map_err(|error| store_problem(id, &error))? {
            Requeued::Queued => Ok(reply::accepted(self.config.jobs_path.as_str(), id, None)),
            Requeued::NotFailed => Err(Problem::not_failed()),
            Requeued::MayDuplicate => Err(Problem::may_duplicate()),
            Requeued::Unknown => Err(Problem::no_job(id)),
        }
    }

    async fn events(&self, id: JobId, method: &Method) -> Result<Response<Body>, Problem> {
        // Looked for first: a stream that has begun cannot be a 404.
        if self.is_gone(id).await? {
            return Err(Problem::no_job(id));
        }
        let body = if *method == Method::HEAD {
            reply::body::empty()
        } else {
            reply::body::stream(events::of_job(
                Arc::clone(&self.config),
                Arc::clone(&self.gates),
                Arc::clone(&self.store) as _,
                id,
                self.draining.clone(),
            ))
        };
        Ok(reply::events(body))
    }

    /// The job once it has ended, or as it stands when the time is up or the server stops.
    async fn job_when_ended(&self, id: JobId, wait: Duration) -> Result<Arc<Job>, Problem> {
        let wait = wait.min(self.config.max_wait);
        let job = self.waiters.job_when_ended(id, wait).await;
        job.map_err(|error| store_problem(id, &error))?.ok_or_else(|| Problem::no_job(id))
    }
}

fn store_problem(id: JobId, error: &StoreError) -> Problem {
    tracing::error!(job.id = %id, error = chain(error), "read a job");
    Problem::store(error)
}
