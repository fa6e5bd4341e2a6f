//! Puts a [`Proxq`] together.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::address::JobsAt;
use crate::cancel::Canceller;
use crate::event::{Event, Listener};
use crate::options::Settings;
use crate::origins::Origins;
use crate::proxq::Proxq;
use crate::route::Route;
use crate::setup::Setup;

/// The server's default for `jobsPath`.
const JOBS_PATH: &str = "/__jobs";

/// How a [`Proxq`] behaves. Nothing has to be set.
///
/// ```
/// use std::time::Duration;
///
/// use proxq_client::Proxq;
///
/// let proxq = Proxq::builder()
///     .proxq_url("https://proxq.example.com")
///     .max_wait(Duration::from_secs(600))
///     .cancel_on_drop(false)
///     .build()?;
/// # Ok::<(), proxq_client::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it makes nothing until `build`"]
pub struct Builder {
    settings: Settings,
    proxq_urls: Vec<String>,
    routes: Vec<(String, String)>,
    jobs_path: Option<String>,
    jobs_url: Option<String>,
    token: Option<String>,
    client: Option<reqwest::Client>,
}

impl Builder {
    /// The longest pause between two looks at a job of a server that cannot be waited at: 500 ms by default. The first
    /// looks come sooner.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// How long a call may take at most, until its result begins to come; then it ends with
    /// [`Error::WaitTimeout`](crate::Error::WaitTimeout). By default there is no such limit.
    ///
    /// A [`timeout`](reqwest_middleware::RequestBuilder::timeout) of the request does the same for one call, and bounds the
    /// result's body, too. Its end is an error for which `is_timeout` holds, in which [`Error::find`](crate::Error::find) finds
    /// the job.
    pub fn max_wait(mut self, limit: Duration) -> Self {
        self.settings.max_wait = Some(limit);
        self
    }

    /// How long a job may be out of reach before its call ends with [`Error::Poll`](crate::Error::Poll): 60 s by default.
    pub fn max_outage(mut self, limit: Duration) -> Self {
        self.settings.max_outage = limit;
        self
    }

    /// How long the upstream may take for each attempt, sent as `X-Proxq-Timeout`; by default as long as the server says.
    pub fn upstream_timeout(mut self, limit: Duration) -> Self {
        self.settings.upstream_timeout = Some(limit);
        self
    }

    /// How long the server is asked to hold an answer until its job has ended: 20 s by default. `None` for not at all;
    /// then jobs are looked at every [`poll_interval`](Self::poll_interval).
    pub fn wait(mut self, wait: Option<Duration>) -> Self {
        self.settings.wait = wait.filter(|wait| !wait.is_zero());
        self
    }

    /// Whether a job is cancelled when the future of its call is dropped, as a direct call would be: yes by default.
    ///
    /// A task does it on the runtime of whoever drops the future; where there is none, nothing is cancelled. The task ends with
    /// the runtime: [`Proxq::flush`] waits for it. It uses the client of [`client`](Self::client).
    pub fn cancel_on_drop(mut self, cancel: bool) -> Self {
        self.settings.cancel_on_drop = cancel;
        self
    }

    /// The client that cancels jobs of dropped calls. By default a plain `reqwest::Client`.
    ///
    /// Give a clone of the one below the middleware where that one has something which its server demands, such as a
    /// private certificate authority or a proxy: a middleware cannot use it on its own after the call is gone.
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// A URL whose origin is a proxq. Its first call needs no second round trip to find that out, and can be cancelled before it is
    /// answered. May be called for several.
    pub fn proxq_url(mut self, url: impl Into<String>) -> Self {
        self.proxq_urls.push(url.into());
        self
    }

    /// Sends requests for URLs under `from` to the same place under `to`, which is a proxq.
    ///
    /// With `route("https://api.example.com/v1", "https://proxq.example.com/api")` a request for
    /// `https://api.example.com/v1/reports?year=2026` goes to `https://proxq.example.com/api/reports?year=2026`. Its response
    /// has the URL that was asked for. May be called for several; the longest path wins.
    pub fn route(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.routes.push((from.into(), to.into()));
        self
    }

    /// The server's `jobsPath`, for servers of the original API that do not name it in their answers: `/__jobs` by default.
    pub fn jobs_path(mut self, path: impl Into<String>) -> Self {
        self.jobs_path = Some(path.into());
        self
    }

    /// Where the jobs API is, wherever the answers say. Where its origin is not that of the request, the request's
    /// credentials are not sent there.
    pub fn jobs_url(mut self, url: impl Into<String>) -> Self {
        self.jobs_url = Some(url.into());
        self
    }

