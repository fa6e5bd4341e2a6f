//! Failed jobs by their errors.

use maud::{Markup, html};
use serde_json::json;

use super::Content;
use super::format::{ago, count};
use super::layout::Order;
use crate::admin::api::store_problem;
use crate::admin::desk::Desk;
use crate::admin::jobs::GROUPED_MAX;
use crate::admin::model::{FailureGroup, Failures};
use crate::admin::query::encode;

pub(super) async fn content(desk: &Desk) -> Content {
    let failures = match desk.failures(GROUPED_MAX).await {
        Ok(failures) => failures,
        Err(error) => return super::refused("Failed jobs", &store_problem(&error)),
    };
    let now = desk.clock.wall();
    let live = html! {
        div.page-head {
            h1 { "Failed jobs" }
            @if failures.failed > 0 { (all_actions(&failures)) }
        }
        @if failures.groups.is_empty() {
            div.card { p.empty { "No job has failed. Nice." } }
        } @else {
            p.detail {
                (count(failures.failed)) " failed. "
                @if failures.looked_at < failures.failed { "Grouped are the latest " (count(failures.looked_at)) "." }
            }
            @for group in &failures.groups { (card(group, now)) }
        }
        (super::jobs::bulks(desk, now))
    };
    Content::new("Failed jobs", live)
}

fn card(group: &FailureGroup, now: crate::clock::Timestamp) -> Markup {
    let filter = json!({ "state": "failed", "upstream": group.upstream, "error": group.error });
    html! {
        section.card.failure {
            div {
                h2 { a href=(link(group)) { (shown(&group.error)) } }
                p.detail {
                    strong { (count(group.jobs)) @if group.jobs == 1 { " job" } @else { " jobs" } }
                    " · " code { (group.upstream) }
                    @if let Some(outcome) = group.outcome { " · " (outcome) }
                    @if let Some(latest) = &group.latest { " · latest " (ago(latest, now)) }
                    " · " a href=(format!("/jobs/{}", group.example)) { "latest job" }
                }
            }
            div.actions { (super::jobs::retry_all(&filter, "Retry these")) (super::jobs::delete_all(&filter, "Delete these")) }
        }
    }
}

fn all_actions(failures: &Failures) -> Markup {
    let filter = json!({ "state": "failed" });
    html! {
        div.actions {
            a.button href="/jobs?state=failed" { "Show " (count(failures.failed)) }
            (super::jobs::retry_all(&filter, "Retry all"))
            (super::jobs::delete_all(&filter, "Delete all"))
        }
    }
}

/// The list of a group's jobs.
pub(super) fn link(group: &FailureGroup) -> String {
    format!("/jobs?state=failed&upstream={}&error={}", encode(&group.upstream), encode(&group.error))
}

/// An error in one line.
pub(super) fn shown(error: &str) -> String {
    const SHOWN: usize = 160;
    match error.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None if error.is_empty() => "no error is known".to_owned(),
        None => error.to_owned(),
    }
}

/// A bulk action's button.
pub(super) fn bulk_order<'a>(
    label: &'a str,
    class: &'a str,
    body: &serde_json::Value,
    (title, text): (&'a str, &str),
    check: Option<(&'a str, &'a str)>,
) -> Markup {
    Order {
        label,
        class,
        url: "/api/v1/bulk".to_owned(),
        body: body.to_string(),
        title,
        text: text.to_owned(),
        check,
        counts: true,
    }
    .button()
}
