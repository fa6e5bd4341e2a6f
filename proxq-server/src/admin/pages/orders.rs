//! The buttons that change something.

use maud::{Markup, html};

use crate::admin::model::{BulkAction, BulkOrder, JobFilter, json_text};

/// The box of those who know what they do.
const MAY_DUPLICATE: (&str, &str) =
    ("mayDuplicate", "Also those that may have reached their upstream: it may see them twice");

/// A button that asks first, then sends an order.
pub(super) struct Order<'a> {
    pub(super) label: &'a str,
    pub(super) class: &'a str,
    pub(super) url: String,
    pub(super) body: String,
    pub(super) title: &'a str,
    pub(super) text: String,
    /// A box to tick, with the member of the body that it sets.
    pub(super) check: Option<(&'a str, &'a str)>,
    /// Whether to ask for the number of jobs first, by a dry run.
    pub(super) counts: bool,
}

impl Order<'_> {
    /// An order without more than a question.
    pub(super) fn plain<'a>(label: &'a str, url: String, title: &'a str, text: String) -> Order<'a> {
        Order { label, class: "", url, body: "{}".to_owned(), title, text, check: None, counts: false }
    }

    pub(super) fn button(&self) -> Markup {
        html! {
            button.order.(self.class) type="button" data-url=(self.url) data-body=(self.body) data-title=(self.title) data-text=(self.text)
                data-check=[self.check.map(|(_, text)| text)] data-member=[self.check.map(|(member, _)| member)]
                data-counts=[self.counts.then_some("")] { (self.label) }
        }
    }
}

/// A button that retries the failed jobs of a filter.
pub(super) fn retry_all(filter: &JobFilter, label: &str) -> Markup {
    let question = ("Retry failed jobs?", "They are sent to their upstream again.");
    for_many(label, "", BulkAction::Retry, filter, question, Some(MAY_DUPLICATE))
}

/// A button that removes the failed jobs of a filter.
pub(super) fn delete_all(filter: &JobFilter, label: &str) -> Markup {
    let text = "They and all that is stored of them is removed. This cannot be undone.";
    for_many(label, "danger", BulkAction::Delete, filter, ("Delete failed jobs?", text), None)
}

/// A button that cancels the jobs of a filter.
pub(super) fn cancel_all(filter: &JobFilter, label: &str) -> Markup {
    let text = "They are removed, whether they run or wait; their clients get no response. This cannot be undone.";
    for_many(label, "danger", BulkAction::Cancel, filter, ("Cancel jobs?", text), None)
}

fn for_many(
    label: &str,
    class: &str,
    action: BulkAction,
    filter: &JobFilter,
    (title, text): (&str, &str),
    check: Option<(&str, &str)>,
) -> Markup {
    let order = BulkOrder { action, filter: filter.clone(), may_duplicate: false, dry_run: false };
    let (url, body, text) = ("/api/v1/bulk".to_owned(), json_text(&order), text.to_owned());
    Order { label, class, url, body, title, text, check, counts: true }.button()
}
