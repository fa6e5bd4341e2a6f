//! Single questions to the jobs API, and what their answers mean.

use std::error::Error as StdError;
use std::time::Duration;

use proxq_protocol::JobInfo;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Request, Response, StatusCode};
use serde::Deserialize;

use crate::address::{JobAddress, hold};
use crate::error::Error;
use crate::redirect::Redirect;
use crate::response::{is_accepted, is_own, read_own};
use crate::transport::Transport;

/// How long an answer may take beyond the time for which it is held.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What came of a request for a job's content.
#[derive(Debug)]
pub(crate) enum Content {
    /// The upstream's response.
    Ready(Response),
    /// Perhaps the upstream's response, and perhaps that of something in between which did not reach proxq.
    Doubtful(Response),
    /// The job has not ended.
    NotReady,
    /// There is none, and the job's status says why.
    SeeStatus,
    /// There is no such job.
    Gone,
    /// The upstream's response is a redirect.
    Redirect(Redirect),
    /// The client followed the upstream's redirect to proxq, which made another job of it.
    AnotherJob(Response),
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may have one later.
    Passing { error: Box<dyn StdError + Send + Sync>, after: Option<Duration> },
    /// It never will.
    Permanent(Error),
}

impl Trouble {
    fn passing(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Passing { error: error.into(), after: None }
    }
}

/// Nothing in between that spoke for proxq said that it was there.
#[derive(Debug, thiserror::Error)]
#[error("{status} from something between here and proxq")]
struct NotFromProxq {
    status: StatusCode,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {limit:?}")]
struct Silence {
    limit: Duration,
}

/// Asks for the response of a job by `request`. The answer is held for `wait` at most; `limit` is the time for all of it, the
/// body included.
pub(crate) async fn content(
    transport: &mut Transport<'_>,
    address: &JobAddress,
    mut request: Request,
    wait: Option<Duration>,
    limit: Option<Duration>,
) -> Result<Content, Trouble> {
    hold(&mut request, wait);
    *request.timeout_mut() = limit;
    let asked = request.url().clone();
    let response = send(transport, request, wait).await?;
    let redirected = *response.url() != asked;
    if !is_own(&response) {
        let in_doubt = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        return Ok(if in_doubt.contains(&response.status()) && !redirected {
            Content::Doubtful(response)
        } else {
            Content::Ready(response)
        });
    }
    if redirected {
        // What the upstream's redirect leads to is the result, proxq's own refusals included.
        return Ok(if is_accepted(&response) { Content::AnotherJob(response) } else { Content::Ready(response) });
    }
    if let Some(redirect) = Redirect::reported_by(&response) {
        return Ok(Content::Redirect(redirect));
    }
    let refusal = refusal(response, address).await?;
    match (refusal.status, refusal.code.as_str()) {
        (StatusCode::NOT_FOUND, "NOT_READY") => Ok(Content::NotReady),
        (StatusCode::NOT_FOUND, "NOT_FOUND") => Ok(Content::Gone),
        (StatusCode::NOT_FOUND, _) => Ok(Content::SeeStatus),
        _ => Err(refusal.trouble()),
    }
}

/// Asks where a job stands. `None` if there is no such job.
pub(crate) async fn status(
    transport: &mut Transport<'_>,
    address: &JobAddress,
    wait: Option<Duration>,
) -> Result<Option<JobInfo>, Trouble> {
    let mut request = address.request(Method::GET);
    hold(&mut request, wait);
    let mut response = send(transport, request, wait).await?;
    if !is_own(&response) {
        return Err(Trouble::passing(NotFromProxq { status: response.status() }));
    }
    if response.status() != StatusCode::OK {
        let refusal = refusal(response, address).await?;
        return if refusal.status == StatusCode::NOT_FOUND { Ok(None) } else { Err(refusal.trouble()) };
    }
    let body = read_own(&mut response).await.map_err(Trouble::passing)?;
    let info = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("the status of a job cannot be read: {error}");
        Trouble::Permanent(Error::Protocol { id: Some(address.id()), detail })
    })?;
    Ok(Some(info))
}

/// Returns with the head of the answer.
async fn send(transport: &mut Transport<'_>, request: Request, wait: Option<Duration>) -> Result<Response, Trouble> {
    let limit = wait.unwrap_or_default() + ANSWER_WITHIN;
    let answered = tokio::time::timeout(limit, transport.send(request)).await;
    answered.map_err(|_| Trouble::passing(Silence { limit }))?.map_err(Trouble::passing)
}

/// Turns a refusal of proxq's into [`Error::Refused`], as `error_for_status` does with statuses. An upstream's response is
/// given back, whatever its status.
///
/// ```no_run
/// # async fn call(http: reqwest_middleware::ClientWithMiddleware) -> Result<(), Box<dyn std::error::Error>> {
/// let response = http.get("https://proxq.example.com/api/reports").send().await?;
/// let response = proxq_client::error_for_refusal(response).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// For every answer that proxq made itself.
pub async fn error_for_refusal(response: Response) -> Result<Response, Error> {
    if !is_own(&response) {
        return Ok(response);
    }
    Err(Refusal::read(response).await.map_or_else(Error::from, Refusal::into_error))
}

/// An answer of proxq that is not what was asked for.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    detail: String,
    after: Option<Duration>,
}

/// The members of an error that matter here. Those of the original API have none of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
}

/// Reads what proxq says instead of an answer.
async fn refusal(response: Response, address: &JobAddress) -> Result<Refusal, Trouble> {
    if is_accepted(&response) {
        let detail = format!("{} is no place for jobs: the question itself became one", address.url().path());
        return Err(Trouble::Permanent(Error::Protocol { id: Some(address.id()), detail }));
    }
    Refusal::read(response).await.map_err(Trouble::passing)
}

impl Refusal {
    pub(crate) async fn read(mut response: Response) -> Result<Self, crate::response::OwnAnswerError> {
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let body = read_own(&mut response).await?;
        let Problem { code, detail } = serde_json::from_slice(&body).unwrap_or_default();
        let detail = if detail.is_empty() { "it does not say why".to_owned() } else { detail };
        Ok(Self { status, code, detail, after: after.map(Duration::from_secs) })
    }

    pub(crate) fn into_error(self) -> Error {
        Error::Refused { status: self.status, code: self.code, detail: self.detail }
    }

    /// Whether asking again may help.
    fn trouble(self) -> Trouble {
        let passes = self.status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&self.status);
        let after = self.after;
        let error = self.into_error();
        if passes { Trouble::Passing { error: error.into(), after } } else { Trouble::Permanent(error) }
    }
}
