//! Waits for a job to end, whatever happens to its server meanwhile.

use std::error::Error as StdError;
use std::time::Duration;

use proxq_protocol::{JobInfo, JobStatus};
use reqwest::{Method, Response};
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::JobAddress;
use crate::asking::{self, Content, Trouble};
use crate::error::Error;
use crate::event::Event;
use crate::options::Settings;
use crate::pace::Pace;
use crate::redirect::{Redirect, ask_for_reports};
use crate::transport::Transport;

/// The most that a server's `Retry-After` is heeded, so that a call notices soon that its server is back.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// When a call began, and until when it may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    begun: Instant,
    /// The caller's limit for the whole call, its result's body included.
    timeout: Option<Duration>,
    /// The limit for the wait.
    max_wait: Option<Duration>,
}

impl Deadline {
    pub(crate) fn start(timeout: Option<Duration>, max_wait: Option<Duration>) -> Self {
        Self { begun: Instant::now(), timeout, max_wait }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is left of the caller's own limit.
    pub(crate) fn timeout_left(&self) -> Option<Duration> {
        self.timeout.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    fn instant(&self) -> Option<Instant> {
        let limit = self.timeout.into_iter().chain(self.max_wait).min()?;
        self.begun.checked_add(limit)
    }

    /// Whether the caller's own limit is over.
    pub(crate) fn is_timed_out(&self) -> bool {
        self.timeout_left().is_some_and(|left| left.is_zero())
    }

    /// `wait`, or what is left of the time for the call.
    fn cap(&self, wait: Duration) -> Duration {
        self.instant().map_or(wait, |instant| wait.min(instant.saturating_duration_since(Instant::now())))
    }
}

/// How a server can be waited at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It holds its answers.
    Held,
    /// It knows only the original API, or is not to hold them: its jobs are looked at from time to time.
    Looked,
}

/// What becomes of a response that is a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// The server reports it.
    Report,
    /// The client follows it from the job's content.
    Follow,
}

/// Waits for one job.
pub(crate) struct Waiting<'w, 't> {
    pub(crate) transport: &'w mut Transport<'t>,
    pub(crate) address: &'w JobAddress,
    pub(crate) settings: &'w Settings,
    pub(crate) deadline: Deadline,
    pub(crate) manner: Manner,
    pub(crate) redirects: Redirects,
    /// The method of the request that became the job.
    pub(crate) method: &'w Method,
}

/// What a wait ends with.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The upstream's response.
    Response(Response),
    /// It is a redirect, which the server has reported.
    Redirect(Redirect),
    /// The response was a redirect, which led to a job that has to be waited for in turn.
    AnotherJob(Response),
}

/// What a single look at the job shows.
enum Look {
    Ended(Ended),
    /// The job has ended, this way.
    Over(JobInfo),
    Pending(Option<JobStatus>),
}

impl Waiting<'_, '_> {
    /// Waits for the response.
    pub(crate) async fn response(mut self) -> Result<Ended, Error> {
        let (deadline, id) = (self.deadline, self.address.id());
        let ended = self.until_response();
        match deadline.instant() {
            None => ended.await,
            Some(instant) => {
                let in_time = timeout_at(instant, ended).await;
                in_time.unwrap_or_else(|_| Err(Error::WaitTimeout { id, waited: deadline.elapsed() }))
            }
        }
    }

    /// Waits for the end; gives the status, which is final.
    pub(crate) async fn status(mut self) -> Result<JobInfo, Error> {
        let (deadline, id) = (self.deadline, self.address.id());
        let ended = self.until_completed();
        match deadline.instant() {
            None => ended.await,
            Some(instant) => {
                let in_time = timeout_at(instant, ended).await;
                in_time.unwrap_or_else(|_| Err(Error::WaitTimeout { id, waited: deadline.elapsed() }))
            }
        }
    }

    async fn until_response(&mut self) -> Result<Ended, Error> {
        // What answers a HEAD has no body in which it could say why it is not the result; and who listens wants the status.
        let listens = self.settings.listener.is_some();
        let by_content = self.hold().is_some() && self.method != Method::HEAD && !listens;
        let (mut completed, mut told) = (false, !listens);
        let mut rests = Rests::new(self.settings);
        loop {
            let asked = Instant::now();
            let look = match (completed, by_content) {
                (true, _) => self.fetch().await,
                (false, true) => self.look_at_content().await,
                (false, false) => self.look_at_status(&mut told).await,
            };
            match look {
                Ok(Look::Ended(ended)) => return Ok(ended),
                Ok(Look::Over(info)) if info.status == JobStatus::Failed => return Err(failed(info)),
                Ok(Look::Over(_)) => {
                    rests.reached();
                    completed = true;
                }
                Ok(Look::Pending(status)) => {
                    completed = false;
                    self.rest_after_look(&mut rests, status, asked).await;
                }
                Err(trouble) => rests.after_trouble(trouble, self.address).await?,
            }
        }
    }

    async fn until_completed(&mut self) -> Result<JobInfo, Error> {
        let mut rests = Rests::new(self.settings);
        let mut told = self.settings.listener.is_none();
        loop {
            let asked = Instant::now();
            match self.look_at_status(&mut told).await {
                Ok(Look::Over(info)) => return Ok(info),
                Ok(Look::Pending(status)) => self.rest_after_look(&mut rests, status, asked).await,
                Ok(Look::Ended(_)) => {}
                Err(trouble) => rests.after_trouble(trouble, self.address).await?,
            }
        }
    }

