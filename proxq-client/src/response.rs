//! The response that a caller gets, and what the middleware reads of those that it does not.

use proxq_protocol::{JobId, header as proxq};
use reqwest::{Response, ResponseBuilderExt, StatusCode, Url};

/// How a response came. In the extensions of every response that the middleware returns.
///
/// ```no_run
/// # async fn call(http: reqwest_middleware::ClientWithMiddleware) -> reqwest_middleware::Result<()> {
/// use proxq_client::Delivery;
///
/// let response = http.get("https://proxq.example.com/api/reports").send().await?;
/// if let Some(Delivery::Job { id }) = response.extensions().get() {
///     println!("answered by job {id}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// It is the result of a job.
    Job {
        /// The job, whose result stays readable for the server's retention.
        id: JobId,
    },
    /// It is the answer to the request itself.
    Direct,
}

/// The most that is read of an answer that proxq makes itself; the longest has a few hundred bytes.
const OWN_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Makes a job's content the answer to the call. `url` is the caller's, unless the client has followed a redirect on
/// from the content.
///
/// The body stays where it is: unread, on the wire.
pub(crate) fn deliver(response: Response, url: Option<Url>, id: JobId) -> Response {
    let mut response = relocate(response, url);
    response.headers_mut().remove(proxq::JOB_ID);
    response.headers_mut().remove(proxq::PREFERENCE_APPLIED);
    response.extensions_mut().insert(Delivery::Job { id });
    response
}

/// Passes a response on as it is. `url` is the caller's where the request went another way.
pub(crate) fn pass_on(response: Response, url: Option<Url>) -> Response {
    let mut response = relocate(response, url);
    response.extensions_mut().insert(Delivery::Direct);
    response
}

/// Changes the URL that a response tells to have come from.
fn relocate(response: Response, url: Option<Url>) -> Response {
    let Some(url) = url else { return response };
    // reqwest keeps the URL in an extension of a private type, so it has to come from another response.
    let Ok(donor) = http::Response::builder().url(url).body(()) else { return response };
    let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    parts.extensions.extend(donor.into_parts().0.extensions);
    Response::from(http::Response::from_parts(parts, body))
}

/// Whether proxq itself made this answer.
pub(crate) fn is_own(response: &Response) -> bool {
    response.headers().get(proxq::SOURCE).is_some_and(|source| source == proxq::SOURCE_VALUE)
}

/// Whether it says that the request is now a job.
pub(crate) fn is_accepted(response: &Response) -> bool {
    response.status() == StatusCode::ACCEPTED && is_own(response)
}

/// The job that it names in its head.
pub(crate) fn named_job(response: &Response) -> Option<JobId> {
    response.headers().get(proxq::JOB_ID)?.to_str().ok()?.parse().ok()
}

/// Reads an answer that proxq made itself.
pub(crate) async fn read_own(response: &mut Response) -> Result<Vec<u8>, OwnAnswerError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > OWN_ANSWER_BYTES_MAX {
            return Err(OwnAnswerError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why an answer of proxq's own could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnAnswerError {
    #[error("read the answer")]
    Broken(#[from] reqwest::Error),
    #[error("the answer has more than {OWN_ANSWER_BYTES_MAX} bytes")]
    TooLong,
}
