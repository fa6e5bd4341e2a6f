//! What can go wrong between a call and its result.

use std::error::Error as StdError;
use std::time::Duration;

use proxq_protocol::{JobId, Outcome};
use reqwest::StatusCode;

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
        match error {
            reqwest_middleware::Error::Middleware(inner) => inner.downcast_ref().or_else(|| {
                // A transparent wrapper shows its content's source only, which is why there is a `Passing` around it.
                inner.chain().find_map(|cause| {
                    cause.downcast_ref().or_else(|| Self::find(cause.downcast_ref::<reqwest_middleware::Error>()?))
                })
            }),
            reqwest_middleware::Error::Reqwest(_) => None,
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
        reqwest_middleware::Error::Middleware(anyhow::Error::new(self).context(shown))
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
    fn it_is_found_under_what_other_layers_wrap_around_it() {
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

    #[test]
    fn it_says_what_happened_at_once() {
        let error = Error::JobFailed { id: JobId::new(), error: "connection refused".to_owned(), outcome: None };
        assert!(error.into_middleware().to_string().ends_with("failed: connection refused"));
    }
}
