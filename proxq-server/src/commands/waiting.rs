//! `proxq jobs wait`.

use std::time::Duration;

use proxq_protocol::JobId;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{CommandError, End};
use super::listing::why;
use super::operators::Operators;
use super::printable::printable;
use super::progress::Progress;
use super::terminal::{complain, print};
use crate::admin::model::{JobPage, JobSummary};
use crate::cli::Wait;
use crate::shutdown::StopRequests;

/// The pauses between two questions about a job. The admin API has no way to wait: who waits for many jobs asks for each in
/// turn, less often the longer it takes.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long the server may be away, for a restart.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Waits until all jobs have ended, and says how each has.
pub(super) async fn wait(operators: &Operators, flags: &Wait) -> Result<End, CommandError> {
    let mut stop = StopRequests::new();
    let all = async {
        let mut worst = End::Done;
        let mut was_answered = false;
        for id in &flags.ids {
            worst = worst.max(ended(operators, *id, &mut was_answered).await?);
        }
        Ok(worst)
    };
    let limited = async {
        match flags.timeout {
            None => all.await,
            Some(limit) => timeout_at(Instant::now() + limit, all).await.unwrap_or_else(|_| {
                complain("The time is over; not all jobs have ended.");
                Ok(End::TimeOver)
            }),
        }
    };
    tokio::select! {
        ended = limited => ended,
        () = stop.next() => Ok(End::Interrupted),
    }
}

/// Returns when a job has ended, and prints how.
async fn ended(operators: &Operators, id: JobId, was_answered: &mut bool) -> Result<End, CommandError> {
    let (mut progress, mut pause) = (Progress::new(), PAUSE_MIN);
    let mut away_since = None;
    loop {
        let page: Option<JobPage> = match operators.get(&format!("jobs?id={id}")).await {
            Ok(page) => {
                (away_since, *was_answered) = (None, true);
                Some(page)
            }
            Err(error) if error.is_passing() => {
                // Whoever was never there is not waited for.
                let since: Instant = *away_since.get_or_insert_with(Instant::now);
                if !*was_answered || since.elapsed() > AWAY_MAX {
                    return Err(error);
                }
                None
            }
            Err(error) => return Err(error),
        };
        let text = match page.as_ref().map(|page| page.jobs.first()) {
            None => format!("job {id}: the server does not answer"),
            Some(None) => {
                progress.clear();
                complain(&format!("there is no job {id}: it never was, was cancelled, or its retention is over"));
                return Ok(End::NoSuchJob);
            }
            Some(Some(job)) => match end(job) {
                Some((end, line)) => {
                    progress.clear();
                    print(&format!("{line}\n"))?;
                    return Ok(end);
                }
                None => printable(&format!("job {id}: {} {}", job.state, why(job))).into_owned(),
            },
        };
        progress.during(text.trim_end(), sleep(pause)).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// How a job has ended; `None` if it has not.
fn end(job: &JobSummary) -> Option<(End, String)> {
    match &*job.state {
        "completed" => {
            let status = job.status.map(|status| format!(" {status}")).unwrap_or_default();
            Some((End::Done, format!("{} completed{status}", job.id)))
        }
        "failed" => Some((End::JobFailed, printable(&format!("{} failed {}", job.id, why(job))).into_owned())),
        _ => None,
    }
}
