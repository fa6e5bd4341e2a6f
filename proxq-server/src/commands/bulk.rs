//! `proxq jobs retry --all` and `proxq jobs cancel --all`: counted, confirmed, then done by the server in the background.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::error::{CommandError, End};
use super::listing::filter;
use super::operators::Operators;
use super::printable::printable;
use super::progress::Progress;
use super::terminal::{complain, print};
use crate::admin::model::{Bulk, BulkAction, BulkCount, BulkOrder};
use crate::cli::Ordered;
use crate::shutdown::StopRequests;
use crate::tasks;

/// How often the server is asked how far it is. Nothing wakes whoever asks.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// Gives an order for all jobs that the flags choose, and waits for its end.
pub(super) async fn bulk(
    operators: &Operators,
    action: BulkAction,
    may_duplicate: bool,
    flags: &Ordered,
) -> Result<End, CommandError> {
    let order = BulkOrder { action, filter: filter(&flags.chosen), may_duplicate, dry_run: true };
    let count: BulkCount = operators.order("bulk", &order).await?;
    let count = Counted(count);
    if flags.dry_run || count.is_none() {
        print(&format!("{count}\n"))?;
        return Ok(End::Done);
    }
    if !flags.yes && !confirmed(&count, action.word()).await? {
        complain("Nothing was done.");
        return Ok(End::Refused);
    }
    let begun: Bulk = operators.order("bulk", &BulkOrder { dry_run: false, ..order }).await?;
    let number = begun.number;
    let mut stop = StopRequests::new();
    tokio::select! {
        ended = followed(operators, begun) => ended,
        () = stop.next() => {
            complain(&format!("The server goes on with bulk action {number}; its dashboard shows how far it is."));
            Ok(End::Interrupted)
        }
    }
}

/// Waits for the end of an order.
async fn followed(operators: &Operators, mut bulk: Bulk) -> Result<End, CommandError> {
    let mut progress = Progress::new();
    while bulk.status == "running" {
        progress.show(&format!("{} done, {} skipped", bulk.done, bulk.skipped));
        tokio::time::sleep(LOOKS_EVERY).await;
        bulk = operators.get(&format!("bulk/{}", bulk.number)).await?;
    }
    progress.clear();
    print(&format!("{}: {} done, {} skipped\n", printable(&bulk.status), bulk.done, bulk.skipped))?;
    if let Some(error) = &bulk.error {
        complain(&printable(error));
    }
    Ok(if bulk.status == "done" { End::Done } else { End::Refused })
}

/// How many jobs there are, for people.
struct Counted(BulkCount);

impl Counted {
    fn is_none(&self) -> bool {
        self.0.jobs == 0 && self.0.complete
    }
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at_least = if self.0.complete { "" } else { "at least " };
        let jobs = if self.0.jobs == 1 { "job" } else { "jobs" };
        write!(f, "{at_least}{} {jobs}", self.0.jobs)
    }
}

/// Asks at the terminal; fails where there is none.
async fn confirmed(count: &Counted, verb: &str) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CommandError::Usage(format!("this would {verb} {count}; confirm it with --yes")));
    }
    let _closed = write!(io::stderr(), "This will {verb} {count}. Go on? [y/N] ");
    let answer = tasks::blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.expect("reading a line does not panic");
    let answer = answer.map_err(|source| CommandError::Read { file: "standard input".into(), source })?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_a_yes() {
        for answer in ["y", "Y\n", " yes\r\n"] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n", "yep", "no"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }

    #[test]
    fn a_count_says_whether_it_is_the_whole() {
        let counted = |jobs, complete| Counted(BulkCount { jobs, complete }).to_string();
        assert_eq!(counted(1, true), "1 job");
        assert_eq!(counted(0, false), "at least 0 jobs");
    }
}
