//! The first page: whether all is well, at a glance.

use maud::{Markup, html};

use super::Content;
use super::format::{ago, count, error_line, float, lasting, rate, span};
use super::layout::{state_mark, store_problem};
use super::plot::{Line, hour, spark};
use crate::admin::desk::Desk;
use crate::admin::model::{Failures, HistorySample, Instance, Overview, Queue};
use crate::admin::query::encode;

/// The samples of an hour.
const SLOTS: usize = 360;
/// How many failed jobs are looked at here, each time that the page is made: a page of the list.
const LOOKED_AT: usize = 100;
/// How many groups of failures stand here; all are on their own page.
const GROUPS: usize = 5;

pub(super) async fn content(desk: &Desk) -> Content {
    let overview = desk.overview().await;
    let failures = match overview.store.problem {
        None => desk.failures(LOOKED_AT).await.unwrap_or_default(),
        Some(_) => Failures::default(),
    };
    let history = desk.memory.history();
    let now = desk.clock.wall();
    let live = html! {
        div.page-head {
            h1 { "Overview" }
            (health(&overview))
        }
        @if let Some(problem) = &overview.store.problem { (store_problem(problem)) }
        section.figures aria-label="Figures" { (figures(&overview, &history.samples)) }
        section.plots aria-label="The last hour" {
            div.card {
                (hour("Jobs per minute", &rates(&history.samples), SLOTS, rate))
            }
            div.card { (hour("Waiting jobs", &waiting(&history.samples), SLOTS, short_number)) }
        }
        section.card aria-labelledby="queues" {
            h2 id="queues" { "Queues" }
            (queues(&overview.queues))
        }
        div.columns {
            section.card aria-labelledby="errors" {
                h2 id="errors" { "Latest failures" }
                (errors(&failures, now))
            }
            section.card aria-labelledby="instances" {
                h2 id="instances" { "Instances" }
                (instances(&overview.instances, now))
            }
        }
        p.foot { "proxq " (overview.version) " · store: " (overview.store.kind) " · up " (lasting(&overview.started_at, now)) }
    };
    Content::new("Overview", live)
}

fn health(overview: &Overview) -> Markup {
    let (class, word) = match (&overview.store.problem, overview.ready) {
        (Some(_), _) => ("bad", "Store away"),
        (None, false) => ("warn", "Draining"),
        (None, true) if overview.queues.iter().any(|queue| queue.paused) => ("warn", "Paused in part"),
        (None, true) => ("good", "Takes work"),
    };
    html! { span.health.(class) role="status" { (word) } }
}

fn figures(overview: &Overview, samples: &[HistorySample]) -> Markup {
    let recent =
        |of: fn(&HistorySample) -> u64| -> Vec<f64> { samples.iter().map(|sample| float(of(sample))).collect() };
    let (jobs, rates) = (overview.jobs, overview.rates);
    let running: u64 = overview.queues.iter().map(|queue| queue.running).sum();
    let limit: u64 = overview.queues.iter().map(|queue| queue.limit).sum();
    let waiting: Vec<f64> = samples.iter().map(|sample| float(sample.waiting.unwrap_or_default())).collect();
    let oldest: Vec<f64> = samples.iter().map(|sample| sample.oldest_age_seconds.unwrap_or_default()).collect();
    html! {
        (figure("Submitted", &rate(rates.submitted_per_second), "per second", &spark("in", &recent(|s| s.submitted)), None))
        (figure("Completed", &rate(rates.completed_per_second), "per second", &spark("out", &recent(|s| s.completed)), Some("/jobs?state=completed")))
        (figure("Failed", &rate(rates.failed_per_second), "per second", &spark("bad", &recent(|s| s.failed)), Some("/failed")))
        (figure("Waiting", &count(jobs.waiting()), "jobs", &spark("wait", &waiting), Some("/jobs?state=pending")))
        (figure("Oldest", &span(overview.oldest_age_seconds), "waiting", &spark("wait", &oldest), Some("/jobs?state=pending&order=oldest")))
        (figure("Running", &count(running), &format!("of {} here", count(limit)), &html! {}, Some("/jobs?state=active")))
    }
}

