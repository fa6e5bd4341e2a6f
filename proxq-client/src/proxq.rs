//! The middleware.

use std::sync::Arc;

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use crate::call;
use crate::options::ProxqOptions;
use crate::setup::Setup;
use crate::transport::Transport;

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

impl Proxq {
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
        self.setup.canceller.ended().await;
    }
}

impl From<Setup> for Proxq {
    fn from(setup: Setup) -> Self {
        Self { setup: Arc::new(setup) }
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
