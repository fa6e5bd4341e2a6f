//! The dashboard: pages that are complete as they are sent, and that a small script keeps up to date.

mod failed;
mod format;
mod job;
mod jobs;
mod layout;
mod orders;
mod overview;
mod plot;
mod settings;
mod upstreams;

use http::{Response, StatusCode};
use maud::Markup;

use self::layout::{document, problem};
use super::call::Page;
use super::desk::Desk;
use crate::reply;
use crate::reply::body::Body;

/// The part of a page that changes, and its title.
pub(super) struct Content {
    title: String,
    pub(super) live: Markup,
    /// What stands above it and does not change by itself: the form of the filter.
    fixed: Option<Markup>,
    status: StatusCode,
}

impl Content {
    fn new(title: impl Into<String>, live: Markup) -> Self {
        Self { title: title.into(), live, fixed: None, status: StatusCode::OK }
    }
}

/// A whole page.
pub(super) async fn page(desk: &Desk, page: Page, query: &str) -> Response<Body> {
    let content = content(desk, page, query).await;
    let status = content.status;
    reply::html(status, document(desk, page, query, content).into_string())
}

/// What a page shows.
pub(super) async fn content(desk: &Desk, page: Page, query: &str) -> Content {
    match page {
        Page::Overview => overview::content(desk).await,
        Page::Upstreams => upstreams::content(desk).await,
        Page::Jobs => jobs::content(desk, query).await,
        Page::Job(id) => job::content(desk, id).await,
        Page::Failed => failed::content(desk).await,
        Page::Settings => settings::content(desk),
    }
}

/// What a page shows in place of what cannot be shown.
fn refused(title: &str, refusal: &reply::Problem) -> Content {
    Content { status: refusal.status(), ..Content::new(title, problem(refusal.detail())) }
}
