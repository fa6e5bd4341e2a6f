//! The submission of a job under an id that its client proposed. Where the request follows a redirect, and that redirect is
//! the response of the id's job, the new job gets the id behind it.

use super::until_known::{Outcome, ask};
use super::{SubmitError, Submitter};
use crate::failure::chain;
use crate::job::{JobId, JobRequest, State};
use crate::redirects::{KnownRedirects, is_repetition};
use crate::store::{Content, NewJob, StoreError, Submitted};

/// How many redirects a request may follow under one proposed id. Each costs the store a look; clients follow 10 to 20.
const FOLLOWED_MAX: usize = 64;

/// What a request finds under its id.
enum Found {
    /// No job.
    Nothing,
    /// A job without a redirect for this request: it has no response yet, its response is no redirect, it sent the same request
    /// with other credentials, or it is another client's.
    Job,
    /// The redirect to which this very request has led.
    OwnRedirect,
    /// The redirect that this request follows.
    FollowedRedirect,
}

impl Submitter {
    /// Submits a job under its proposed id or one behind it; gives the id and what came of it. `known` are the redirects
    /// that the client knows of.
    pub(super) async fn submit_proposed(
        &self,
        mut job: NewJob,
        known: Option<&KnownRedirects>,
    ) -> Result<(JobId, Outcome), SubmitError> {
        for _ in 0..FOLLOWED_MAX {
            let id = job.request.id;
            let behind = self.id_behind(id);
            // A client that knows of this redirect wants to follow it: there must not be a second job.
            let outcome = if known.is_some_and(|known| known.lead_to(behind)) {
                None
            } else {
                match ask(|| self.store.submit(job.clone())).await {
                    outcome @ (Outcome::Answered(Submitted::New) | Outcome::NotStored(_) | Outcome::Unknown) => {
                        return Ok((id, outcome));
                    }
                    outcome @ Outcome::Answered(_) => Some(outcome),
                }
            };
            let found = self.find_job(&job.request).await.map_err(|error| {
                tracing::error!(error = chain(&error), "look for the job of a proposed id");
                SubmitError::NotLookedFor(error)
            })?;
            match (found, outcome) {
                (Found::OwnRedirect, Some(outcome @ Outcome::Answered(Submitted::Replayed(_)))) => {
                    return Ok((id, outcome));
                }
                (Found::OwnRedirect, _) => return Ok((id, Outcome::Answered(Submitted::Existing(id)))),
                // Only the first job of the chain makes the claim and is delayed.
                (Found::FollowedRedirect, _) => {
                    job.request.id = behind;
                    job.claim = None;
                    job.delay = None;
                }
                (Found::Nothing | Found::Job, Some(outcome)) => return Ok((id, outcome)),
                (Found::Nothing, None) => return Err(SubmitError::RedirectGone(id)),
                (Found::Job, None) => return Ok((id, Outcome::Answered(Submitted::Taken))),
            }
        }
        Err(SubmitError::TooManyFollowed(FOLLOWED_MAX))
    }

    /// Looks for the job under the request's id, and says what it means to the request.
    async fn find_job(&self, request: &JobRequest) -> Result<Found, StoreError> {
        let Some(job) = self.store.get(request.id).await? else { return Ok(Found::Nothing) };
        if job.state != State::Completed {
            return Ok(Found::Job);
        }
        Ok(match self.store.response(request.id).await? {
            Content::Ready(response) if response.head.is_redirect() => {
                let again = is_repetition(&job.request, request, &self.config.secret_headers);
                match (again, job.request.credential == request.credential) {
                    (true, true) => Found::OwnRedirect,
                    (false, true) => Found::FollowedRedirect,
                    // It may be the same client, which drops its credentials on the way to another origin.
                    (false, false) if !self.config.auth.tells_clients_apart() => Found::FollowedRedirect,
                    (_, false) => Found::Job,
                }
            }
            Content::Ready(_) | Content::Unknown | Content::NotReady | Content::Failed { .. } => Found::Job,
        })
    }
}
