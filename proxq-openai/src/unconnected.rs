//! An upstream that could not be connected to, told as reqwest tells it of a connection of its own.
//!
//! Programs look for the SDK's `OpenAIError::Reqwest` with `is_connect`, and so do the SDK's retries. Such an error cannot be made up,
//! but it can be had: from a client that fails to connect, for a reason of ours.

use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use proxq_client::Error;
use reqwest::Url;
use tower::{BoxError, Layer, Service};

/// The error of a request for `url` that was never sent, with the failure among its causes. `None` on a system that lets no
/// client be made.
pub(crate) async fn unconnected(failure: Arc<Error>, url: Url) -> Option<reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().connector_layer(Failing(failure)).build().ok()?;
    client.get(url).send().await.err().filter(reqwest::Error::is_connect)
}

/// The failure, out of an error that [`unconnected`] made.
pub(crate) fn cause_of(error: &reqwest::Error) -> Option<&Error> {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref::<Arc<Error>>()).map(Arc::as_ref)
}

/// Lets every connection fail before it is begun.
#[derive(Clone)]
struct Failing(Arc<Error>);

impl<S> Layer<S> for Failing {
    type Service = FailingConnector<S>;

    fn layer(&self, _connector: S) -> Self::Service {
        FailingConnector { cause: Arc::clone(&self.0), _in_place_of: PhantomData }
    }
}

/// Stands in the place of a connector.
struct FailingConnector<S> {
    cause: Arc<Error>,
    _in_place_of: PhantomData<fn() -> S>,
}

impl<S> Clone for FailingConnector<S> {
    fn clone(&self) -> Self {
        Self { cause: Arc::clone(&self.cause), _in_place_of: PhantomData }
    }
}

impl<S: Service<R>, R> Service<R> for FailingConnector<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = Ready<Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: R) -> Self::Future {
        ready(Err(Box::new(Arc::clone(&self.cause))))
    }
}

#[cfg(test)]
mod tests {
    use proxq_client::{JobId, Outcome};

    use super::*;

    #[tokio::test]
    async fn a_request_that_was_not_sent_ends_as_a_connection_error() {
        let id = JobId::new();
        let outcome = Some(Outcome::NotSent);
        let url = "https://api.openai.com/v1/chat/completions";
        for url in [url, "http://127.0.0.1:1/v1"] {
            let failure = Error::JobFailed { id, error: "connection refused".to_owned(), outcome };
            let error = &unconnected(Arc::new(failure), url.parse().unwrap()).await.unwrap();
            assert!(error.is_connect() && error.is_request() && !error.is_timeout(), "{error:?}");
            assert_eq!(error.url().map(Url::as_str), Some(url));
            assert_eq!(cause_of(error).and_then(Error::job_id), Some(id));
        }
    }
}
