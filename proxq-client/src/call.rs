//! One call, from the request to the response that its caller gets.

use std::sync::Arc;

use proxq_protocol::{Accepted, JobId, header as proxq};
use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Method, Request, Response, StatusCode, Url};

use crate::address::{Credentials, JobAddress};
use crate::cancel::{Guard, Submission};
use crate::error::Error;
use crate::event::Event;
use crate::options::Settings;
use crate::redirect::{Redirect, Trail};
use crate::response::{deliver, is_accepted, is_own, named_job, pass_on, read_own};
use crate::setup::Setup;
use crate::submission::{self, Controls};
use crate::transport::Transport;
use crate::waiting::{Deadline, Ended, Manner, Redirects, Waiting};

/// How many jobs of servers of the original API a call may lead through, each the redirect of the one before; as many as
/// reqwest follows redirects.
const JOBS_MAX: usize = 10;

/// A call under way.
pub(crate) struct Call<'c, 't> {
    setup: &'c Arc<Setup>,
    settings: Settings,
    transport: Transport<'t>,
    deadline: Deadline,
    credentials: Credentials,
    method: Method,
    guard: Guard,
    trail: Trail,
    /// The URL that the caller asked for, and that to which the request went instead.
    asked: Url,
    target: Url,
}

/// A job that a submission became.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) address: JobAddress,
    pub(crate) manner: Manner,
    /// Whether another submission made it.
    replayed: bool,
}

/// What an answer to the request leads to.
enum Next {
    /// The caller's response.
    Done(Response),
    /// The request is sent again, to be led on by this redirect of the job at this URL.
    Follow(Redirect, Url),
}

/// Sends a request, and waits for its response if it becomes a job.
pub(crate) async fn run(
    setup: &Arc<Setup>,
    settings: Settings,
    mut request: Request,
    transport: Transport<'_>,
) -> reqwest_middleware::Result<Response> {
    request.url_mut().set_fragment(None); // which is never sent, and not in the URL of a response
    let asked = request.url().clone();
    setup.reroute(&mut request);
    let deadline = Deadline::start(request.timeout().copied(), settings.max_wait);
    let trail = Trail::from(&request);
    let mut controls = setup.put_controls(&mut request, &settings, deadline);
    let mut call = Call {
        credentials: Credentials::of(&request),
        method: request.method().clone(),
        guard: Guard::new(Arc::clone(&setup.canceller)),
        target: request.url().clone(),
        setup,
        settings,
        transport,
        deadline,
        trail,
        asked,
    };
    if let Some(id) = controls.proposed {
        call.arm(call.setup.address(id, &call.target, None, &call.credentials), Submission::Unanswered);
    }
    loop {
        let response = match submission::send(&mut call.transport, request, controls, deadline).await {
            Ok(response) => response,
            Err(error) => {
                // Nothing was sent, or the job whose redirect is not followed has ended.
                if error.is_connect() || error.is_redirect() {
                    call.guard.disarm();
                }
                return Err(error);
            }
        };
        let next = match call.answered(response, controls.proposed).await {
            Ok(Next::Follow(redirect, from)) => call.follow(&redirect, &from),
            Ok(Next::Done(response)) => return Ok(response),
            Err(error) => Err(error),
        };
        (request, controls) = match next {
            Ok(next) => next,
            Err(error @ Error::WaitTimeout { .. }) if deadline.is_timed_out() => {
                return Err(error.into_timeout(call.asked).await);
            }
            Err(error) => return Err(error.into_middleware()),
        };
    }
}

impl Call<'_, '_> {
    fn arm(&mut self, address: JobAddress, submission: Submission) {
        if self.settings.cancel_on_drop {
            self.guard.arm(address, submission);
        }
    }

    /// Finds out what an answer to the request is. Waits for the job that it has become, if it has.
    async fn answered(&mut self, mut answer: Response, mut proposed: Option<JobId>) -> Result<Next, Error> {
        let mut redirects = Redirects::Report;
        for _ in 0..JOBS_MAX {
            let asked = self.url_for_caller(&answer);
            let own = is_own(&answer);
            if own {
                self.setup.origins.learn(answer.url());
            }
            if let Some(redirect) = Redirect::reported_by(&answer) {
                self.guard.disarm();
                self.note_first(named_job(&answer).or(proposed));
                return Ok(Next::Follow(redirect, answer.url().clone()));
            }
            if !is_accepted(&answer) {
                return self.passed_on(answer, own, asked).map(Next::Done);
            }
            let from = answer.url().clone();
            let submitted = submitted(self.setup, answer, proposed.take(), &self.credentials).await;
            let submitted = submitted.inspect_err(|_| self.guard.disarm())?;
            self.note_first(Some(submitted.address.id()));
            match self.wait_for(&submitted, redirects).await? {
                Ended::Response(response) => {
                    return Ok(Next::Done(self.delivered(response, &submitted.address, asked)));
                }
                Ended::Redirect(redirect) => return Ok(Next::Follow(redirect, from)),
                // A server of the original API reports nothing, and what the client did on its own cannot be done again.
                Ended::AnotherJob(next) => {
                    redirects = Redirects::Follow;
                    answer = next;
                }
            }
        }
        Err(Error::Protocol { id: None, detail: format!("{JOBS_MAX} jobs, each the redirect of the one before") })
    }

