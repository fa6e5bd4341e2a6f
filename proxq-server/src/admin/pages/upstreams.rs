//! The upstreams: how much of each is in use, what waits, and what holds it back.

use maud::{Markup, html};

use super::Content;
use super::format::{count, span};
use super::layout::store_problem;
use super::orders::Order;
use super::overview::queue_state;
use super::plot::bar;
use crate::admin::desk::Desk;
use crate::admin::model::Upstream;
use crate::admin::query::encode;

pub(super) async fn content(desk: &Desk) -> Content {
    let standing = desk.standing().await;
    let upstreams = desk.upstreams(&standing);
    let live = html! {
        div.page-head { h1 { "Upstreams" } }
        @if let Some(problem) = &standing.problem { (store_problem(problem)) }
        div.upstreams { @for upstream in &upstreams { (card(upstream)) } }
    };
    Content::new("Upstreams", live)
}

fn card(upstream: &Upstream) -> Markup {
    let (queue, totals) = (&upstream.queue, upstream.since_start);
    let of_prefix = format!("/jobs?upstream={}", encode(&upstream.prefix));
    html! {
        section.card.upstream aria-label=(format!("Upstream {}", upstream.prefix)) {
            div.upstream-head {
                div {
                    h2 { a href=(of_prefix) { (upstream.prefix) } }
                    p.detail { (upstream.url) }
                }
                (state(upstream))
            }
            div.use {
                div.use-line { span { "In flight" } strong { (count(queue.running)) " / " (count(queue.limit)) } }
                (bar(queue.running, queue.limit, &format!("{} of {} attempts run", queue.running, queue.limit)))
            }
            dl.facts {
                div { dt { "Waiting" } dd { a href=(format!("{of_prefix}&state=pending")) { (count(queue.jobs.waiting())) @if let Some(most) = upstream.max_queued { " / " (count(u64::from(most))) } } } }
                div { dt { "Oldest" } dd { @if queue.jobs.pending > 0 { (span(queue.oldest_age_seconds)) } @else { "–" } } }
                div { dt { "Rate" } dd { @match &upstream.rate_limit { Some(rate) => (rate), None => "no limit" } } }
                div { dt { "Completed" } dd { (count(totals.completed)) } }
                div { dt { "Failed" } dd { a href=(format!("{of_prefix}&state=failed")) { (count(totals.failed)) } } }
                div { dt { "Retries" } dd { (count(totals.retried)) } }
            }
            div.actions {
                span.detail { "Queue " code { (queue.name) } @if !upstream.own_queue { ", shared" } }
                (pause_button(upstream))
            }
        }
    }
}

/// What an upstream is doing, in a word. One at which most fails needs to be looked at, though it works.
fn state(upstream: &Upstream) -> Markup {
    let last = upstream.last_minute;
    let fails = last.failed + last.retried;
    match upstream.down {
        Some(true) => html! { span.mark.is-failed { "down" } },
        _ if !upstream.queue.paused && fails > last.completed => html! { span.mark.is-failed { "failing" } },
        _ => queue_state(&upstream.queue),
    }
}

fn pause_button(upstream: &Upstream) -> Markup {
    let queue = &upstream.queue;
    let shared =
        if upstream.own_queue { String::new() } else { format!(" It is shared by {}.", queue.upstreams.join(", ")) };
    let url = |verb: &str| format!("/api/v1/queues/{}/{verb}", encode(&queue.name));
    if queue.paused {
        let text = format!("Jobs of the queue {} begin again.{shared}", queue.name);
        Order { class: "primary", ..Order::plain("Resume", url("resume"), "Resume the queue?", text) }.button()
    } else {
        let text = format!(
            "No job of the queue {} begins until you resume it, at any instance. Attempts that run go on, and new jobs are taken in.{shared}",
            queue.name
        );
        Order::plain("Pause", url("pause"), "Pause the queue?", text).button()
    }
}
