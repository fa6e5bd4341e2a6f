//! What all pages have: the navigation, the state of the connection, the dialog that asks first.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Content;
use crate::admin::assets::address as asset;
use crate::admin::call::Page;
use crate::admin::desk::Desk;
use crate::admin::query::encode;

/// A whole document.
pub(super) fn document(desk: &Desk, page: Page, query: &str, content: Content) -> Markup {
    let live = format!("/live?page={}", encode(&address(page, query)));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (content.title) " · proxq" }
                link rel="icon" href=(asset("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(asset("style.css"));
                script src=(asset("script.js")) defer {}
            }
            body data-live=(live) {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href="/" aria-label="proxq, overview" {
                        img src=(asset("icon.svg")) alt="" width="26" height="26";
                        span { "proxq" }
                    }
                    nav aria-label="Pages" {
                        @for (target, name, link) in PAGES {
                            @let is_here = is_under(page, target);
                            a href=(link) aria-current=[is_here.then_some("page")] { (name) }
                        }
                    }
                    form.find action="/jobs" role="search" {
                        input type="search" name="id" placeholder="Job id" aria-label="Find a job by its id" autocomplete="off" spellcheck="false" required;
                    }
                    div.tools {
                        span.instance title="The instance that answers" { (desk.instance) }
                        button.tool type="button" id="live-toggle" aria-pressed="true" title="Live updates" { i.pulse {} span.tool-name { "Live" } }
                        button.tool type="button" id="theme-toggle" title="Light or dark" aria-label="Switch between light and dark" { (SUN_AND_MOON) }
                    }
                }
                p.lost role="status" id="lost" hidden { "The connection to proxq is lost. Trying again…" }
                main id="main" tabindex="-1" {
                    @if let Some(fixed) = content.fixed { (fixed) }
                    div id="live" { (content.live) }
                }
                p.toast role="status" aria-live="polite" id="toast" {}
                dialog id="ask" aria-labelledby="ask-title" {
                    form method="dialog" {
                        h2 id="ask-title" {}
                        p id="ask-text" {}
                        label.check id="ask-check" hidden { input type="checkbox" id="ask-box"; span {} }
                        menu {
                            button value="no" autofocus { "Leave it" }
                            button.primary value="yes" id="ask-yes" { "Do it" }
                        }
                    }
                }
            }
        }
    }
}

const PAGES: [(Page, &str, &str); 5] = [
    (Page::Overview, "Overview", "/"),
    (Page::Upstreams, "Upstreams", "/upstreams"),
    (Page::Jobs, "Jobs", "/jobs"),
    (Page::Failed, "Failed", "/failed"),
    (Page::Settings, "Settings", "/settings"),
];

const SUN_AND_MOON: PreEscaped<&str> = PreEscaped(
    r#"<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor"/></svg>"#,
);

/// Whether a page stands under an entry of the navigation.
fn is_under(page: Page, entry: Page) -> bool {
    page == entry || matches!((page, entry), (Page::Job(_), Page::Jobs))
}

/// The path and query of a page.
fn address(page: Page, query: &str) -> String {
    let path = match page {
        Page::Overview => "/".to_owned(),
        Page::Upstreams => "/upstreams".to_owned(),
        Page::Jobs => "/jobs".to_owned(),
        Page::Job(id) => format!("/jobs/{id}"),
        Page::Failed => "/failed".to_owned(),
        Page::Settings => "/settings".to_owned(),
    };
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// Says why something is not shown.
pub(super) fn problem(detail: &str) -> Markup {
    html! { p.problem role="alert" { (detail) } }
}

/// Says that the store does not answer.
pub(super) fn store_problem(problem: &str) -> Markup {
    html! {
        p.problem role="alert" {
            strong { "The job store does not answer. " }
            "New jobs are refused until it does, and nothing is lost. The page shows it as soon as it is back. (" (problem) ")"
        }
    }
}

/// A mark with a state's color and its word.
pub(super) fn state_mark(state: &str) -> Markup {
    html! { span.mark.(format!("is-{state}")) { (state) } }
}
