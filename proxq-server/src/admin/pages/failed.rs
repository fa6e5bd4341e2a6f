//! Failed jobs by their errors.

use maud::{Markup, html};

use super::Content;
use super::format::{ago, count, error_line};
use super::orders::{delete_all, retry_all};
use crate::admin::api::store_problem;
use crate::admin::desk::Desk;
use crate::admin::jobs::GROUPED_MAX;
use crate::admin::model::{FailureGroup, Failures, JobFilter};
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
    let filter =
        JobFilter { upstream: Some(group.upstream.clone()), error: Some(group.error.clone()), ..failed_jobs() };
    html! {
        section.card.failure {
            div {
                h2 { a href=(link(group)) { (error_line(&group.error)) } }
                p.detail {
                    strong { (count(group.jobs)) @if group.jobs == 1 { " job" } @else { " jobs" } }
                    " · " code { (group.upstream) }
                    @if let Some(outcome) = group.outcome { " · " (outcome) }
                    @if let Some(latest) = &group.latest { " · latest " (ago(latest, now)) }
                    " · " a href=(format!("/jobs/{}", group.example)) { "latest job" }
                }
            }
            div.actions { (retry_all(&filter, "Retry these")) (delete_all(&filter, "Delete these")) }
        }
    }
}

fn all_actions(failures: &Failures) -> Markup {
    let filter = failed_jobs();
    html! {
        div.actions {
            a.button href="/jobs?state=failed" { "Show " (count(failures.failed)) }
            (retry_all(&filter, "Retry all"))
            (delete_all(&filter, "Delete all"))
        }
    }
}

fn failed_jobs() -> JobFilter {
    JobFilter { state: Some("failed".to_owned()), ..JobFilter::default() }
}

/// The list of a group's jobs.
pub(super) fn link(group: &FailureGroup) -> String {
    format!("/jobs?state=failed&upstream={}&error={}", encode(&group.upstream), encode(&group.error))
}
