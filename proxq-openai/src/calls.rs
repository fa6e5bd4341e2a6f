//! One call of the SDK: requests through proxq, with the SDK's retries around them.
//!
//! A client with a service of its own has lost the SDK's retries. They are put back as they are, by the SDK's own layer,
//! which repeats three things:
//!
//! - an upstream's `429` or `5xx`, as it always did; each time as a new job;
//! - a connection to proxq that failed. The request keeps its id, so that it stays one job even if an earlier try of it has arrived;
//! - a job whose upstream could not be connected to, as a direct call would connect again. The upstream has seen nothing of it, so
//!   there is a new job. The layer is told of it as of a connection that failed, and so is the caller in the end.
//!
//! Any other failure of proxq ends the call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::middleware::retry::OpenAIRetryLayer;
use proxq_client::{Error, JobId, Outcome, error_for_refusal};
use proxq_protocol::header;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Response, Url};
use reqwest_middleware::ClientWithMiddleware;
use tower::{Layer, ServiceExt};

use crate::error::from_proxq;
use crate::unconnected::unconnected;

/// Makes the calls of one client.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    http: ClientWithMiddleware,
    retries: OpenAIRetryLayer,
}

impl Calls {
    /// `http` leads through proxq, whose middleware is its only one.
    pub(crate) fn new(http: ClientWithMiddleware, max_retries: usize) -> Self {
        Self { http, retries: OpenAIRetryLayer::new(max_retries) }
    }

    /// Makes a call; gives the upstream's response.
    pub(crate) async fn make(self, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
        let call = Call { http: self.http, same_job: Arc::default() };
        let attempts = tower::service_fn(move |request| call.clone().attempt(request));
        self.retries.layer(attempts).oneshot(request).await
    }
}

/// A call under way.
#[derive(Clone)]
struct Call {
    http: ClientWithMiddleware,
    /// The id with which the next attempt goes on, after a connection to proxq that failed.
    same_job: Arc<Mutex<Option<JobId>>>,
}

impl Call {
    fn same_job(&self) -> MutexGuard<'_, Option<JobId>> {
        self.same_job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the request once. What it gives is what the SDK's layer is to see.
    async fn attempt(self, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
        let id = self.same_job().take().unwrap_or_else(JobId::new);
        let mut request = request.build().await?;
        let named = HeaderValue::from_str(&id.to_string()).expect("an id is written in ASCII");
        request.headers_mut().entry(HeaderName::from_static(header::JOB_ID)).or_insert(named);
        let asked = request.url().clone();
        let failure = match self.http.execute(request).await {
            Ok(response) => match error_for_refusal(response).await {
                Ok(response) => return Ok(response),
                Err(refusal) => refusal,
            },
            Err(reqwest_middleware::Error::Reqwest(error)) => {
                *self.same_job() = Some(id);
                return Err(OpenAIError::Reqwest(error));
            }
            Err(error) => match Error::take_from(error) {
                Ok(failure) => failure,
                Err(other) => return Err(OpenAIError::Boxed(other.into())),
            },
        };
        Err(if matches!(failure, Error::JobFailed { outcome: Some(Outcome::NotSent), .. }) {
            without_connection(failure, asked).await
        } else {
            from_proxq(failure)
        })
    }
}

/// The error of a call whose upstream could not be connected to.
async fn without_connection(failure: Error, asked: Url) -> OpenAIError {
    let failure = Arc::new(failure);
    match unconnected(Arc::clone(&failure), asked).await {
        Some(error) => OpenAIError::Reqwest(error),
        // How the call ends must not depend on whether the system lets a client be made.
        None => Arc::into_inner(failure)
            .map_or_else(|| OpenAIError::Boxed("no connection to the upstream".into()), from_proxq),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use async_trait::async_trait;
    use reqwest::{Method, Request, StatusCode};
    use reqwest_middleware::{ClientBuilder, Middleware, Next};

    use super::*;
    use crate::error::proxq_error;

    /// Stands where proxq's middleware does: keeps the id of every request, and does one thing with all of them.
    struct Recorder {
        ids: Arc<Mutex<Vec<String>>>,
        end: fn() -> End,
    }

    enum End {
        Send,
        Answer(StatusCode),
        Fail(Error),
    }

    #[async_trait]
    impl Middleware for Recorder {
        async fn handle(
            &self,
            request: Request,
            extensions: &mut http::Extensions,
            next: Next<'_>,
        ) -> reqwest_middleware::Result<Response> {
            let id = request.headers()[header::JOB_ID].to_str().unwrap().to_owned();
            self.ids.lock().unwrap().push(id);
            match (self.end)() {
                End::Send => next.run(request, extensions).await,
                End::Answer(status) => Ok(http::Response::builder().status(status).body("").unwrap().into()),
                End::Fail(error) => Err(reqwest_middleware::Error::middleware(error)),
            }
        }
    }

    fn failed(outcome: Option<Outcome>) -> End {
        End::Fail(Error::JobFailed { id: JobId::new(), error: "connection refused".to_owned(), outcome })
    }

    /// Makes a call for a URL at which nobody listens. Gives its result, how often it was tried and under how many ids.
    async fn call(end: fn() -> End) -> (Result<Response, OpenAIError>, usize, usize) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        drop(socket);
        let ids = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder { ids: Arc::clone(&ids), end };
        let http = ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap()).with(recorder).build();
        let request = HttpRequestFactory::new(move || {
            let request = Request::new(Method::POST, url.parse().unwrap());
            async { Ok(request) }
        });
        let result = Calls::new(http, 2).make(request).await;
        let ids = ids.lock().unwrap();
        (result, ids.len(), ids.iter().collect::<HashSet<_>>().len())
    }

    #[tokio::test]
    async fn a_connection_that_fails_is_tried_again_for_the_same_job() {
        let (result, tries, ids) = call(|| End::Send).await;
        assert!(matches!(&result, Err(OpenAIError::Reqwest(error)) if error.is_connect()), "{result:?}");
        assert_eq!((tries, ids), (3, 1));
    }

    #[tokio::test]
    async fn an_answer_that_may_be_repeated_makes_new_jobs() {
        let (result, tries, ids) = call(|| End::Answer(StatusCode::BAD_GATEWAY)).await;
        assert_eq!(result.unwrap().status(), StatusCode::BAD_GATEWAY);
        assert_eq!((tries, ids), (3, 3));
    }

    #[tokio::test]
    async fn requests_that_were_not_sent_make_new_jobs_and_end_as_connection_errors() {
        let (result, tries, ids) = call(|| failed(Some(Outcome::NotSent))).await;
        assert!(matches!(&result, Err(OpenAIError::Reqwest(error)) if error.is_connect()), "{result:?}");
        assert!(matches!(proxq_error(&result.unwrap_err()), Some(Error::JobFailed { .. })));
        assert_eq!((tries, ids), (3, 3));
    }

    #[tokio::test]
    async fn every_other_failure_ends_the_call() {
        let ends: [fn() -> End; 4] = [
            || End::Fail(Error::JobLost { id: JobId::new() }),
            || End::Fail(Error::Poll { id: JobId::new(), source: "gone".into() }),
            || failed(Some(Outcome::Indeterminate)),
            || failed(None),
        ];
        for end in ends {
            let (result, tries, _) = call(end).await;
            assert!(proxq_error(&result.unwrap_err()).is_some());
            assert_eq!(tries, 1);
        }
    }
}