    fn note_first(&mut self, id: Option<JobId>) {
        if let Some(id) = id {
            self.trail.began_with(id);
        }
    }

    /// The URL that a caller is told for an answer: its own where the request was not redirected.
    fn url_for_caller(&self, answer: &Response) -> Url {
        if *answer.url() == self.target { self.asked.clone() } else { answer.url().clone() }
    }

    /// The answer is the caller's response, or the job's that has ended in time.
    fn passed_on(&mut self, answer: Response, own: bool, asked: Url) -> Result<Response, Error> {
        let url = (asked != *answer.url()).then_some(asked);
        if !own && let Some(id) = named_job(&answer) {
            self.guard.disarm();
            self.settings.tell(&Event::Done { id, waited: self.deadline.elapsed() });
            return Ok(deliver(answer, url, id));
        }
        if own && answer.status() == StatusCode::NOT_FOUND && self.trail.is_followed() {
            self.guard.disarm();
            return Err(self.trail.lost());
        }
        // A proxq that cannot say whether it has stored the job names it; its caller is told that the call has failed.
        if !(own && answer.status() == StatusCode::SERVICE_UNAVAILABLE && named_job(&answer).is_some()) {
            self.guard.disarm();
        }
        Ok(pass_on(answer, url))
    }

    /// The request again, for the caller's client to follow a redirect of the job at `from`.
    fn follow(&mut self, redirect: &Redirect, from: &Url) -> Result<(Request, Controls), Error> {
        let leads_to = redirect.target(from);
        let stays = leads_to.as_ref().is_some_and(|target| target.origin() == from.origin());
        let may_show_token = leads_to.as_ref().is_none_or(|target| stays || self.setup.origins.is_configured(target));
        self.trail.lead_on(redirect, may_show_token)?;
        let mut request = self.trail.request();
        *request.timeout_mut() = self.deadline.timeout_left();
        let controls = self.setup.put_controls(&mut request, &self.settings, self.deadline);
        self.trail.hide_token(request.headers_mut());
        if stays {
            let address = self.setup.address(redirect.behind(), from, None, &self.credentials);
            self.arm(address, Submission::Unanswered);
        }
        Ok((request, controls))
    }

    /// Waits for one job. Once this has ended, by itself and in whatever way, the job is left alone.
    async fn wait_for(&mut self, submitted: &Submitted, redirects: Redirects) -> Result<Ended, Error> {
        let Submitted { address, manner, replayed } = submitted;
        if *replayed {
            self.guard.disarm();
        } else {
            self.arm(address.clone(), Submission::Accepted);
        }
        self.settings.tell(&Event::Submitted { id: address.id() });
        let waiting = Waiting {
            transport: &mut self.transport,
            address,
            settings: &self.settings,
            deadline: self.deadline,
            manner: *manner,
            redirects,
            method: &self.method,
        };
        let ended = waiting.response().await;
        self.guard.disarm();
        ended
    }

    fn delivered(&self, response: Response, address: &JobAddress, asked: Url) -> Response {
        let id = address.id();
        self.settings.tell(&Event::Done { id, waited: self.deadline.elapsed() });
        // Beyond a redirect of the upstream's, the URL is that of what it led to, as it would be without proxq.
        let is_content = response.url().path().starts_with(address.url().path());
        deliver(response, is_content.then_some(asked), id)
    }
}

/// Reads which job a submission became.
pub(crate) async fn submitted(
    setup: &Setup,
    mut answer: Response,
    proposed: Option<JobId>,
    credentials: &Credentials,
) -> Result<Submitted, Error> {
    let named = named_job(&answer);
    let body = read_own(&mut answer).await;
    // The head says it all where it names the job; a body that breaks off then takes nothing away.
    let id = named.or_else(|| Some(serde_json::from_slice::<Accepted>(body.as_ref().ok()?).ok()?.job_id)).or(proposed);
    let Some(id) = id else {
        let detail = "a 202 of proxq's that names no job".to_owned();
        return Err(Error::Protocol { id: None, detail });
    };
    let location = answer.headers().get(LOCATION);
    let manner = manner(location, named);
    let replayed = answer.headers().get(proxq::IDEMPOTENCY_REPLAYED).is_some_and(|replayed| replayed == "true");
    Ok(Submitted { address: setup.address(id, answer.url(), location, credentials), manner, replayed })
}

/// The original API tells a job in the body only, and knows no waiting.
fn manner(location: Option<&HeaderValue>, named: Option<JobId>) -> Manner {
    if location.is_some() || named.is_some() { Manner::Held } else { Manner::Looked }
}
