//! Puts the SDK's client on top of a [`proxq_client::Proxq`].

use async_openai::Client;
use async_openai::config::Config;
use async_openai::middleware::HttpRequestFactory;
use proxq_client::Proxq;
use reqwest::Url;
use reqwest_middleware::ClientBuilder;

use crate::calls::Calls;

/// How often the SDK repeats a call, unless it is given a service of one's own.
const MAX_RETRIES: usize = 3;

/// How calls of the SDK go through proxq. Nothing but the base URL has to be set.
///
/// ```
/// use std::time::Duration;
///
/// use proxq_openai::Builder;
/// use proxq_openai::async_openai::config::OpenAIConfig;
/// use proxq_openai::proxq_client::Proxq;
///
/// let http = reqwest::Client::builder().user_agent("my-program/1.0").build()?;
/// let client = Builder::new("https://proxq.example.com/openai")
///     .http_client(http)
///     .proxq(Proxq::builder().max_wait(Duration::from_secs(600)).upstream_timeout(Duration::from_secs(300)))
///     .build(OpenAIConfig::new().with_api_key("sk-…"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it makes nothing until `build`"]
pub struct Builder {
    base_url: String,
    http: Option<reqwest::Client>,
    proxq: proxq_client::Builder,
    max_retries: usize,
}

impl Builder {
    /// Calls go to the proxq at this URL. It may have a path, where proxq's upstream has a `prefix`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), http: None, proxq: Proxq::builder(), max_retries: MAX_RETRIES }
    }

    /// The client that speaks to proxq, with its TLS, proxies, cookies and default headers. By default a plain one.
    ///
    /// A timeout of it is for each of the requests that a call needs, of which one may be held for as long as
    /// [`wait`](proxq_client::Builder::wait) says. To limit the wait for one job there is
    /// [`max_wait`](proxq_client::Builder::max_wait); to limit a whole call, its retries included, drop its future when the
    /// time is up, as `tokio::time::timeout` does: that cancels its job.
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// The options of [`proxq_client`]. Its route to the base URL is added, and its client set.
    pub fn proxq(mut self, options: proxq_client::Builder) -> Self {
        self.proxq = options;
        self
    }

    /// How often a call is repeated after a `429`, a `5xx` or an upstream that could not be connected to: 3 times by default, as
    /// the SDK does on its own.
    pub fn max_retries(mut self, count: usize) -> Self {
        self.max_retries = count;
        self
    }

    /// Makes the SDK's client.
    ///
    /// # Errors
    /// For URLs that are none, options that do not fit, and where TLS cannot be set up.
    pub fn build<C: Config>(self, config: C) -> Result<Client<C>, BuildError> {
        self.build_with_proxq(config).map(|(client, _proxq)| client)
    }

    /// Makes the SDK's client, and gives the [`Proxq`] through which its calls go: to wait with [`Proxq::flush`] until the jobs
    /// of dropped calls are cancelled, before `main` returns.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub fn build_with_proxq<C: Config>(self, config: C) -> Result<(Client<C>, Proxq), BuildError> {
        let http = match self.http {
            Some(client) => client,
            None => reqwest::Client::builder().build().map_err(BuildError::HttpClient)?,
        };
        let proxq = self.proxq.client(http.clone()).route(origin(&config.url("/"))?, self.base_url).build()?;
        let through_proxq = ClientBuilder::new(http.clone()).with(proxq.clone()).build();
        let calls = Calls::new(through_proxq, self.max_retries);
        let service = tower::service_fn(move |request: HttpRequestFactory| calls.clone().make(request));
        Ok((Client::build(http, config).with_http_service(service), proxq))
    }
}

/// Scheme, host and port of a URL of the API.
fn origin(url: &str) -> Result<String, BuildError> {
    let bad = |reason: String| BuildError::Config { url: url.to_owned(), reason };
    let url = Url::parse(url).map_err(|error| bad(error.to_string()))?;
    let origin = url.origin();
    if origin.is_tuple() { Ok(origin.ascii_serialization()) } else { Err(bad("it has no host".to_owned())) }
}

/// Why there is no client with these settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The base URL or another option does not fit.
    #[error(transparent)]
    Proxq(#[from] proxq_client::BuildError),
    /// The SDK's configuration does not say where the API is.
    #[error("the configuration of the SDK leads to {url:?}, which is no URL: {reason}")]
    Config {
        /// Where it leads.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no HTTP client, for want of TLS.
    #[error("make an HTTP client")]
    HttpClient(#[source] reqwest::Error),
}
