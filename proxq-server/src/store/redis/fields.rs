//! A job as the fields of its hash. asynq's are `msg`, `state`, `pending_since` and `result`; ours begin with `x_`.
//!
//! The facts and the head of a response are records with a checksum; what changes is one field a value, so that the
//! scripts can change it.

use std::collections::VecDeque;
use std::str::FromStr;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::job::{AttemptRecord, JobId, Outcome, Progress, Reach, State};
use crate::store::StoreError;
use crate::store::record::{Facts, Record};

/// What there is to know of a job, its bodies left out. In the order in which [`JobFields::read`] takes them.
pub(super) const JOB_FIELDS: [&str; 14] = [
    "state",
    "x_facts",
    "x_attempts",
    "x_retried",
    "x_losses",
    "x_started",
    "x_attempt",
    "x_ended",
    "x_due",
    "x_reach",
    "x_error",
    "x_outcome",
    "x_log",
    "x_by",
];

/// What a worker needs besides.
pub(super) const LEASE_FIELDS: [&str; 2] = ["msg", "x_secrets"];

/// The fields of a job.
#[derive(Debug)]
pub(super) struct JobFields {
    /// The state; `None` if there is no such job.
    pub(super) state: Option<Bytes>,
    /// Its facts; `None` for a job that asynq's client put there.
    pub(super) facts: Option<Bytes>,
    /// What has been done about it.
    pub(super) progress: Progress,
}

impl JobFields {
    /// Takes the values of [`JOB_FIELDS`] from the front of `values`; what is missing reads as its default.
    pub(super) fn read(values: &mut impl Iterator<Item = Option<Bytes>>) -> Self {
        let mut next = || values.next().flatten();
        let (state, facts) = (next(), next());
        let [attempts, retried, lease_losses] = [(); 3].map(|()| number(next()).unwrap_or_default());
        let [started_at, attempt_started_at, ended_at, due_at] =
            [(); 4].map(|()| number(next()).map(Timestamp::from_millis));
        let progress = Progress {
            attempts,
            retried,
            lease_losses,
            started_at,
            attempt_started_at,
            ended_at,
            due_at,
            reach: number(next()).and_then(reach),
            last_error: next().map(|error| text(&error)),
            outcome: number(next()).and_then(outcome),
            history: next().map(|log| history(&text(&log))).unwrap_or_default(),
            instance: next().map(|by| text(&by)).unwrap_or_default(),
        };
        let mut fields = Self { state, facts, progress };
        if !matches!(fields.state(), Some(State::Scheduled | State::Retry)) {
            fields.progress.due_at = None; // left behind by a forwarder that does not know it
        }
        if fields.state() == Some(State::Completed) {
            fields.progress.last_error = None;
        }
        fields
    }

    /// The state, if there is such a job and proxq knows the word. A job of a group waits as one that is scheduled does.
    pub(super) fn state(&self) -> Option<State> {
        self.state.as_deref().and_then(state)
    }

    /// The facts, if proxq wrote the job.
    pub(super) fn facts(&self, id: JobId) -> Result<Option<Facts>, StoreError> {
        self.facts.clone().map(|record| Facts::decode(id, record)).transpose()
    }
}

/// The state that asynq calls by this word.
pub(super) fn state(word: &[u8]) -> Option<State> {
    match word {
        b"pending" => Some(State::Pending),
        b"scheduled" | b"aggregating" => Some(State::Scheduled),
        b"active" => Some(State::Active),
        b"retry" => Some(State::Retry),
        b"completed" => Some(State::Completed),
        b"archived" => Some(State::Archived),
        _ => None,
    }
}

/// asynq's word for a state, and the name of the list or the set where the ids are.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Scheduled => "scheduled",
        State::Active => "active",
        State::Retry => "retry",
        State::Completed => "completed",
        State::Archived => "archived",
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number as the scripts write it.
pub(super) fn number<N: FromStr>(bytes: Option<Bytes>) -> Option<N> {
    std::str::from_utf8(&bytes?).ok()?.parse().ok()
}

/// How the scripts write how far an attempt got.
pub(super) fn reach_number(reach: Reach) -> u8 {
    match reach {
        Reach::NotSent => 1,
        Reach::Unknown => 2,
        Reach::Responded => 3,
    }
}

fn reach(number: u8) -> Option<Reach> {
    [Reach::NotSent, Reach::Unknown, Reach::Responded].into_iter().find(|reach| reach_number(*reach) == number)
}

/// How the scripts write how a job ended.
pub(super) fn outcome_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Responded => 1,
        Outcome::NotSent => 2,
        Outcome::Indeterminate => 3,
    }
}

fn outcome(number: u8) -> Option<Outcome> {
    [Outcome::Responded, Outcome::NotSent, Outcome::Indeterminate]
        .into_iter()
        .find(|outcome| outcome_number(*outcome) == number)
}

/// The last attempts, a line each; a line that is none is passed over.
fn history(log: &str) -> VecDeque<AttemptRecord> {
    log.lines().filter_map(attempt).collect()
}

fn attempt(line: &str) -> Option<AttemptRecord> {
    let mut words = line.splitn(6, ' ');
    let mut next = || words.next();
    Some(AttemptRecord {
        number: next()?.parse().ok()?,
        started_at: Timestamp::from_millis(next()?.parse().ok()?),
        ended_at: Timestamp::from_millis(next()?.parse().ok()?),
        reach: reach(next()?.parse().ok()?)?,
        status: next()?.parse().ok().filter(|status| *status != 0),
        instance: next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_read_line_by_line() {
        let read = history("1 1000 2000 2 0 host:1 x\n2 3000 4000 3 500 host:2\nnonsense\n");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].number, read[0].reach, read[0].status), (1, Reach::Unknown, None));
        assert_eq!((read[0].instance.as_str(), read[1].status), ("host:1 x", Some(500)));
    }

    #[test]
    fn every_state_has_asynqs_word() {
        for known in State::ALL {
            assert_eq!(state(word(known).as_bytes()), Some(known));
        }
    }

    #[test]
    fn what_is_missing_reads_as_its_default() {
        let fields = JobFields::read(&mut std::iter::empty());
        assert_eq!((fields.state(), fields.progress), (None, Progress::default()));
    }
}
