//! What can go wrong between a call and its result.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use proxq_protocol::{JobId, Outcome};
use reqwest::{Body, Response, StatusCode, Url};

use crate::response::OwnAnswerError;

/// Why a call that became a job has no response.
///
/// A middleware can only return a [`reqwest_middleware::Error`]; [`Error::find`] gets this one out of it again. Everything
/// that is an HTTP response – the upstream's `500` as well as proxq's `503` – is no error but a response.
///
/// ```
/// use proxq_client::Error;
///
/// fn report(error: &reqwest_middleware::Error) {
///     match Error::find(error) {
///         Some(Error::JobFailed { id, error, .. }) => eprintln!("the upstream of {id} did not answer: {error}"),
///         Some(Error::WaitTimeout { id, .. }) => eprintln!("{id} goes on; ask for it later"),
///         Some(other) => eprintln!("{other}"),
///         None => eprintln!("not sent: {error}"),
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job ended without a response from its upstream.
    #[error("job {id} failed: {error}")]
    JobFailed {
        /// The job, which can still be retried.
        id: JobId,
        /// The step that failed and its cause, in one line.
        error: String,
        /// Whether the upstream may have seen the request; unknown to servers of the original API.
        outcome: Option<Outcome>,
    },
    /// proxq refused what was asked of it.
    ///
    /// Only from [`ProxqClient`](crate::ProxqClient) and [`Job`](crate::Job), or as the source of [`Error::Poll`]: through the
    /// middleware a refused request is a response.
    #[error("proxq answered {status}: {detail}")]
    Refused {
        /// The status code of the answer.
        status: StatusCode,
        /// What went wrong, for programs, such as `NOT_FAILED`; empty where the answer has none.
        code: String,
        /// What went wrong and what would be right, for people.
        detail: String,
    },
    /// There is no such job any more: it was cancelled, or its result has expired.
    #[error("job {id} is gone: it was cancelled, or its result has expired")]
    JobLost {
        /// The job that was.
        id: JobId,
    },
    /// The time for the call was up. The job goes on.
    #[error("job {id} has not ended within {waited:.1?}")]
    WaitTimeout {
        /// The job, which can be waited for again.
        id: JobId,
        /// Since the call began.
        waited: Duration,
    },
    /// The server does not behave as a proxq does.
    #[error("not the answer of a proxq: {detail}")]
    Protocol {
        /// The job, if there is one.
        id: Option<JobId>,
        /// What came, and what was expected.
        detail: String,
    },
    /// The job could not be asked for.
    #[error("ask for job {id}")]
    Poll {
        /// The job, which may well have a result.
        id: JobId,
        /// What the last attempt ended with.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A request of the explicit API did not get an answer.
    #[error("send a request to proxq")]
    Request {
        /// Why not.
        source: reqwest_middleware::Error,
    },
}

impl Error {
    /// The error of this crate inside one of the middleware chain; also where `reqwest-retry` has wrapped it.
    #[must_use]
    pub fn find(error: &reqwest_middleware::Error) -> Option<&Self> {
        let mut causes: Box<dyn Iterator<Item = &(dyn StdError + 'static)>> = match error {
            reqwest_middleware::Error::Middleware(inner) => Box::new(inner.chain()),
            reqwest_middleware::Error::Reqwest(error) => {
                Box::new(std::iter::successors(error.source(), |&cause| cause.source()))
            }
        };
        causes.find_map(|cause| {
            let carried = cause.downcast_ref().map(|Carried(error)| error);
            let carried = carried.or_else(|| cause.downcast_ref().map(|TimedOut { error, .. }| error));
            carried.or_else(|| cause.downcast_ref()).or_else(|| Self::find(cause.downcast_ref()?))
        })
    }

    /// Takes the error of this crate out of one of the middleware chain.
    ///
    /// # Errors
    /// Gives the other one back if this crate did not make it, if another layer has wrapped it, or if it is that of a request's
    /// timeout: [`find`](Self::find) looks into those.
    pub fn take_from(error: reqwest_middleware::Error) -> Result<Self, reqwest_middleware::Error> {
        match error {
            reqwest_middleware::Error::Middleware(inner) => {
                inner.downcast().map(|Carried(error)| error).or_else(anyhow::Error::downcast).map_err(Into::into)
            }
            reqwest_middleware::Error::Reqwest(_) => Err(error),
        }
    }

    /// The job that it is about, if there is one.
    ///
    /// ```
    /// # use proxq_client::{Error, JobId};
    /// let id = JobId::new();
    /// assert_eq!(Error::JobLost { id }.job_id(), Some(id));
    /// ```
    #[must_use]
    pub fn job_id(&self) -> Option<JobId> {
        match self {
            Self::JobFailed { id, .. }
            | Self::JobLost { id }
            | Self::WaitTimeout { id, .. }
            | Self::Poll { id, .. } => Some(*id),
            Self::Protocol { id, .. } => *id,
            Self::Refused { .. } | Self::Request { .. } => None,
        }
    }