fn figure(name: &str, value: &str, unit: &str, spark: &Markup, link: Option<&str>) -> Markup {
    html! {
        div.figure {
            div.figure-name { @if let Some(link) = link { a href=(link) { (name) } } @else { (name) } }
            div.figure-value { strong { (value) } " " span { (unit) } }
            (spark)
        }
    }
}

fn rates(samples: &[HistorySample]) -> Vec<Line> {
    // A sample is of ten seconds.
    let per_minute =
        |of: fn(&HistorySample) -> u64| samples.iter().map(|sample| Some(float(of(sample)) * 6.0)).collect();
    vec![
        Line { name: "submitted", class: "in", values: per_minute(|sample| sample.submitted) },
        Line { name: "completed", class: "out", values: per_minute(|sample| sample.completed) },
        Line { name: "failed", class: "bad", values: per_minute(|sample| sample.failed) },
    ]
}

fn waiting(samples: &[HistorySample]) -> Vec<Line> {
    let values = samples.iter().map(|sample| sample.waiting.map(float)).collect();
    vec![Line { name: "waiting", class: "wait", values }]
}

fn short_number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

fn queues(queues: &[Queue]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Queues, table" {
            table {
                thead { tr {
                    th scope="col" { "Queue" }
                    th scope="col" { "State" }
                    @for name in ["Pending", "Scheduled", "Active", "Retry", "Failed", "Completed"] { th.number scope="col" { (name) } }
                    th.number scope="col" { "Oldest" }
                } }
                tbody {
                    @for queue in queues {
                        tr {
                            th scope="row" { a href=(format!("/jobs?queue={}", encode(&queue.name))) { (queue.name) } }
                            td { (queue_state(queue)) }
                            @for (state, number) in queue.jobs.by_state() {
                                td.number { a.quiet href=(format!("/jobs?queue={}&state={state}", encode(&queue.name))) aria-label=(format!("{number} {state} jobs of {}", queue.name)) { (count(number)) } }
                            }
                            td.number { @if queue.jobs.pending > 0 { (span(queue.oldest_age_seconds)) } @else { "–" } }
                        }
                    }
                }
            }
        }
    }
}

/// What a queue is doing, in a word.
pub(super) fn queue_state(queue: &Queue) -> Markup {
    match (queue.paused, queue.held) {
        (true, _) => html! { span.mark.is-paused { "paused" } },
        (false, Some(held)) => html! { span.mark.is-held { (held) } },
        (false, None) if queue.limit > 0 && queue.running >= queue.limit => html! { span.mark.is-held { "full" } },
        (false, None) => html! { span.mark.is-ok { "works" } },
    }
}

fn errors(failures: &Failures, now: crate::clock::Timestamp) -> Markup {
    if failures.groups.is_empty() {
        return html! { p.empty { "No job has failed. Nice." } };
    }
    html! {
        ul.errors {
            @for group in failures.groups.iter().take(GROUPS) {
                li {
                    a href=(super::failed::link(group)) { (error_line(&group.error)) }
                    span.detail {
                        (count(group.jobs)) @if group.jobs == 1 { " job" } @else { " jobs" } " · " (group.upstream)
                        @if let Some(latest) = &group.latest { " · " (ago(latest, now)) }
                    }
                }
            }
        }
        @if failures.groups.len() > GROUPS { p { a href="/failed" { "All failures" } } }
    }
}

fn instances(instances: &[Instance], now: crate::clock::Timestamp) -> Markup {
    html! {
        ul.instances {
            @for instance in instances {
                li {
                    span.name { (instance.name) @if instance.this { " " span.mark.is-ok { "this" } } }
                    span.detail {
                        @if instance.kind != "proxq" { (instance.kind) " · " }
                        (count(instance.running)) " of " (count(instance.concurrency)) " · up " (lasting(&instance.started_at, now))
                        @if instance.draining { " " (state_mark("draining")) }
                    }
                }
            }
        }
    }
}
