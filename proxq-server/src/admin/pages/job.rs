//! A job's page: what became of it, what was sent and what came back.

use maud::{Markup, html};

use super::Content;
use super::format::{ago, bytes, parse, span};
use super::layout::state_mark;
use super::orders::Order;
use crate::admin::api::store_problem;
use crate::admin::desk::Desk;
use crate::admin::model::{Attempt, JobDetail, Message};
use crate::clock::Timestamp;
use crate::job::JobId;
use crate::reply::Problem;

pub(super) async fn content(desk: &Desk, id: JobId) -> Content {
    let detail = match desk.detail(id).await {
        Ok(Some(detail)) => detail,
        Ok(None) => return super::refused("Job", &Problem::no_job(id)),
        Err(error) => return super::refused("Job", &store_problem(&error)),
    };
    let (job, now) = (&detail.summary, desk.clock.wall());
    let jobs_path = &desk.config.jobs_path;
    let live = html! {
        div.page-head {
            h1.request { span.method { (job.method) } " " span.path { (job.path) } }
            (state_mark(&job.state))
        }
        div.job-bar {
            span.id-line { code id="job-id" { (id) } (copy("job-id", "Copy id")) }
            (actions(&detail))
        }
        div.columns.wide-left {
            div {
                section.card aria-labelledby="timeline" { h2 id="timeline" { "Timeline" } (timeline(&detail, now)) }
                (message("Request", &detail.request, &curl(&detail)))
                @if let Some(response) = &detail.response { (message("Response", response, &html! {})) }
            }
            section.card aria-labelledby="facts" { h2 id="facts" { "Facts" } (facts(&detail, jobs_path.as_str())) }
        }
    };
    Content::new(format!("{} {}", job.method, job.path), live)
}

fn actions(detail: &JobDetail) -> Markup {
    let (job, id) = (&detail.summary, detail.summary.id);
    let url = |verb: &str| format!("/api/v1/jobs/{id}/{verb}");
    let check = Some(("mayDuplicate", "It may have reached its upstream, which may see it twice"));
    html! {
        div.actions {
            @if job.state == "failed" {
                (Order { class: "primary", check, ..Order::plain("Retry", url("retry"), "Retry the job?", "It is sent to its upstream again.".to_owned()) }.button())
            }
            @if job.state == "completed" || job.state == "failed" {
                (Order::plain("Resubmit", url("resubmit"), "Submit the request again?", "It becomes a new job, and its upstream sees it again.".to_owned()).button())
                (Order { class: "danger", ..Order::plain("Delete", url("cancel"), "Delete the job?", "It and all that is stored of it is removed. This cannot be undone.".to_owned()) }.button())
            } @else {
                (Order { class: "danger", ..Order::plain("Cancel", url("cancel"), "Cancel the job?", "It is removed, whether it runs or waits; its client gets no response. This cannot be undone.".to_owned()) }.button())
            }
        }
    }
}

fn timeline(detail: &JobDetail, now: Timestamp) -> Markup {
    let job = &detail.summary;
    let ends = detail.history.iter().map(|attempt| attempt.ended_at.as_str());
    let before = std::iter::once(job.created_at.as_str()).chain(ends).map(parse);
    html! {
        ol.timeline {
            li.event { span.dot.is-ok {} div { strong { "Taken in" } " " span.detail { (ago(&job.created_at, now)) } } }
            @for (attempt, before) in detail.history.iter().zip(before) {
                @let waited = parse(&attempt.started_at).zip(before).map(|(began, before)| began.since(before).as_secs_f64());
                @if let Some(waited) = waited.filter(|waited| *waited >= 0.001) { li.pause { span.dot {} div.detail { "waited " (span(waited)) } } }
                (attempt_line(attempt))
            }
            @match job.state.as_str() {
                "active" => li.event { span.dot.is-active {} div { strong { "Attempt " (job.attempts) } " " span.detail { "is under way" } } },
                "completed" | "failed" => li.event { span.dot.(format!("is-{}", job.state)) {} div {
                    strong { @if job.state == "completed" { "Completed" } @else { "Failed" } }
                    @if let Some(ended) = &job.ended_at { " " span.detail { (ago(ended, now)) } }
                    @if let Some(error) = &job.error { p.error { (error) } }
                } },
                _ => li.event { span.dot.is-pending {} div {
                    strong { "Waits" }
                    @if let Some(waiting) = job.waiting { " " span.mark.is-held { (waiting) } }
                    @if let Some(due) = &job.due_at { " " span.detail { "due " (ago(due, now)) } }
                    @if let Some(error) = &job.error { p.error { (error) } }
                } },
            }
        }
    }
}

