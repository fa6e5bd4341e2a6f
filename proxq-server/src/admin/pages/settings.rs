//! What the server runs on.

use maud::html;

use super::Content;
use crate::admin::desk::Desk;

pub(super) fn content(desk: &Desk) -> Content {
    let live = html! {
        div.page-head {
            h1 { "Settings" }
            a.button href="/openapi.json" { "API description" }
        }
        section.card aria-labelledby="effective" {
            h2 id="effective" { "Effective configuration" }
            p.detail { "With every default. Secrets are not shown. A changed file is taken over on SIGHUP." }
            pre.code tabindex="0" aria-label="Effective configuration as YAML" { (desk.settings()) }
        }
    };
    Content::new("Settings", live)
}
