//! `proxq jobs show`: everything about a job, for people.

use std::fmt::Write;

use super::listing::why;
use super::printable::printable;
use super::table::Table;
use crate::admin::model::{JobDetail, Message};

/// The column in which values begin.
const VALUES_AT: usize = 12;

/// The job as lines of text.
pub(super) fn shown(detail: &JobDetail) -> String {
    let job = &detail.summary;
    let mut page = Page::default();
    page.line("id", &job.id.to_string());
    page.line("state", &job.state);
    page.some("outcome", job.outcome.map(|outcome| outcome.to_string()).as_deref());
    page.some("why", Some(why(job)).filter(|why| !why.is_empty()).as_deref());
    page.line("request", &format!("{} {}", job.method, job.path));
    page.line("upstream", &job.upstream);
    page.line("queue", &format!("{}, priority {}", job.queue, detail.priority));
    page.line("submitted", &format!("{} by {}, request {}", job.created_at, detail.client, detail.request_id));
    page.some("started", job.started_at.as_deref());
    page.some("due", job.due_at.as_deref());
    page.some("ended", job.ended_at.as_deref());
    page.line("attempts", &format!("{}, of which {} charged as retries", job.attempts, detail.retried));
    page.line("delivery", &format!("{}, at most {} s an attempt", detail.delivery, detail.timeout_seconds));
    page.some("repeats", detail.resubmit_of.map(|id| id.to_string()).as_deref());
    page.message("Request", &detail.request);
    if let Some(response) = &detail.response {
        page.message("Response", response);
    }
    if !detail.history.is_empty() {
        let mut table = Table::new(&["ATTEMPT", "BEGAN", "ENDED", "REACH", "STATUS", "INSTANCE"]);
        for attempt in &detail.history {
            table.row(&[
                attempt.number.to_string(),
                attempt.started_at.clone(),
                attempt.ended_at.clone(),
                attempt.reach.clone(),
                attempt.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
                attempt.instance.clone(),
            ]);
        }
        page.heading("Attempts");
        for line in table.lines(None) {
            page.raw(&format!("  {line}"));
        }
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn raw(&mut self, line: &str) {
        writeln!(self.0, "{line}").expect("a string takes whatever is written to it");
    }

    fn line(&mut self, name: &str, value: &str) {
        self.raw(&format!("{name:<VALUES_AT$}{}", printable(value)));
    }

    fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }

    fn heading(&mut self, text: &str) {
        self.raw(&format!("\n{text}"));
    }

    fn message(&mut self, heading: &str, message: &Message) {
        self.heading(heading);
        let first = match (&message.url, message.status) {
            (Some(url), _) => url.clone(),
            (None, Some(status)) => status.to_string(),
            (None, None) => String::new(),
        };
        self.raw(&format!("  {}", printable(&first)));
        for (name, value) in &message.headers {
            self.raw(&format!("  {}: {}", printable(name), printable(value)));
        }
        if let Some(bytes) = message.body_bytes {
            let cut = if message.preview_is_cut { ", of which this is the beginning" } else { "" };
            self.raw(&format!("  ({bytes} bytes{cut})"));
        }
        for line in message.preview.iter().flat_map(|preview| preview.lines()) {
            self.raw(&format!("  {}", printable(line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"id":"550e8400-e29b-41d4-a716-446655440000","state":"failed","queue":"default","upstream":"/api",
        "method":"POST","path":"/api/\u001b[2J","createdAt":"2026-01-01T00:00:00.000Z","attempts":2,"outcome":"not_sent",
        "error":"refused\u009b","priority":"normal","delivery":"auto","timeoutSeconds":30.0,"retentionSeconds":60.0,
        "client":"192.0.2.7","requestId":"r\n","retried":1,"leaseLosses":0,
        "request":{"url":"http://a/","headers":[["x-a","b"]],"bodyBytes":3,"preview":"a\nb\u0007","previewIsCut":false},
        "history":[{"number":1,"startedAt":"s","endedAt":"e","reach":"not_sent","instance":"i:1"}]}"#;

    #[test]
    fn everything_is_shown_and_nothing_that_a_terminal_obeys() {
        let text = shown(&serde_json::from_str(JOB).unwrap());
        for line in [
            "id          550e8400-e29b-41d4-a716-446655440000",
            "why         not_sent: refused\\u{9b}",
            "request     POST /api/\\u{1b}[2J",
            "submitted   2026-01-01T00:00:00.000Z by 192.0.2.7, request r\\n",
            "  x-a: b",
            "  (3 bytes)",
            "  b\\u{7}",
            "  1        s      e      not_sent  -       i:1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n---\n{text}");
        }
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
    }
}
