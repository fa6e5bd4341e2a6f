//! `proxq submit`: from the request to the upstream's response.

use std::cell::RefCell;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use proxq_protocol::{JobId, JobInfo, JobStatus, header};
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Origin, Outgoing};
use super::content::deliver;
use super::error::{CommandError, End};
use super::place;
use super::printable::printable;
use super::progress::Progress;
use super::request_body;
use super::submission::{self, Answer, Submitted, is_failure, is_own, refused};
use super::terminal::{complain, print};
use crate::cli::{Options, Submit};
use crate::shutdown::StopRequests;

/// How long the server holds a question about a job that nobody watches, and one whose progress is shown.
const HOLDS: Duration = Duration::from_secs(30);
const HOLDS_SEEN: Duration = Duration::from_secs(2);
/// How much longer than that the answer may take.
const GRACE: Duration = Duration::from_secs(30);
/// How long the server may be away, for a restart, and how often it is tried meanwhile.
const AWAY_MAX: Duration = Duration::from_secs(30);
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// How long a cancellation may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Carries the command out.
pub(super) async fn submit(flags: &Submit, options: &Options) -> Result<End, CommandError> {
    let (connection, target) = target(flags, options)?;
    connection.origin().url(&target)?;
    let mut stop = StopRequests::new();
    let submission =
        Submission { connection, flags, id: proposed(flags)?, sent: RefCell::default(), known: RefCell::default() };
    tokio::select! {
        ended = submission.run(&target) => ended,
        () = stop.next() => submission.interrupted().await,
    }
}

/// The server, and the path and query of the request.
fn target(flags: &Submit, options: &Options) -> Result<(Connection, String), CommandError> {
    if flags.target.starts_with('/') {
        return Ok((place::of_clients(&flags.at, options)?, flags.target.clone()));
    }
    if flags.at.url.is_some() {
        let message = "with --url, the request is said by its path, which begins with /";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let (origin, target) = Origin::split(&flags.target, "the URL")?;
    Ok((place::at_clients(origin, &flags.at.tls)?, target))
}

/// The id that the user proposes, or a new one.
fn proposed(flags: &Submit) -> Result<JobId, CommandError> {
    match flags.headers.iter().find(|given| given.name == header::JOB_ID) {
        None => Ok(JobId::new()),
        Some(given) => given
            .value
            .to_str()
            .ok()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| CommandError::Usage("X-Proxq-Job-Id: it is not a version 4 UUID".to_owned())),
    }
}

/// One submission and what is known of it.
struct Submission<'a> {
    connection: Connection,
    flags: &'a Submit,
    /// The proposed id.
    id: JobId,
    /// Whether the request is under way, or was.
    sent: RefCell<bool>,
    /// The job, once it is known to be there.
    known: RefCell<Option<Submitted>>,
}

