//! `proxq jobs list`.

use std::io;

use super::error::{CommandError, End};
use super::operators::Operators;
use super::printable::printable_json;
use super::table::Table;
use super::terminal::{complain, print, size};
use crate::admin::PAGE_MAX;
use crate::admin::model::{JobFilter, JobPage, JobSummary};
use crate::admin::query::encode;
use crate::cli::{Chosen, List, Order};

/// The filter that the flags say.
pub(super) fn filter(chosen: &Chosen) -> JobFilter {
    let Chosen { state, upstream, queue, method, path, status, outcome, error, older_than, newer_than } =
        chosen.clone();
    JobFilter { state, queue, upstream, method, path, status, outcome, error, older_than, newer_than }
}

/// Lists jobs, page by page.
pub(super) async fn list(operators: &Operators, flags: &List) -> Result<End, CommandError> {
    let mut table = Table::new(&["ID", "STATE", "METHOD", "PATH", "SUBMITTED", "ATTEMPTS", "STATUS", "WHY"]);
    let (mut left, mut cursor) = (flags.limit, None);
    loop {
        let query = query(&filter(&flags.chosen), flags.order, left.min(PAGE_MAX as u64), cursor.as_deref());
        let page: JobPage = operators.get(&format!("jobs?{query}")).await?;
        left = left.saturating_sub(page.jobs.len() as u64);
        for job in page.jobs {
            if flags.json {
                let json = serde_json::to_string(&job).expect("it was read from JSON");
                print(&format!("{}\n", printable_json(&json)))?;
            } else {
                table.row(&row(&job));
            }
        }
        cursor = page.next;
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    if !flags.json {
        if table.is_empty() {
            complain("no job is such");
        } else {
            let lines = table.lines(size(&io::stdout()).map(|size| size.columns));
            print(&format!("{}\n", lines.join("\n")))?;
        }
    }
    if cursor.is_some() && size(&io::stderr()).is_some() {
        complain(&format!("There may be more than these {}; --limit says how many are listed.", flags.limit));
    }
    Ok(End::Done)
}

/// The query of a page.
fn query(filter: &JobFilter, order: Order, limit: u64, cursor: Option<&str>) -> String {
    let filter = serde_json::to_value(filter).expect("a filter has only texts");
    let filter = filter.as_object().into_iter().flatten();
    let said = filter.filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_str()?))));
    let order = match order {
        Order::Newest => "newest",
        Order::Oldest => "oldest",
    };
    let own = [format!("order={order}"), format!("limit={limit}")];
    let cursor = cursor.map(|cursor| format!("cursor={}", encode(cursor)));
    said.chain(own).chain(cursor).collect::<Vec<_>>().join("&")
}

fn row(job: &JobSummary) -> Vec<String> {
    vec![
        job.id.to_string(),
        job.state.clone(),
        job.method.clone(),
        job.path.clone(),
        to_the_second(&job.created_at),
        job.attempts.to_string(),
        job.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
        why(job),
    ]
}

/// Why a job waits or has no response; the error comes last, because it may be long.
pub(super) fn why(job: &JobSummary) -> String {
    let waiting = job.waiting.map(|waiting| waiting.to_string());
    let outcome = job.outcome.filter(|_| job.state == "failed").map(|outcome| outcome.to_string());
    let parts = [waiting, outcome, job.error.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// An instant without its fraction of a second.
fn to_the_second(instant: &str) -> String {
    match instant.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => instant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_the_flags_say_and_nothing_else() {
        let chosen = Chosen {
            path: Some("/a b&c".to_owned()),
            older_than: Some("10m".to_owned()),
            status: Some("5xx".to_owned()),
            ..Chosen::default()
        };
        let query = query(&filter(&chosen), Order::Oldest, 7, Some("x="));
        let parts: std::collections::BTreeSet<_> = query.split('&').collect();
        let expected = ["path=/a%20b%26c", "olderThan=10m", "status=5xx", "order=oldest", "limit=7", "cursor=x%3D"];
        assert_eq!(parts, expected.into());
    }

    #[test]
    fn an_instant_loses_its_fraction() {
        assert_eq!(to_the_second("2026-01-01T00:00:00.123Z"), "2026-01-01T00:00:00Z");
        assert_eq!(to_the_second("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
    }
}
