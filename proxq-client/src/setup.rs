//! What all calls of a [`Proxq`](crate::Proxq) share: its settings, and what it has learned of servers.

use std::sync::Arc;

use proxq_protocol::{JobId, header as proxq};
use reqwest::header::HeaderValue;
use reqwest::{Request, Url};

use crate::address::{Credentials, JobAddress, JobsAt};
use crate::cancel::Canceller;
use crate::options::Settings;
use crate::origins::Origins;
use crate::route::{Route, rewritten};
use crate::submission::{Controls, hold};
use crate::waiting::Deadline;

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
    pub(crate) canceller: Arc<Canceller>,
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
        Controls::put(request, known, settings, hold(settings, deadline))
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
}
