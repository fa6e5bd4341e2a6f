//! A job as clients see it.

use proxq_protocol::JobInfo;

use crate::config::Config;
use crate::flow::Gates;
use crate::job::{Job, State};

/// The JSON of a job's status. Of an upstream that is not configured any more, less is said.
pub(crate) fn job_info(job: &Job, config: &Config, gates: &Gates) -> JobInfo {
    let upstream = config.upstream(&job.request.upstream);
    let Job { request, state, progress } = job;
    let ended_at = progress.ended_at.map(|instant| instant.to_string());
    let is_waiting = matches!(state, State::Retry | State::Scheduled);
    let shows_error = matches!(state, State::Retry | State::Archived);
    let mut info = JobInfo::new(request.id, state.status());
    info.method = Some(request.method.to_string());
    info.path = Some(request.path.clone()).filter(|path| !path.is_empty());
    info.created_at = Some(request.created_at.to_string());
    info.started_at = progress.started_at.map(|instant| instant.to_string());
    info.completed_at = ended_at.clone().filter(|_| *state == State::Completed);
    info.failed_at = ended_at.filter(|_| *state == State::Archived);
    info.attempts = Some(progress.attempts);
    info.max_retries = upstream.map(|upstream| upstream.retries.max_retries);
    info.waiting = gates.why_waits(job);
    info.next_attempt_at = progress.due_at.filter(|_| is_waiting).map(|instant| instant.to_string());
    info.error = progress.last_error.clone().filter(|_| shows_error);
    info.outcome = progress.outcome.filter(|_| state.status().is_final());
    info
}