fn attempt_line(attempt: &Attempt) -> Markup {
    let took =
        parse(&attempt.ended_at).zip(parse(&attempt.started_at)).map(|(end, begin)| end.since(begin).as_secs_f64());
    let class = match (attempt.reach.as_str(), attempt.status) {
        ("responded", Some(status)) if status < 500 => "is-completed",
        ("not_sent", _) => "is-retry",
        _ => "is-failed",
    };
    html! {
        li.event {
            span.dot.(class) {}
            div {
                strong { "Attempt " (attempt.number) } " "
                @if let Some(status) = attempt.status { span.status.(format!("s{}", status / 100)) { (status) } } @else { span.mark.(class) { (attempt.reach) } }
                " " span.detail { @if let Some(took) = took { "took " (span(took)) " · " } (attempt.instance) " · " (attempt.started_at) }
            }
        }
    }
}

fn facts(detail: &JobDetail, jobs_path: &str) -> Markup {
    let job = &detail.summary;
    html! {
        dl.facts.list {
            (fact("Upstream", &html! { code { (job.upstream) } }))
            (fact("Queue", &html! { code { (job.queue) } }))
            (fact("Priority", &html! { (detail.priority) }))
            (fact("Delivery", &html! { (detail.delivery) }))
            @if let Some(outcome) = job.outcome { (fact("Outcome", &html! { (outcome) })) }
            (fact("Attempts", &html! { (job.attempts) ", " (detail.retried) " charged" @if detail.lease_losses > 0 { ", " (detail.lease_losses) " lost" } }))
            (fact("Timeout", &html! { (span(detail.timeout_seconds)) }))
            (fact("Kept for", &html! { (span(detail.retention_seconds)) }))
            (fact("Client", &html! { code { (detail.client) } }))
            @if let Some(name) = &detail.submitted_by { (fact("Token", &html! { code { (name) } })) }
            (fact("Request id", &html! { code { (detail.request_id) } }))
            (fact("Taken in", &html! { (job.created_at) }))
            @if let Some(other) = detail.resubmit_of { (fact("Repeats", &html! { a href=(format!("/jobs/{other}")) { (other) } })) }
            (fact("Status at", &html! { code { (jobs_path.trim_end_matches('/')) "/" (job.id) } }))
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn message(name: &str, message: &Message, more: &Markup) -> Markup {
    let id = name.to_ascii_lowercase();
    html! {
        section.card.message aria-labelledby=(id) {
            div.message-head {
                h2 id=(id) { (name) @if let Some(status) = message.status { " " span.status.(format!("s{}", status / 100)) { (status) } } }
                (more)
            }
            @if let Some(url) = &message.url { p.url { code { (url) } } }
            @if !message.headers.is_empty() {
                table.headers { tbody {
                    @for (name, value) in &message.headers { tr { th scope="row" { (name) } td { (value) } } }
                } }
            }
            @match (&message.preview, message.body_bytes) {
                (_, None | Some(0)) => p.detail { "No body." },
                (Some(preview), Some(length)) => {
                    p.detail { "Body, " (bytes(length)) @if message.preview_is_cut { ", its beginning" } }
                    pre.code tabindex="0" aria-label=(format!("{name} body")) { (preview) }
                },
                (None, Some(length)) => p.detail { "Body, " (bytes(length)) ", not shown: it is not plain text." },
            }
        }
    }
}

fn copy(of: &str, label: &str) -> Markup {
    html! { button.copy type="button" data-copy=(of) { (label) } }
}

/// The request as a command for a shell.
fn curl(detail: &JobDetail) -> Markup {
    let is_of_proxq =
        |name: &str| ["via", "x-forwarded-", "forwarded", "x-request-id"].iter().any(|own| name.starts_with(own));
    let fields = detail.request.headers.iter().filter(|(name, _)| !is_of_proxq(name));
    let body = detail.request.preview.as_ref().filter(|_| !detail.request.preview_is_cut);
    let mut words = vec![format!("curl -X {}", quoted(&detail.summary.method))];
    words.extend(fields.map(|(name, value)| format!("-H {}", quoted(&format!("{name}: {value}")))));
    words.extend(body.map(|body| format!("--data-raw {}", quoted(body))));
    words.extend(detail.request.url.as_deref().map(quoted));
    let command = words.join(" \\\n  ");
    html! {
        pre id="curl" hidden { (command) }
        (copy("curl", "Copy as curl"))
    }
}

/// A word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