    /// How long the server is to hold its next answer.
    fn hold(&self) -> Option<Duration> {
        let wait = self.settings.wait.filter(|_| self.manner == Manner::Held)?;
        Some(self.deadline.cap(wait))
    }

    /// Asks for the content as soon as there is any.
    async fn look_at_content(&mut self) -> Result<Look, Trouble> {
        let hold = self.hold();
        match self.ask_for_content(Method::GET, hold).await? {
            Content::Ready(response) => Ok(Look::Ended(Ended::Response(response))),
            Content::Redirect(redirect) => Ok(Look::Ended(Ended::Redirect(redirect))),
            Content::AnotherJob(response) => Ok(Look::Ended(Ended::AnotherJob(response))),
            Content::NotReady => Ok(Look::Pending(None)),
            Content::Gone => Err(self.lost()),
            Content::Doubtful(_) | Content::SeeStatus => self.look_at_status_now(None).await,
        }
    }

    /// Fetches the content of a job that has one.
    async fn fetch(&mut self) -> Result<Look, Trouble> {
        let method = if self.method == Method::HEAD { Method::HEAD } else { Method::GET };
        match self.ask_for_content(method, None).await? {
            // Asked for twice, with a status from proxq itself between: it is the upstream's.
            Content::Ready(response) | Content::Doubtful(response) => Ok(Look::Ended(Ended::Response(response))),
            Content::Redirect(redirect) => Ok(Look::Ended(Ended::Redirect(redirect))),
            Content::AnotherJob(response) => Ok(Look::Ended(Ended::AnotherJob(response))),
            Content::NotReady | Content::SeeStatus => match self.look_at_status_now(None).await? {
                // Completed and without content: it has gone in this moment, or the server does not know how to tell.
                Look::Over(info) if info.status == JobStatus::Completed => Ok(Look::Pending(Some(info.status))),
                look @ (Look::Ended(_) | Look::Over(_) | Look::Pending(_)) => Ok(look),
            },
            Content::Gone => Err(self.lost()),
        }
    }

    async fn ask_for_content(&mut self, method: Method, hold: Option<Duration>) -> Result<Content, Trouble> {
        let mut request = self.address.request_below(method, "content");
        if self.redirects == Redirects::Report && self.manner == Manner::Held {
            ask_for_reports(request.headers_mut());
        }
        asking::content(self.transport, self.address, request, hold, self.deadline.timeout_left()).await
    }

    /// Asks for the end of the job, or, where nobody was `told` its status yet, for its status.
    async fn look_at_status(&mut self, told: &mut bool) -> Result<Look, Trouble> {
        let hold = self.hold().filter(|_| *told);
        *told = true;
        self.look_at_status_now(hold).await
    }

    async fn look_at_status_now(&mut self, hold: Option<Duration>) -> Result<Look, Trouble> {
        let Some(info) = asking::status(self.transport, self.address, hold).await? else { return Err(self.lost()) };
        match info.status {
            JobStatus::Completed | JobStatus::Failed => Ok(Look::Over(info)),
            JobStatus::Queued | JobStatus::Running => Ok(Look::Pending(Some(info.status))),
        }
    }

    fn lost(&self) -> Trouble {
        Trouble::Permanent(Error::JobLost { id: self.address.id() })
    }

    async fn rest_after_look(&self, rests: &mut Rests<'_>, status: Option<JobStatus>, asked: Instant) {
        rests.reached();
        self.settings.tell(&Event::Waiting { id: self.address.id(), status, waited: self.deadline.elapsed() });
        // A server that held its answer has paced us already; one that says that it does and does not must not be flooded.
        let held = self.hold().is_some_and(|hold| asked.elapsed() >= hold / 2);
        if !held {
            rests.after_look().await;
        }
    }
}

fn failed(info: JobInfo) -> Error {
    let error = info.error.unwrap_or_else(|| "the server does not say why".to_owned());
    Error::JobFailed { id: info.id, error, outcome: info.outcome }
}

/// The pauses of one wait, and since when nobody has answered.
struct Rests<'s> {
    settings: &'s Settings,
    looks: Pace,
    outage: Pace,
    last_reached: Instant,
}

impl<'s> Rests<'s> {
    fn new(settings: &'s Settings) -> Self {
        let looks = Pace::of_looks(settings.poll_interval);
        Self { settings, looks, outage: Pace::of_outage(), last_reached: Instant::now() }
    }

    /// The server has answered.
    fn reached(&mut self) {
        self.outage = Pace::of_outage();
        self.last_reached = Instant::now();
    }

    async fn after_look(&mut self) {
        sleep(self.looks.next().unwrap_or(self.settings.poll_interval)).await;
    }

    async fn after_trouble(&mut self, trouble: Trouble, address: &JobAddress) -> Result<(), Error> {
        let id = address.id();
        let (error, after) = match trouble {
            Trouble::Passing { error, after } => (error, after),
            Trouble::Permanent(refused @ (Error::Refused { .. } | Error::Request { .. })) => {
                return Err(Error::Poll { id, source: refused.into() });
            }
            Trouble::Permanent(error) => return Err(error),
        };
        let give_up = |error: Box<dyn StdError + Send + Sync>| Err(Error::Poll { id, source: error });
        let left = self.settings.max_outage.saturating_sub(self.last_reached.elapsed());
        if left.is_zero() {
            return give_up(error);
        }
        let Some(pause) = self.outage.next() else { return give_up(error) };
        sleep(pause.max(after.unwrap_or_default().min(RETRY_AFTER_MAX)).min(left)).await;
        Ok(())
    }
}