impl Submission<'_> {
    async fn run(&self, target: &str) -> Result<End, CommandError> {
        let body = request_body::open(self.flags.data.as_ref()).await?;
        let token = place::client_token(self.flags.token_file.as_ref())?;
        let request = submission::request(self.flags, body, self.id, token);
        self.sent.replace(true);
        let mut progress = Progress::new();
        let answer = progress.during("submitting", submission::submit(&self.connection, target, request)).await;
        let job = match answer {
            Ok(Answer::Job(job)) => job,
            Ok(Answer::Response(response)) => {
                progress.clear();
                return self.deliver(response).await;
            }
            Err(error) if is_failure(&error) => {
                progress.clear();
                complain(&format!("proxq: {error}"));
                return Ok(End::JobFailed);
            }
            Err(error @ CommandError::Broken { .. }) => {
                return Err(CommandError::Unanswered { id: self.id, source: Box::new(error) });
            }
            Err(error) => return Err(error),
        };
        self.known.replace(Some(job.clone()));
        if self.flags.no_wait {
            progress.clear();
            print(&format!("{}\n", job.id))?;
            return Ok(End::Done);
        }
        match self.ended(&job, &mut progress).await? {
            None => Ok(End::TimeOver),
            Some(info) if info.status == JobStatus::Completed => {
                let response = self.ask(&job, Method::GET, "/content", HOLDS).await;
                let response = response.map_err(|error| CommandError::Lost { id: job.id, source: Box::new(error) })?;
                progress.clear();
                if is_own(&response) {
                    return Err(refused(&self.connection, response).await);
                }
                self.deliver(response).await
            }
            Some(info) => {
                progress.clear();
                let outcome = info.outcome.map(|outcome| format!(" ({outcome})")).unwrap_or_default();
                let error = info.error.as_deref().unwrap_or("no reason is known");
                complain(&format!("proxq: job {} failed{outcome}: {}", job.id, printable(error)));
                Ok(End::JobFailed)
            }
        }
    }

    async fn deliver(&self, response: Response<Incoming>) -> Result<End, CommandError> {
        deliver(&self.connection, response, self.flags.output.as_deref(), self.flags.include).await
    }

    /// Waits until the job has ended; `None` if the time is over before.
    async fn ended(&self, job: &Submitted, progress: &mut Progress) -> Result<Option<JobInfo>, CommandError> {
        let began = Instant::now();
        let holds = if Progress::is_seen() { HOLDS_SEEN } else { HOLDS };
        let mut text = format!("job {}", job.id);
        let mut away_since = None;
        // The first answer comes at once: it says why the job waits.
        let mut hold = Duration::ZERO;
        loop {
            match progress.during(&text, self.status(job, hold)).await {
                Ok(info) if info.status.is_final() => return Ok(Some(info)),
                Ok(info) => {
                    away_since = None;
                    text = shown(job, &info);
                }
                Err(error) if error.is_not_found() => {
                    progress.clear();
                    return Ok(Some(gone(job)));
                }
                Err(error) if error.is_passing() => {
                    let since: Instant = *away_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > AWAY_MAX {
                        return Err(CommandError::Lost { id: job.id, source: Box::new(error) });
                    }
                    text = format!("job {}: proxq does not answer", job.id);
                    progress.during(&text, sleep(AWAY_PAUSE)).await;
                }
                Err(error) => return Err(error),
            }
            let left = self.flags.wait.map(|limit| limit.saturating_sub(began.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                progress.clear();
                complain(&format!("proxq: the time is over, and job {} goes on{}", job.id, self.whereabouts(job)));
                return Ok(None);
            }
            hold = left.map_or(holds, |left| left.min(holds));
        }
    }

    async fn status(&self, job: &Submitted, hold: Duration) -> Result<JobInfo, CommandError> {
        let target = format!("?wait={}ms", hold.as_millis());
        let response = self.ask(job, Method::GET, &target, hold).await?;
        if !response.status().is_success() {
            return Err(refused(&self.connection, response).await);
        }
        let body = response.into_body().collect().await.map_err(|error| self.connection.broken(error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| CommandError::Stranger {
            origin: self.connection.origin().to_string(),
            expected: "a proxq of this version",
            what: format!("a status, which has {error}"),
        })
    }

    /// Asks for something below a job's path.
    async fn ask(
        &self,
        job: &Submitted,
        method: Method,
        below: &str,
        hold: Duration,
    ) -> Result<Response<Incoming>, CommandError> {
        let mut request: Request<Outgoing> = Request::new(request_body::none());
        *request.method_mut() = method;
        *request.headers_mut() = HeaderMap::clone(&job.owner);
        self.connection.send(&format!("{}{below}", job.path), request, Some(hold + GRACE)).await
    }

    /// What becomes of the job when the user ends the command.
    async fn interrupted(&self) -> Result<End, CommandError> {
        let known = self.known.borrow().clone();
        match known {
            None if !*self.sent.borrow() => {}
            None => complain(&format!("proxq: if the request was accepted, its job is {} and goes on", self.id)),
            Some(job) if self.flags.cancel_on_interrupt => {
                match timeout(CANCEL_LIMIT, self.ask(&job, Method::DELETE, "", CANCEL_LIMIT)).await {
                    Ok(Ok(response)) if response.status().is_success() => {
                        complain(&format!("proxq: job {} is cancelled", job.id));
                    }
                    _ => complain(&format!("proxq: job {} could not be cancelled and may go on", job.id)),
                }
            }
            Some(job) => complain(&format!("proxq: job {} goes on{}", job.id, self.whereabouts(&job))),
        }
        Ok(End::Interrupted)
    }

    /// Where the job's response will be.
    fn whereabouts(&self, job: &Submitted) -> String {
        format!("; its response will be at {}{}/content", self.connection.origin(), printable(&job.path))
    }
}

/// A job that is not there any more.
fn gone(job: &Submitted) -> JobInfo {
    let mut info = JobInfo::new(job.id, JobStatus::Failed);
    info.error = Some("it was cancelled, or its retention is over".to_owned());
    info
}

/// What is shown of a job that has not ended.
fn shown(job: &Submitted, info: &JobInfo) -> String {
    let state = match info.status {
        JobStatus::Queued => "queued",
        JobStatus::Running => "running",
        JobStatus::Completed => "completed",
        JobStatus::Failed => "failed",
    };
    let waits = info.waiting.map(|waiting| format!(", waits: {waiting}")).unwrap_or_default();
    let attempts = info.attempts.filter(|attempts| *attempts > 1);
    let attempts = attempts.map(|attempts| format!(", attempt {attempts}")).unwrap_or_default();
    format!("job {}: {state}{waits}{attempts}", job.id)
}

#[cfg(test)]
mod tests {
    use proxq_protocol::Waiting;

    use super::*;

    #[test]
    fn progress_says_the_state_and_why_a_job_waits() {
        let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        let job = Submitted { id, path: "/__jobs/1".to_owned(), owner: HeaderMap::new() };
        let mut info = JobInfo::new(id, JobStatus::Running);
        assert_eq!(shown(&job, &info), format!("job {id}: running"));
        (info.waiting, info.attempts) = (Some(Waiting::Backoff), Some(2));
        assert_eq!(shown(&job, &info), format!("job {id}: running, waits: backoff, attempt 2"));
    }
}
