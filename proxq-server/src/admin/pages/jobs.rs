//! The list of jobs, with its filter.

use maud::{Markup, html};

use super::Content;
use super::format::{ago, count, error_line, short_id};
use super::layout::{problem, state_mark, store_problem};
use super::orders::{cancel_all, delete_all, retry_all};
use crate::admin::desk::Desk;
use crate::admin::model::{Bulk, Counts, JobFilter, JobPage, JobSummary};
use crate::admin::query::JobsQuery;
use crate::clock::Timestamp;
use crate::store::JobOrder;

/// How many orders are shown.
const BULKS_SHOWN: usize = 3;

pub(super) async fn content(desk: &Desk, query: &str) -> Content {
    let asked = match JobsQuery::read(query) {
        Ok(asked) => asked,
        Err(refusal) => return super::refused("Jobs", &refusal),
    };
    let (standing, page) = tokio::join!(desk.standing(), desk.job_page(&asked));
    let now = desk.clock.wall();
    let upstreams: Vec<_> = desk.config.upstreams.iter().map(|upstream| upstream.prefix.to_string()).collect();
    let counts =
        standing.queues.iter().filter(|queue| asked.filter.queue.as_ref().is_none_or(|wanted| *wanted == queue.name));
    let counts = counts.fold(Counts::default(), |sum, queue| sum.plus(queue.jobs));
    let fixed = html! {
        div.page-head { h1 { "Jobs" } }
        (form(&asked, &upstreams))
    };
    let live = html! {
        @if let Some(problem) = &standing.problem { (store_problem(problem)) }
        (tabs(&asked, counts))
        @match &page {
            Ok(page) => {
                (actions(&asked))
                (table(page, &asked, now))
                (pager(page, &asked))
            }
            Err(refusal) => { @if standing.problem.is_none() { (problem(refusal.detail())) } }
        }
        (bulks(desk, now))
    };
    let status = page.as_ref().map_or_else(crate::reply::Problem::status, |_| http::StatusCode::OK);
    Content { fixed: Some(fixed), status, ..Content::new("Jobs", live) }
}

/// The filter as a form whose fields are in the address.
fn form(asked: &JobsQuery, upstreams: &[String]) -> Markup {
    let filter = &asked.filter;
    let text = |name: &str, label: &str, value: &Option<String>, hint: &str| {
        html! {
            label.field { span { (label) }
                input type="text" name=(name) value=[value.as_ref()] placeholder=(hint) autocomplete="off" spellcheck="false";
            }
        }
    };
    html! {
        form.filter action="/jobs" aria-label="Filter" {
            @if let Some(state) = &filter.state { input type="hidden" name="state" value=(state); }
            @if let Some(queue) = &filter.queue { input type="hidden" name="queue" value=(queue); }
            label.field { span { "Upstream" }
                select name="upstream" {
                    option value="" { "any" }
                    @for prefix in upstreams { option value=(prefix) selected[filter.upstream.as_ref() == Some(prefix)] { (prefix) } }
                    @if let Some(other) = filter.upstream.as_ref().filter(|other| !upstreams.contains(other)) { option value=(other) selected { (other) } }
                }
            }
            (text("method", "Method", &filter.method, "any"))
            (text("path", "Path begins with", &filter.path, "/api"))
            (text("status", "Status", &filter.status, "5xx"))
            label.field { span { "Outcome" }
                select name="outcome" {
                    option value="" { "any" }
                    @for outcome in ["responded", "not_sent", "indeterminate"] { option value=(outcome) selected[filter.outcome.as_deref() == Some(outcome)] { (outcome) } }
                }
            }
            (text("error", "Error has", &filter.error, "refused"))
            (text("olderThan", "Older than", &filter.older_than, "10m"))
            (text("newerThan", "Newer than", &filter.newer_than, "24h"))
            label.field { span { "Order" }
                select name="order" {
                    option value="" { "newest first" }
                    option value="oldest" selected[asked.order == JobOrder::OldestFirst] { "oldest first" }
                }
            }
            div.field.buttons {
                button.primary { "Filter" }
                a.button href=(with_state(&JobsQuery::default(), filter.state.as_deref())) { "Clear" }
            }
        }
    }
}

fn with_state(asked: &JobsQuery, state: Option<&str>) -> String {
    let filter = JobFilter { state: state.map(ToOwned::to_owned), ..asked.filter.clone() };
    link(&JobsQuery { filter, ..asked.clone() }, None)
}

fn link(asked: &JobsQuery, cursor: Option<&str>) -> String {
    let query = asked.write(cursor);
    if query.is_empty() { "/jobs".to_owned() } else { format!("/jobs?{query}") }
}