    /// As the chain carries it.
    pub(crate) fn into_middleware(self) -> reqwest_middleware::Error {
        if let Self::Request { source } = self {
            return source;
        }
        let shown = self.to_string();
        reqwest_middleware::Error::Middleware(anyhow::Error::new(Carried(self)).context(shown))
    }

    /// As the chain carries it where a request's own timeout is over: as reqwest tells that, whose errors only reqwest makes.
    pub(crate) async fn into_timeout(self, url: Url) -> reqwest_middleware::Error {
        let broken = BrokenBody(Some(TimedOut { error: self, kind: io::ErrorKind::TimedOut.into() }));
        let mut response = Response::from(http::Response::new(Body::wrap(broken)));
        let error = response.chunk().await.expect_err("the body breaks off before its first byte");
        error.with_url(url).into()
    }
}

/// An error below the text that says it. A wrapper that is transparent shows only what is below its content, so the error has
/// to be there; it is not to be read twice.
#[derive(Debug)]
struct Carried(Error);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in a call through proxq")
    }
}

impl StdError for Carried {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The end of a request's own timeout: what reqwest looks for is below.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct TimedOut {
    error: Error,
    #[source]
    kind: io::Error,
}

/// A body that ends with an error.
struct BrokenBody(Option<TimedOut>);

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = TimedOut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, TimedOut>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

impl From<OwnAnswerError> for Error {
    fn from(error: OwnAnswerError) -> Self {
        match error {
            OwnAnswerError::Broken(error) => Self::Request { source: error.into() },
            OwnAnswerError::TooLong => Self::Protocol { id: None, detail: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(reqwest_middleware::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("after 3 retries")]
    struct Retried(#[source] reqwest_middleware::Error);

    #[test]
    fn an_error_is_found_under_the_errors_of_other_layers() {
        let id = JobId::new();
        let lost = || Error::JobLost { id }.into_middleware();
        let wrapped = [
            lost(),
            reqwest_middleware::Error::middleware(Transparent(lost())),
            reqwest_middleware::Error::middleware(Retried(lost())),
            reqwest_middleware::Error::middleware(Retried(reqwest_middleware::Error::middleware(Transparent(lost())))),
        ];
        for error in wrapped {
            assert_eq!(Error::find(&error).and_then(Error::job_id), Some(id), "{error:?}");
        }
        assert!(Error::find(&reqwest_middleware::Error::Middleware(anyhow::anyhow!("another"))).is_none());
    }

    fn failed() -> Error {
        Error::JobFailed { id: JobId::new(), error: "connection refused".to_owned(), outcome: None }
    }

    #[test]
    fn an_error_names_its_cause_exactly_once() {
        let error = failed().into_middleware();
        assert!(error.to_string().ends_with("failed: connection refused"), "{error}");
        let source = Error::Poll { id: JobId::new(), source: "connection reset".into() }.into_middleware();
        for (error, text) in [(error, "connection refused"), (source, "connection reset")] {
            for shown in [format!("{error:#}"), format!("{:?}", anyhow::Error::new(error))] {
                assert_eq!(shown.matches(text).count(), 1, "{shown}");
            }
        }
    }

    #[test]
    fn an_error_can_be_taken_out_of_its_wrapper() {
        assert!(matches!(Error::take_from(failed().into_middleware()), Ok(Error::JobFailed { .. })));
        let direct = reqwest_middleware::Error::middleware(failed());
        assert!(matches!(Error::take_from(direct), Ok(Error::JobFailed { .. })));
        assert!(Error::take_from(reqwest_middleware::Error::Middleware(anyhow::anyhow!("another"))).is_err());
    }

    #[tokio::test]
    async fn a_requests_timeout_is_an_error_of_reqwests_that_knows_the_job() {
        let id = JobId::new();
        let lost = Error::WaitTimeout { id, waited: Duration::from_secs(3) };
        let error = lost.into_timeout("http://proxq.example/x".parse().unwrap()).await;
        assert!(error.is_timeout() && !error.is_connect() && !error.is_middleware(), "{error:?}");
        assert_eq!(error.url().map(Url::as_str), Some("http://proxq.example/x"));
        assert_eq!(format!("{error:#}").matches(&id.to_string()).count(), 0, "reqwest shows no causes");
        let wrapped = reqwest_middleware::Error::middleware(Transparent(error));
        assert_eq!(Error::find(&wrapped).and_then(Error::job_id), Some(id), "{wrapped:?}");
    }
}
