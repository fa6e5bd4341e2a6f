//! One job, to ask for and to act on.

use std::sync::Arc;

use proxq_protocol::{JobId, JobInfo};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Request, Response, StatusCode};
use reqwest_middleware::ClientWithMiddleware;

use crate::address::JobAddress;
use crate::asking::{self, Refusal, Trouble};
use crate::error::Error;
use crate::job_events::JobEvents;
use crate::response::{deliver, is_own};
use crate::setup::Setup;
use crate::transport::Transport;
use crate::waiting::{Deadline, Ended, Manner, Redirects, Waiting};

/// A job of a [`ProxqClient`](crate::ProxqClient). Cloning and dropping it changes nothing at the server.
#[derive(Clone, Debug)]
pub struct Job {
    setup: Arc<Setup>,
    http: ClientWithMiddleware,
    address: JobAddress,
    manner: Manner,
    method: Method,
}

impl Job {
    pub(crate) fn new(
        setup: Arc<Setup>,
        http: ClientWithMiddleware,
        address: JobAddress,
        manner: Manner,
        method: Method,
    ) -> Self {
        Self { setup, http, address, manner, method }
    }

    /// Its id: all that is needed to [`attach`](crate::ProxqClient::attach) to it later.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.address.id()
    }

    /// Where it stands now.
    ///
    /// # Errors
    /// [`Error::JobLost`] if it is gone, [`Error::Poll`] if there was no answer.
    pub async fn status(&self) -> Result<JobInfo, Error> {
        let status = asking::status(&mut self.transport(), &self.address, None).await;
        match status {
            Ok(info) => info.ok_or(Error::JobLost { id: self.id() }),
            Err(Trouble::Passing { error, .. }) => Err(Error::Poll { id: self.id(), source: error }),
            Err(Trouble::Permanent(error)) => Err(error),
        }
    }

    /// Waits until it has ended, whether with a response or without. Outlives restarts of the server.
    ///
    /// # Errors
    /// [`Error::JobLost`], [`Error::Poll`] after `max_outage`, [`Error::WaitTimeout`] after `max_wait`.
    pub async fn wait(&self) -> Result<JobInfo, Error> {
        self.waiting(&mut self.transport()).status().await
    }

    /// Waits for the upstream's response, whose body is streamed.
    ///
    /// # Errors
    /// [`Error::JobFailed`] if there is none, and those of [`wait`](Self::wait).
    pub async fn content(&self) -> Result<Response, Error> {
        match self.waiting(&mut self.transport()).response().await? {
            Ended::Response(response) => Ok(deliver(response, None, self.id())),
            Ended::Redirect(_) => {
                let detail = "the server reports a redirect, though nobody has asked it to".to_owned();
                Err(Error::Protocol { id: Some(self.id()), detail })
            }
            Ended::AnotherJob(response) => {
                let detail = format!("the result is a redirect to {}, which is a job of its own", response.url());
                Err(Error::Protocol { id: Some(self.id()), detail })
            }
        }
    }

    /// Removes it: aborts what runs, deletes what is stored.
    ///
    /// # Errors
    /// [`Error::JobLost`] if it is gone already.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.ask(self.address.request(Method::DELETE)).await.map(drop)
    }

    /// Queues it again after it has failed.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NOT_FAILED`, or `MAY_DUPLICATE` if the upstream may have seen the request already:
    /// see [`retry_may_duplicate`](Self::retry_may_duplicate).
    pub async fn retry(&self) -> Result<(), Error> {
        self.ask(self.address.request_below(Method::POST, "retry")).await.map(drop)
    }

    /// The same, also where the upstream may see the request for a second time.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NOT_FAILED`.
    pub async fn retry_may_duplicate(&self) -> Result<(), Error> {
        let mut request = self.address.request_below(Method::POST, "retry");
        request.url_mut().query_pairs_mut().append_pair("confirm", "may-duplicate");
        self.ask(request).await.map(drop)
    }

    /// Follows its changes as they happen, to its end.
    ///
    /// # Errors
    /// [`Error::JobLost`] if it is gone.
    pub async fn events(&self) -> Result<JobEvents, Error> {
        let mut request = self.address.request_below(Method::GET, "events");
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        Ok(JobEvents::new(self.id(), self.ask(request).await?))
    }

    fn transport(&self) -> Transport<'_> {
        Transport::Client(&self.http)
    }

    fn waiting<'w, 't>(&'w self, transport: &'w mut Transport<'t>) -> Waiting<'w, 't> {
        let settings = &self.setup.settings;
        let deadline = Deadline::start(None, settings.max_wait);
        Waiting {
            transport,
            address: &self.address,
            settings,
            deadline,
            manner: self.manner,
            redirects: Redirects::Follow,
            method: &self.method,
        }
    }

    /// Sends a request about the job, to which proxq itself answers.
    async fn ask(&self, request: Request) -> Result<Response, Error> {
        let answer = self.transport().send(request).await.map_err(|source| Error::Request { source })?;
        if !is_own(&answer) {
            let detail = format!("{} without X-Proxq-Source from {}", answer.status(), self.address.url());
            return Err(Error::Protocol { id: Some(self.id()), detail });
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Error::JobLost { id: self.id() });
        }
        Err(Refusal::read(answer).await.map_or_else(Error::from, Refusal::into_error))
    }
}