fn tabs(asked: &JobsQuery, counts: Counts) -> Markup {
    let all = counts.waiting() + counts.active + counts.completed + counts.failed;
    html! {
        nav.tabs aria-label="States" {
            @for (state, number) in [
                (None, all), (Some("active"), counts.active), (Some("pending"), counts.pending), (Some("retry"), counts.retry),
                (Some("scheduled"), counts.scheduled), (Some("failed"), counts.failed), (Some("completed"), counts.completed),
            ] {
                a href=(with_state(asked, state)) aria-current=[(asked.filter.state.as_deref() == state).then_some("true")] {
                    (state.unwrap_or("all")) " " span.count { (count(number)) }
                }
            }
        }
    }
}

/// What can be done with all jobs that pass the filter.
fn actions(asked: &JobsQuery) -> Markup {
    let filter = &asked.filter;
    html! {
        @match asked.filter.state.as_deref() {
            Some("failed") => div.actions { (retry_all(filter, "Retry all of these")) (delete_all(filter, "Delete all of these")) },
            Some("completed") | None => {},
            Some(_) => div.actions { (cancel_all(filter, "Cancel all of these")) },
        }
    }
}

fn table(page: &JobPage, asked: &JobsQuery, now: Timestamp) -> Markup {
    if page.jobs.is_empty() {
        return html! {
            div.card { p.empty {
                @if page.next.is_some() { "No match among " (count(page.looked_at)) " jobs so far. Search on below." }
                @else if asked.filter == JobFilter::default() { "There are no jobs. Send a request through proxq, and it appears here." }
                @else { "No job matches." }
            } }
        };
    }
    html! {
        div.card.flush { div.scroll tabindex="0" role="region" aria-label="Jobs, table" {
            table.jobs {
                thead { tr {
                    @for name in ["Job", "State", "Request", "Upstream", "Age", "Attempts", "Result"] { th scope="col" { (name) } }
                } }
                tbody { @for job in &page.jobs { (row(job, now)) } }
            }
        } }
    }
}

fn row(job: &JobSummary, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { a.id id=(format!("job-{}", job.id)) href=(format!("/jobs/{}", job.id)) { (short_id(&job.id)) } }
            td data-label="State" { (state_mark(&job.state)) @if let Some(waiting) = job.waiting { " " span.detail { (waiting) } } }
            td.request data-label="Request" { span.method { (job.method) } " " span.path title=(job.path) { (job.path) } }
            td data-label="Upstream" { code { (job.upstream) } }
            td data-label="Age" { (ago(&job.created_at, now)) }
            td.number data-label="Attempts" { (job.attempts) }
            td.result data-label="Result" { (result(job, now)) }
        }
    }
}

fn result(job: &JobSummary, now: Timestamp) -> Markup {
    html! {
        @if let Some(status) = job.status { span.status.(format!("s{}", status / 100)) { (status) } " " }
        @match (&job.error, &job.due_at) {
            (_, Some(due)) => span.detail { "due " (ago(due, now)) },
            (Some(error), None) => span.detail title=(error) { (error_line(error)) },
            (None, None) => {},
        }
    }
}

fn pager(page: &JobPage, asked: &JobsQuery) -> Markup {
    html! {
        nav.pager aria-label="Pages of the list" {
            @if asked.cursor.is_some() { a.button href=(link(asked, None)) { "First page" } }
            span.detail { (count(page.jobs.len() as u64)) " shown" @if page.looked_at > page.jobs.len() as u64 { ", " (count(page.looked_at)) " looked at" } }
            @if let Some(next) = &page.next {
                a.button.primary href=(link(asked, Some(next))) { @if page.jobs.is_empty() { "Search on" } @else { "Next page" } }
            }
        }
    }
}

/// The orders for many jobs that run or have run.
pub(super) fn bulks(desk: &Desk, now: Timestamp) -> Markup {
    let bulks = desk.orders.all();
    html! {
        @if !bulks.is_empty() {
            section.card aria-labelledby="bulks" {
                h2 id="bulks" { "Bulk actions" }
                ul.bulks { @for bulk in bulks.iter().take(BULKS_SHOWN) { (bulk_line(bulk, now)) } }
            }
        }
    }
}

fn bulk_line(bulk: &Bulk, now: Timestamp) -> Markup {
    html! {
        li {
            strong { (bulk.order.action.word()) } " " (state_mark(&bulk.status)) " "
            span.detail {
                (count(bulk.done)) " done" @if bulk.skipped > 0 { ", " (count(bulk.skipped)) " skipped" } ", began " (ago(&bulk.started_at, now))
                @if let Some(error) = &bulk.error { " · " (error) }
            }
        }
    }
}
