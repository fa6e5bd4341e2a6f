//! The answer to a submission: a `202`, or the job's response where the client wants it in the answer and it comes in time.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};

use super::Intake;
use super::control::{Controls, Hold};
use super::submitter::{SubmitError, SubmittedJob};
use crate::failure::chain;
use crate::job::{JobId, State};
use crate::replay::replay;
use crate::reply::body::Body as ReplyBody;
use crate::reply::{self, Problem};
use crate::store::{Content, StoreError};

impl Intake {
    /// Answers a submission with this method that has this job.
    pub(super) async fn answer(&self, job: SubmittedJob, controls: &Controls, method: &Method) -> Response<ReplyBody> {
        let SubmittedJob { id, replayed } = job;
        let behind = controls.redirects.as_ref().map(|_| self.submitter.id_behind(id));
        let known = behind.is_some_and(|behind| controls.knows_redirect_to(behind));
        let report = behind.filter(|_| !known);
        // The client knows this redirect and wants it at once, so do not wait unless it asks for that.
        let hold = controls.hold.or(known.then_some(Hold { span: Duration::ZERO, preferred: None }));
        let response = match hold {
            Some(hold) => self.hold(id, hold, method, report).await,
            None => None,
        };
        let mut answer = response.unwrap_or_else(|| reply::accepted(self.config.jobs_path.as_str(), id));
        if replayed {
            reply::mark_replayed(&mut answer);
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
        let mut answer = response.await.unwrap_or_else(|error: Arc<StoreError>| {
            tracing::warn!(error = chain(&*error), "wait for a job's response");
            None
        })?;
        reply::mark_held(&mut answer, id, hold.preferred);
        Some(answer)
    }
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
        }
    }
}
