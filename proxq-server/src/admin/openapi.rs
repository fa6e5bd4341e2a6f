//! The description of the admin API, made from its types and handlers.

use std::sync::LazyLock;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::api;

#[derive(OpenApi)]
#[openapi(
    info(title = "proxq admin API", description = "Every request that changes something needs `Content-Type: application/json` and `X-Proxq-Admin: 1`. \
        With `admin.token`, every request needs it as a bearer token, or as the password of Basic credentials."),
    paths(
        api::overview, api::history, api::queues, api::queue, api::pause, api::resume, api::upstreams, api::jobs, api::job,
        api::retry, api::cancel, api::resubmit, api::failures, api::bulks, api::begin_bulk, api::bulk, api::stop_bulk,
        api::settings
    ),
    tags((name = "state", description = "How the server is doing"), (name = "jobs", description = "What became of jobs"),
        (name = "orders", description = "What changes something")),
    modifiers(&Token)
)]
struct AdminApi;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", bearer);
    }
}

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| AdminApi::openapi().to_pretty_json().expect("the description is always JSON"));

/// The description as JSON.
pub(super) fn document() -> &'static str {
    &DOCUMENT
}
