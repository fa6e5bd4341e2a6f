//! Flags of `proxq jobs`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use proxq_protocol::JobId;

use super::place::AtOperators;
use super::span::span;

/// What to do with jobs.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum JobsCommand {
    /// List jobs, by their states.
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Show everything about a job.
    Show(Show),
    /// Have failed jobs run again.
    #[command(after_help = RETRY_EXAMPLES)]
    Retry(Retry),
    /// Cancel jobs: each is removed with all that is stored of it.
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel(Cancel),
    /// Wait until jobs have ended, and say how.
    #[command(after_help = WAIT_CODES)]
    Wait(Wait),
}

const LIST_EXAMPLES: &str = "\
Examples:
  proxq jobs list --state failed --newer-than 1h
  proxq jobs list --upstream /api --status 5xx --order oldest
  proxq jobs list --state failed --json --limit 1000 | jq -r .id";

const RETRY_EXAMPLES: &str = "\
Examples:
  proxq jobs retry 550e8400-e29b-41d4-a716-446655440000
  proxq jobs retry --all --upstream /api --error 'connection refused'
  proxq jobs retry --all --upstream /api --dry-run

Exit codes: 0 if all was done, 1 if something was refused or the server does not answer, 2 for a mistake in the flags or
where nobody can confirm, 4 if there is no such job.";

const CANCEL_EXAMPLES: &str = "\
Examples:
  proxq jobs cancel 550e8400-e29b-41d4-a716-446655440000
  proxq jobs cancel --all --queue default --older-than 24h --yes

Exit codes: those of `proxq jobs retry`.";

const WAIT_CODES: &str = "\
Exit codes: 0 if all jobs were completed, 3 if one failed, 4 if there is no such job or it was cancelled, 28 if the time of
--timeout is over, 1 if the server does not answer, 130 after Ctrl-C.";

/// Which jobs. All that is said has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Chosen {
    /// Jobs in this state: pending, scheduled, active, retry, completed or failed.
    #[arg(long)]
    pub state: Option<String>,
    /// Jobs for the upstream with this prefix.
    #[arg(id = "of_upstream", long = "upstream", value_name = "PREFIX")]
    pub upstream: Option<String>,
    /// Jobs in this queue.
    #[arg(long)]
    pub queue: Option<String>,
    /// Jobs with this method.
    #[arg(long)]
    pub method: Option<String>,
    /// Jobs whose path begins with this.
    #[arg(long)]
    pub path: Option<String>,
    /// Jobs whose last response had this status code, or one of this class: 503, 5xx.
    #[arg(long)]
    pub status: Option<String>,
    /// Ended jobs that got so far: responded, `not_sent` or indeterminate.
    #[arg(long)]
    pub outcome: Option<String>,
    /// Jobs whose error has this text in it.
    #[arg(long, value_name = "TEXT")]
    pub error: Option<String>,
    /// Jobs that were submitted at least so long ago: 10m, 24h.
    #[arg(long, value_name = "DURATION")]
    pub older_than: Option<String>,
    /// Jobs that were submitted at most so long ago.
    #[arg(long, value_name = "DURATION")]
    pub newer_than: Option<String>,
}

/// Which jobs of a state come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The latest.
    Newest,
    /// The oldest.
    Oldest,
}

/// `proxq jobs list`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct List {
    /// Which jobs.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Which jobs of each state come first.
    #[arg(long, default_value = "newest")]
    pub order: Order,
    /// The most jobs to list.
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Print a JSON object for each job, a line each.
    #[arg(long)]
    pub json: bool,
    /// Where the server is.
    #[command(flatten)]
    pub at: AtOperators,
}

/// `proxq jobs show`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Show {
    /// The job's id.
    pub id: JobId,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
    /// Where the server is.
    #[command(flatten)]
    pub at: AtOperators,
}

/// The jobs of an order: some by their ids, or all that are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Ordered {
    /// The jobs' ids.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with_all = ["all", "Chosen"])]
    pub ids: Vec<JobId>,
    /// All jobs that these flags choose. They are counted first, and the order is to be confirmed.
    #[arg(long)]
    pub all: bool,
    /// Which jobs.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Do not ask; needed where there is no terminal to ask at.
    #[arg(long, conflicts_with = "ids")]
    pub yes: bool,
    /// Only count the jobs.
    #[arg(long, conflicts_with_all = ["ids", "yes"])]
    pub dry_run: bool,
}

/// `proxq jobs retry`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Retry {
    /// Which jobs.
    #[command(flatten)]
    pub ordered: Ordered,
    /// Also jobs that may have reached their upstream, which then may see them twice.
    #[arg(long)]
    pub may_duplicate: bool,
    /// Where the server is.
    #[command(flatten)]
    pub at: AtOperators,
}

/// `proxq jobs cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Cancel {
    /// Which jobs.
    #[command(flatten)]
    pub ordered: Ordered,
    /// Where the server is.
    #[command(flatten)]
    pub at: AtOperators,
}

/// `proxq jobs wait`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Wait {
    /// The jobs' ids.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<JobId>,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub timeout: Option<Duration>,
    /// Where the server is.
    #[command(flatten)]
    pub at: AtOperators,
}
