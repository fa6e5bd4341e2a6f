//! The submission itself: the request, and what its answer means.

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use proxq_protocol::credential::OWNER_HEADERS;
use proxq_protocol::{ErrorBody, ErrorCode, JobId, header};

use super::connection::{Connection, Outgoing};
use super::error::CommandError;
use super::printable::printable;
use super::request_body::{self, RequestBody};
use crate::cli::Submit;

/// The longest answer of proxq's own.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const NAME: HeaderValue = HeaderValue::from_static(concat!("proxq/", env!("CARGO_PKG_VERSION")));

/// A job that is known to be there.
#[derive(Clone, Debug)]
pub(super) struct Submitted {
    pub(super) id: JobId,
    /// Its path at the server.
    pub(super) path: String,
    /// Who asks for it: the credentials with which it was submitted.
    pub(super) owner: HeaderMap,
}

/// What a submission was answered with.
pub(super) enum Answer {
    Job(Submitted),
    /// The upstream's own response: the request was sent direct, or its answer was held.
    Response(Response<Incoming>),
}

/// The request that the flags say, under a proposed id. A request with an id is answered with its job, whatever the upstream's
/// mode.
pub(super) fn request(
    flags: &Submit,
    body: Option<RequestBody>,
    id: JobId,
    token: Option<HeaderValue>,
) -> Request<Outgoing> {
    let mut headers = HeaderMap::new();
    for given in &flags.headers {
        headers.append(&given.name, given.value.clone());
    }
    let mut otherwise = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    otherwise(ACCEPT, HeaderValue::from_static("*/*"));
    otherwise(USER_AGENT, NAME);
    let id = HeaderValue::from_str(&id.to_string()).expect("an id has letters, digits and hyphens");
    otherwise(HeaderName::from_static(header::JOB_ID), id);
    if let Some(token) = token {
        otherwise(HeaderName::from_static(header::TOKEN), token);
    }
    if body.is_some() {
        otherwise(CONTENT_TYPE, FORM);
    }
    let usual = if body.is_some() { Method::POST } else { Method::GET };
    let body = match body {
        None => request_body::none(),
        Some(RequestBody { bytes, body }) => {
            headers.insert(CONTENT_LENGTH, bytes.into());
            body
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = flags.method.clone().unwrap_or(usual);
    *request.headers_mut() = headers;
    request
}

/// The headers that say whose a job is, and the access token.
pub(super) fn owner(headers: &HeaderMap) -> HeaderMap {
    let says = |name: &str| name == header::TOKEN || OWNER_HEADERS.contains(&name);
    let owner = headers.iter().filter(|(name, _)| says(name.as_str()));
    owner.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Submits a request.
pub(super) async fn submit(
    connection: &Connection,
    target: &str,
    request: Request<Outgoing>,
) -> Result<Answer, CommandError> {
    let owner = owner(request.headers());
    let response = connection.send(target, request, None).await?;
    if !is_own(&response) {
        return Ok(Answer::Response(response));
    }
    let id = response.headers().get(header::JOB_ID).and_then(|id| id.to_str().ok()?.parse::<JobId>().ok());
    let path = response.headers().get(LOCATION).and_then(|location| path_of(location.to_str().ok()?));
    match (response.status(), id, path) {
        (StatusCode::ACCEPTED, Some(id), Some(path)) => Ok(Answer::Job(Submitted { id, path, owner })),
        _ => Err(refused(connection, response).await),
    }
}

/// The path of a job in `Location`. A status monitor's URL leads to the content.
fn path_of(location: &str) -> Option<String> {
    let path = location.split('?').next().filter(|path| path.starts_with('/') && !path.starts_with("//"))?;
    Some(path.strip_suffix("/content").unwrap_or(path).to_owned())
}

/// Whether proxq itself made a response.
pub(super) fn is_own(response: &Response<Incoming>) -> bool {
    response.headers().get(header::SOURCE).is_some_and(|source| source == header::SOURCE_VALUE)
}

/// The error that proxq answered with.
pub(super) async fn refused(connection: &Connection, response: Response<Incoming>) -> CommandError {
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return connection.broken(error),
    };
    let origin = connection.origin().to_string();
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(error) => {
            let mut detail = printable(&error.detail).into_owned();
            if error.code == ErrorCode::Unauthorized {
                detail.push_str("; give it by PROXQ_TOKEN or --token-file");
            }
            CommandError::Refused { origin, status: head.status, code: error.code, detail }
        }
        Err(_) => CommandError::Stranger { origin, expected: "a proxq of this version", what: head.status.to_string() },
    }
}

/// Whether a refusal says that the job has ended without a response.
pub(super) fn is_failure(error: &CommandError) -> bool {
    use ErrorCode::{Expired, Gone, JobFailed, NotFound};
    matches!(error, CommandError::Refused { code: Expired | Gone | JobFailed | NotFound, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_asked_for_below_the_server_that_was_asked() {
        assert_eq!(path_of("/__jobs/1").as_deref(), Some("/__jobs/1"));
        assert_eq!(path_of("/__jobs/1/content?pending=202").as_deref(), Some("/__jobs/1"));
        for elsewhere in ["http://evil.example/__jobs/1", "//evil.example/1", ""] {
            assert_eq!(path_of(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn only_credentials_are_shown_again() {
        let headers = [
            ("authorization", "a"),
            ("x-api-key", "b"),
            ("cookie", "c"),
            ("x-proxq-delay", "1s"),
            ("x-proxq-token", "t"),
        ];
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let mut shown: Vec<_> = owner(&headers).keys().map(ToString::to_string).collect();
        shown.sort();
        assert_eq!(shown, ["authorization", "x-api-key", "x-proxq-token"]);
    }
}
