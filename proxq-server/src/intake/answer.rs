//! The answer to a submission: the job's response if the client waits for it and it comes in time, else what its mode says.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};

use super::Intake;
use super::control::{Answering, Controls, Hold};
use super::submitter::{MadeBy, SubmitError, SubmittedJob};
use crate::failure::chain;
use crate::follow::{self, AskedAt, final_answer};
use crate::job::{JobId, State};
use crate::replay::replay;
use crate::reply::body::Body as ReplyBody;
use crate::reply::{self, Problem};
use crate::result_url;
use crate::store::{Content, StoreError};
use crate::turns::TurnGuard;

/// What of a submission its answer depends on.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path as it came.
    pub(super) path: String,
}

impl Intake {
    /// Answers a submission that has this job.
    pub(super) async fn answer(
        &self,
        job: SubmittedJob,
        turn: Option<TurnGuard>,
        controls: &Controls,
        asked: &Asked,
    ) -> Response<ReplyBody> {
        let SubmittedJob { id, made_by, .. } = job;
        let behind = controls.redirects.as_ref().map(|_| self.submitter.id_behind(id));
        let known = behind.is_some_and(|behind| controls.knows_redirect_to(behind));
        let report = behind.filter(|_| !known);
        // The client knows this redirect and wants it at once, so do not wait unless it asks for that.
        let hold = controls.hold.or(known.then_some(Hold { span: Duration::ZERO, preferred: None }));
        let response = match (controls.answering, hold) {
            (Answering::Queue, Some(hold)) => self.hold(id, hold, &asked.method, report).await,
            (Answering::Queue | Answering::Monitor, None) => None,
            (Answering::Wait | Answering::Follow | Answering::Monitor, hold) => {
                self.hold_to_the_end(id, hold, asked).await
            }
        };
        let mut answer = if let Some(mut response) = response {
            if let Some(seconds) = hold.and_then(|hold| hold.preferred) {
                reply::mark_preferred_wait(&mut response, seconds);
            }
            TurnGuard::end_with(turn, response)
        } else {
            // A follower comes back at once, or has gone away; who is told of its job comes back when it likes.
            if let (Some(turn), Answering::Wait) = (turn, controls.answering) {
                turn.let_go();
            }
            self.answer_without_response(id, controls, &asked.path)
        };
        match made_by {
            MadeBy::ThisOne => {}
            MadeBy::SameKey => reply::mark_replayed(&mut answer),
            MadeBy::EarlierTry => reply::mark_joined(&mut answer),
        }
        answer
    }

    fn answer_without_response(&self, id: JobId, controls: &Controls, path: &str) -> Response<ReplyBody> {
        let jobs_path = &self.config.jobs_path;
        // A submission is not answered before the key is known.
        let result_url = controls.result_url.zip(self.deployment.credential_key());
        let result_url = result_url.map(|(span, key)| result_url::sign(key, jobs_path, id, self.clock.wall(), span));
        let mut answer = match controls.answering {
            Answering::Queue | Answering::Wait => reply::accepted(jobs_path.as_str(), id, result_url.clone()),
            Answering::Follow => reply::follow(follow::first_hop(path, jobs_path, id), id),
            Answering::Monitor => reply::accepted_async(follow::monitor(path, jobs_path, id), id, result_url.clone()),
        };
        if let Some(url) = result_url {
            reply::mark_result_url(&mut answer, &url);
        }
        answer
    }

    /// Holds the answer until there is a job's response. `None` if there is none when the time is over, or none to be had:
    /// then the job is asked for like any other. A redirect is only reported where `report` names the job behind it.
    async fn hold(&self, id: JobId, hold: Hold, method: &Method, report: Option<JobId>) -> Option<Response<ReplyBody>> {
        let response = async {
            let job = self.waiters.job_when_ended(id, hold.span).await?;
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
        let mut answer = unless_it_fails(response.await)?;
        reply::mark_held(&mut answer, id);
        Some(answer)
    }

    /// The same for a client that knows nothing of jobs: one that failed or is gone is an error.
    async fn hold_to_the_end(&self, id: JobId, hold: Option<Hold>, asked: &Asked) -> Option<Response<ReplyBody>> {
        let answer = async {
            let span = hold.map_or(Duration::ZERO, |hold| hold.span);
            let job = self.waiters.job_when_ended(id, span).await?;
            Ok(final_answer(id, job.as_deref(), &asked.method, AskedAt::Request, &*self.store).await?)
        };
        unless_it_fails(answer.await)
    }
}

/// The job is stored, whatever fails after that: its client asks again.
fn unless_it_fails(answer: Result<Option<Response<ReplyBody>>, Arc<StoreError>>) -> Option<Response<ReplyBody>> {
    answer.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&*error), "wait for a job's response");
        None
    })
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::NotStored(error) | SubmitError::NotLookedFor(error) => Self::store(&error),
            SubmitError::Unknown(id) => Self::may_be_accepted(id),
            SubmitError::IdTaken(id) => Self::job_id_taken(id),
            SubmitError::IdempotencyMismatch => Self::idempotency_mismatch(),
            SubmitError::RedirectGone(id) => Self::redirect_gone(id),
            SubmitError::TooManyFollowed(limit) => Self::too_many_followed(limit),
            SubmitError::QueueFull { limit, retry_after } => Self::queue_full(limit, retry_after),
            SubmitError::ClientGone => Self::internal(), // nobody is there to read it
        }
    }
}
