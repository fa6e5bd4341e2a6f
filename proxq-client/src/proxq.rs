//! The middleware, and what all of its calls share.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use http::Extensions;
use proxq_protocol::{JobId, header as proxq};
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Middleware, Next};

use crate::address::{Credentials, JobAddress, JobsAt};
use crate::builder::Builder;
use crate::call::{self, submission_hold};
use crate::cancel::Cancellations;
use crate::options::{ProxqOptions, Settings};
use crate::origins::Origins;
use crate::route::{Route, rewritten};
use crate::submission::Controls;
use crate::transport::Transport;
use crate::waiting::Deadline;

/// A middleware that makes a queued call look like a direct one. Clones share what they know of servers.
///
/// ```no_run
/// # async fn call(body: String) -> reqwest_middleware::Result<()> {
/// let http = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(proxq_client::Proxq::new()) // the one line
///     .build();
/// let response = http.post("https://proxq.example.com/api/reports").body(body).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Proxq {
    pub(crate) setup: Arc<Setup>,
}

/// What was set, and what was learned.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) origins: Origins,
    pub(crate) routes: Vec<Route>,
    pub(crate) jobs_at: JobsAt,
    /// The first server that was named.
    pub(crate) server: Option<Url>,
    pub(crate) token: Option<HeaderValue>,
    pub(crate) client: CancelClient,
    pub(crate) cancellations: Cancellations,
}

/// The client that cancels jobs.
#[derive(Debug, Default)]
pub(crate) struct CancelClient {
    given: Option<reqwest::Client>,
    made: OnceLock<Option<reqwest::Client>>,
}

impl CancelClient {
    pub(crate) fn by(given: Option<reqwest::Client>) -> Self {
        Self { given, made: OnceLock::new() }
    }
}

impl Proxq {
    /// With every default: finds out by itself which servers are a proxq.
    ///
    /// # Panics
    /// Never: nothing that is set by default can be wrong.
    #[must_use]
    pub fn new() -> Self {
        Builder::default().build().expect("nothing that is set by default can be wrong")
    }

    /// With settings of your own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Waits until the jobs of dropped calls are cancelled: those of this `Proxq` and its clones.
    ///
    /// A call that is dropped leaves a task behind, which cancels its job. The task ends with its runtime: before `main`
    /// returns, and wherever a runtime is dropped, wait for it. That takes 21 s at most, of a server that does not answer.
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let proxq = proxq_client::Proxq::new();
    /// let http = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(proxq.clone()).build();
    /// let call = http.get("https://proxq.example.com/api/reports").send();
    /// if tokio::time::timeout(Duration::from_secs(3), call).await.is_err() {
    ///     println!("too slow"); // the call is dropped
    /// }
    /// proxq.flush().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) {
        self.setup.cancellations.ended().await;
    }
}

impl Default for Proxq {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Setup> for Proxq {
    fn from(setup: Setup) -> Self {
        Self { setup: Arc::new(setup) }
    }
}

impl Setup {
    /// Sends a request elsewhere if a route says so.
    pub(crate) fn reroute(&self, request: &mut Request) {
        if let Some(target) = rewritten(&self.routes, request.url()) {
            *request.url_mut() = target;
        }
    }

    /// Puts the controls on a request for which there is to be a job, so that its server has to be a proxq.
    pub(crate) fn put_controls_for_job(
        &self,
        request: &mut Request,
        settings: &Settings,
        deadline: Deadline,
    ) -> Controls {
        self.origins.learn(request.url());
        self.put_controls(request, settings, deadline)
    }

    pub(crate) fn put_controls(&self, request: &mut Request, settings: &Settings, deadline: Deadline) -> Controls {
        if let Some(token) = self.token_for(request.url()) {
            request.headers_mut().entry(proxq::TOKEN).or_insert(token);
        }
        let known = self.origins.is_known(request.url());
        Controls::put(request, known, settings, submission_hold(settings, deadline))
    }

    pub(crate) fn address(
        &self,
        id: JobId,
        answered: &Url,
        location: Option<&HeaderValue>,
        credentials: &Credentials,
    ) -> JobAddress {
        let mut address = JobAddress::new(id, &self.jobs_at, answered, location, credentials);
        if let Some(token) = self.token_for(address.url()) {
            address.show_token(token);
        }
        address
    }

    /// A server that only says itself that it is a proxq is not shown the token.
    fn token_for(&self, url: &Url) -> Option<HeaderValue> {
        self.token.clone().filter(|_| self.origins.is_configured(url))
    }

    /// `None` where the system does not let one be made.
    pub(crate) fn cancelling_client(&self) -> Option<&reqwest::Client> {
        // proxq answers a cancellation itself, so there is nothing to follow, and nowhere for a token to be taken to.
        let plain = || reqwest::Client::builder().redirect(Policy::none()).build().ok();
        let made = || self.client.made.get_or_init(plain).as_ref();
        self.client.given.as_ref().or_else(made)
    }
}

#[async_trait]
impl Middleware for Proxq {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let settings = match extensions.get::<ProxqOptions>() {
            Some(options) => self.setup.settings.with(options),
            None => self.setup.settings.clone(),
        };
        call::run(&self.setup, settings, request, Transport::Chain { next, extensions }).await
    }
}
