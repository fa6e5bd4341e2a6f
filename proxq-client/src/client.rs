//! The explicit API: submits a request now, and asks for its job later or elsewhere.

use std::sync::Arc;

use proxq_protocol::JobId;
use reqwest::{Method, Request};
use reqwest_middleware::ClientWithMiddleware;

use crate::address::{Credentials, JobAddress};
use crate::asking::error_for_refusal;
use crate::call::submitted;
use crate::error::Error;
use crate::job::Job;
use crate::options::{Settings, Travel};
use crate::proxq::Proxq;
use crate::response::is_accepted;
use crate::setup::Setup;
use crate::submission;
use crate::transport::Transport;
use crate::waiting::{Deadline, Manner};

/// Submits requests as jobs and asks for them.
///
/// ```no_run
/// # async fn call() -> Result<(), Box<dyn std::error::Error>> {
/// use proxq_client::{Proxq, ProxqClient};
///
/// let http = reqwest::Client::new();
/// let proxq = Proxq::builder().proxq_url("https://proxq.example.com").build()?;
/// let client = ProxqClient::new(proxq, http.clone());
///
/// let request = http.post("https://proxq.example.com/api/reports").body("2026").build()?;
/// let job = client.submit(request).await?;
/// println!("{} is {:?}", job.id(), job.status().await?.status);
/// let report = job.content().await?.text().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProxqClient {
    setup: Arc<Setup>,
    http: ClientWithMiddleware,
}

impl ProxqClient {
    /// Sends through this client, with these settings. The client must not have a [`Proxq`] among its middleware.
    pub fn new(proxq: Proxq, http: impl Into<ClientWithMiddleware>) -> Self {
        Self { setup: proxq.setup, http: http.into() }
    }

    /// Makes a job of a request. Returns as soon as proxq has stored it.
    ///
    /// A submission whose answer got lost is sent again under the same id, unless its body is a stream. A job is not
    /// cancelled when its [`Job`] is dropped; if this future is dropped, the job may exist or not.
    ///
    /// # Errors
    /// [`Error::Refused`] if proxq refuses it; [`Error::Protocol`] if it was not queued, for instance because of the
    /// upstream's `pathFilter`; [`Error::Request`] if there was no answer.
    pub async fn submit(&self, mut request: Request) -> Result<Job, Error> {
        self.setup.reroute(&mut request);
        let settings = Settings { wait: None, travel: Some(Travel::Queue), ..self.setup.settings.clone() };
        let deadline = Deadline::start(request.timeout().copied(), None);
        let controls = self.setup.put_controls_for_job(&mut request, &settings, deadline);
        let (credentials, method) = (Credentials::of(&request), request.method().clone());
        let mut transport = Transport::Client(&self.http);
        let sent = submission::send(&mut transport, request, controls, deadline).await;
        let answer = sent.map_err(|source| Error::Request { source })?;
        if is_accepted(&answer) {
            let submitted = submitted(&self.setup, answer, controls.proposed, &credentials).await?;
            return Ok(self.job(submitted.address, submitted.manner, method));
        }
        let answer = error_for_refusal(answer).await?;
        let detail = format!("the request was not queued but answered with {}", answer.status());
        Err(Error::Protocol { id: None, detail })
    }

    /// A job that was submitted before, or elsewhere, at this proxq. Asks nothing: the job may be gone.
    ///
    /// ```
    /// # fn attach(http: reqwest::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use proxq_client::{JobId, Proxq, ProxqClient};
    ///
    /// let client = ProxqClient::new(Proxq::builder().jobs_url("https://proxq.example.com/__jobs").build()?, http);
    /// let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse()?;
    /// let job = client.attach(id)?;
    /// assert_eq!(job.id(), id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Protocol`] if the [`Proxq`] was told no server: neither `jobs_url` nor `proxq_url` nor `route`.
    pub fn attach(&self, id: JobId) -> Result<Job, Error> {
        let Some(server) = &self.setup.server else {
            let detail = "no server is known to ask for the job; set jobs_url or proxq_url".to_owned();
            return Err(Error::Protocol { id: Some(id), detail });
        };
        let address = self.setup.address(id, server, None, &Credentials::none());
        Ok(self.job(address, Manner::Held, Method::GET))
    }

    fn job(&self, address: JobAddress, manner: Manner, method: Method) -> Job {
        Job::new(Arc::clone(&self.setup), self.http.clone(), address, manner, method)
    }
}
