//! The handler of clients' requests: what is under `jobsPath` goes to the jobs API, everything else to intake.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Response;

use crate::arrival::Arrival;
use crate::config::Config;
use crate::intake::Intake;
use crate::jobs_api::JobsApi;
use crate::listen::Handler;
use crate::reply::body::Body;

/// The stages that handle requests.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) config: Arc<Config>,
    pub(super) jobs_api: JobsApi,
    pub(super) intake: Intake,
}

impl Handler for Stages {
    fn handle(&self, arrival: Arrival) -> BoxFuture<'_, Option<Response<Body>>> {
        if !self.config.jobs_path.matches(arrival.head.uri.path()) {
            return Box::pin(self.intake.handle(arrival));
        }
        let Arrival { head, body, .. } = arrival;
        Box::pin(async { Some(body.answer_unread(self.jobs_api.handle(head).await)) })
    }
}