    /// The access token of a server with `auth`, sent as `X-Proxq-Token` to the origins that [`proxq_url`](Self::proxq_url),
    /// [`route`](Self::route) and [`jobs_url`](Self::jobs_url) name, and to no others.
    ///
    /// A `reqwest::Client` that follows a redirect to another origin drops the well-known credentials only. A job's redirect is
    /// therefore followed without the token where it leads to another origin. **The redirect of a request that bypasses the
    /// queue** is not seen by a middleware, and takes the token along. Where an upstream is not trusted with it, give the client
    /// below the middleware a policy that follows none, or none to elsewhere; the caller then gets the redirect as the response:
    ///
    /// ```
    /// use reqwest::redirect::Policy;
    ///
    /// let stay = Policy::custom(|attempt| {
    ///     let is_here = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
    ///     if is_here { Policy::default().redirect(attempt) } else { attempt.stop() }
    /// });
    /// let http = reqwest::Client::builder().redirect(stay).build()?;
    /// # Ok::<(), reqwest::Error>(())
    /// ```
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Tells of what happens to calls that become jobs. Runs in the call, which waits for it: it should not block.
    ///
    /// Submissions are not held then, so that [`Event::Submitted`] and the first [`Event::Waiting`] come at once: a job that ends
    /// quickly costs more round trips than without a listener.
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.settings.listener = Some(Listener::new(listener));
        self
    }

    /// Checks what was set.
    ///
    /// # Errors
    /// For a URL or a path that is none, a token that cannot be in a header, and a token without a URL to send it to.
    pub fn build(self) -> Result<Proxq, BuildError> {
        let routes = self.routes.iter().map(|(from, to)| Ok(Route::new(parse(from)?, parse(to)?)));
        let routes = routes.collect::<Result<Vec<_>, BuildError>>()?;
        let jobs_at = match (&self.jobs_url, self.jobs_path) {
            (Some(url), _) => JobsAt::Url(parse(url)?),
            (None, None) => JobsAt::Path(JOBS_PATH.to_owned()),
            (None, Some(path)) if path.starts_with('/') => JobsAt::Path(path.trim_end_matches('/').to_owned()),
            (None, Some(path)) => return Err(BuildError::JobsPath { path }),
        };
        let mut proxies: Vec<Url> = routes.iter().map(|route| route.to().clone()).collect();
        for url in &self.proxq_urls {
            proxies.push(parse(url)?);
        }
        if let JobsAt::Url(url) = &jobs_at {
            proxies.push(url.clone());
        }
        let token = self.token.as_deref().map(secret).transpose()?;
        if token.is_some() && proxies.is_empty() {
            return Err(BuildError::TokenForNobody);
        }
        Ok(Proxq::from(Setup {
            settings: self.settings,
            server: proxies.first().cloned(),
            origins: Origins::configured(proxies),
            routes,
            jobs_at,
            token,
            canceller: Arc::new(Canceller::by(self.client)),
        }))
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
}

impl Default for Proxq {
    fn default() -> Self {
        Self::new()
    }
}

fn parse(text: &str) -> Result<Url, BuildError> {
    let bad = |reason: String| BuildError::Url { url: text.to_owned(), reason };
    let url: Url = text.parse().map_err(|error: url::ParseError| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(bad(format!("its scheme is {other}; write http or https"))),
    }
}

fn secret(token: &str) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::from_str(token).map_err(|_| BuildError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why there is no [`Proxq`] with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A URL is none, or cannot be that of a proxq.
    #[error("{url:?} is no URL of a proxq: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The path of the jobs API is none.
    #[error("the path of the jobs API is {path:?}; it must begin with a slash, such as /__jobs")]
    JobsPath {
        /// As it was given.
        path: String,
    },
    /// The token has characters that no header can carry. It is not shown.
    #[error("the token has characters that no header can carry")]
    Token,
    /// A token was set, and nothing says who may see it.
    #[error("a token is only sent to servers that were named; set proxq_url, route or jobs_url, too")]
    TokenForNobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused_with_their_reason() {
        let refused = |builder: Builder| builder.build().unwrap_err().to_string();
        assert!(refused(Proxq::builder().proxq_url("proxq.example.com")).contains("no URL of a proxq"));
        assert!(refused(Proxq::builder().jobs_url("unix:/run/proxq")).contains("http or https"));
        assert!(refused(Proxq::builder().route("http://a", "b")).contains("\"b\""));
        assert!(refused(Proxq::builder().jobs_path("jobs")).contains("begin with a slash"));
        assert!(refused(Proxq::builder().token("t")).contains("proxq_url"));
        let odd = refused(Proxq::builder().proxq_url("http://p").token("se\ncret"));
        assert!(!odd.contains("cret"), "{odd}");
    }
}
