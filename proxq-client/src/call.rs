//! One call, from the request to the response that its caller gets.

use std::sync::Arc;
use std::time::Duration;

use proxq_protocol::{Accepted, JobId, header as proxq};
use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Method, Request, Response, StatusCode, Url};

use crate::address::{Credentials, JobAddress};
use crate::cancel::{Guard, Submission};
use crate::error::Error;
use crate::event::Event;
use crate::options::Settings;
use crate::proxq::Setup;
use crate::response::{deliver, is_accepted, is_own, named_job, pass_on, read_own};
use crate::submission;
use crate::transport::Transport;
use crate::waiting::{Clock, Ended, Manner, Waiting};

/// How many jobs a call may lead through, each the redirect of the one before; as many as reqwest follows redirects.
const JOBS_MAX: usize = 10;

/// A call under way.
pub(crate) struct Call<'c, 't> {
    setup: &'c Arc<Setup>,
    settings: Settings,
    transport: Transport<'t>,
    clock: Clock,
    credentials: Credentials,
    method: Method,
    guard: Guard,
}

/// A job that a submission became.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) address: JobAddress,
    pub(crate) manner: Manner,
    /// Whether another submission made it.
    replayed: bool,
}

/// Sends a request, and waits for its response if it becomes a job.
pub(crate) async fn run(
    setup: &Arc<Setup>,
    settings: Settings,
    mut request: Request,
    transport: Transport<'_>,
) -> reqwest_middleware::Result<Response> {
    let asked = request.url().clone();
    let routed = setup.reroute(&mut request);
    let clock = Clock::start(request.timeout().copied(), settings.max_wait);
    let controls = setup.put_controls(&mut request, &settings, clock);
    let mut call = Call {
        credentials: Credentials::of(&request),
        method: request.method().clone(),
        guard: Guard::new(Arc::clone(setup)),
        setup,
        settings,
        transport,
        clock,
    };
    let target = request.url().clone();
    if let Some(id) = controls.proposed {
        call.arm(call.setup.address(id, &target, None, &call.credentials), Submission::Unanswered);
    }
    let sent = submission::send(&mut call.transport, request, controls, clock).await;
    let response = match (sent, controls.proposed) {
        (Ok(response), _) => response,
        (Err(error), Some(id)) if error.is_redirect() => return call.result_behind(error, id, &asked, &target).await,
        (Err(error), _) => {
            if error.is_connect() {
                call.guard.disarm();
            }
            return Err(error);
        }
    };
    let passed_on = routed && *response.url() == target;
    if is_own(&response) {
        setup.origins.learn(response.url());
        if is_accepted(&response) {
            return call.result(response, controls.proposed, &asked).await.map_err(Error::into_middleware);
        }
    } else if let Some(id) = named_job(&response) {
        call.guard.disarm();
        call.settings.tell(&Event::Done { id, waited: clock.elapsed() });
        return Ok(deliver(response, passed_on.then_some(asked), id));
    }
    // A proxq that cannot say whether it has stored the job names it; its caller is told that the call has failed.
    if !(is_own(&response) && response.status() == StatusCode::SERVICE_UNAVAILABLE && named_job(&response).is_some()) {
        call.guard.disarm();
    }
    Ok(pass_on(response, passed_on.then_some(asked)))
}

impl Call<'_, '_> {
    fn arm(&mut self, address: JobAddress, submission: Submission) {
        if self.settings.cancel_on_drop {
            self.guard.arm(address, submission);
        }
    }

    /// Waits for the job that a submission has become, and for those to which its redirects lead.
    async fn result(mut self, accepted: Response, proposed: Option<JobId>, asked: &Url) -> Result<Response, Error> {
        let mut answer = accepted;
        let (mut proposed, mut asked) = (proposed, asked.clone());
        for _ in 0..JOBS_MAX {
            let submitted = submitted(self.setup, answer, proposed.take(), &self.credentials).await;
            let submitted = submitted.inspect_err(|_| self.guard.disarm())?;
            match self.wait_for(&submitted).await? {
                Ended::Response(response) => return Ok(self.delivered(response, &submitted.address, asked)),
                Ended::AnotherJob(next) => {
                    asked = next.url().clone();
                    answer = next;
                }
            }
        }
        Err(Error::Protocol { id: None, detail: format!("{JOBS_MAX} jobs, each the redirect of the one before") })
    }

    /// reqwest follows a redirect with the controls of the first request, which therefore is answered with the same result
    /// again. Its content has none, and is followed to where the redirect leads.
    async fn result_behind(
        mut self,
        error: reqwest_middleware::Error,
        id: JobId,
        asked: &Url,
        target: &Url,
    ) -> reqwest_middleware::Result<Response> {
        let address = self.setup.address(id, target, None, &self.credentials);
        let submitted = Submitted { address, manner: Manner::Held, replayed: false };
        let ended = match self.wait_for(&submitted).await {
            Ok(Ended::Response(response)) => Ok(self.delivered(response, &submitted.address, asked.clone())),
            Ok(Ended::AnotherJob(next)) => {
                let asked = next.url().clone();
                self.result(next, None, &asked).await
            }
            // There never was a job: a request that went direct led in circles.
            Err(Error::JobLost { .. }) => return Err(error),
            Err(error) => Err(error),
        };
        ended.map_err(Error::into_middleware)
    }

    /// Waits for one job. Once this has ended, by itself and in whatever way, the job is left alone.
    async fn wait_for(&mut self, submitted: &Submitted) -> Result<Ended, Error> {
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
            clock: self.clock,
            manner: *manner,
            method: &self.method,
        };
        let ended = waiting.response().await;
        self.guard.disarm();
        ended
    }

    fn delivered(&self, response: Response, address: &JobAddress, asked: Url) -> Response {
        let id = address.id();
        self.settings.tell(&Event::Done { id, waited: self.clock.elapsed() });
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

/// How long the server is to hold the answer to a submission, so that it comes before the caller's time is up.
pub(crate) fn submission_hold(settings: &Settings, clock: Clock) -> Option<Duration> {
    /// Of the caller's time; the rest is left for the answer to come and for naming the job in an error.
    const SHARE: (u32, u32) = (3, 4);
    let wait = settings.wait?;
    let timeout = clock.timeout_left().map(|left| left * SHARE.0 / SHARE.1);
    timeout.into_iter().chain(settings.max_wait).chain([wait]).min().filter(|wait| !wait.is_zero())
}
