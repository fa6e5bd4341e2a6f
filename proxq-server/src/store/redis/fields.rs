//! A job as the fields of its hash. asynq's are `msg`, `state`, `pending_since` and `result`; ours begin with `x_`.
//!
//! The facts and the head of a response are records with a checksum; what changes is one field a value, so that the
//! scripts can change it.

use std::collections::VecDeque;
use std::str::FromStr;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::job::{AttemptRecord, JobId, Outcome, Progress, Reach, State};
use crate::sealing::Keyring;
use crate::store::StoreError;
use crate::store::record::{Facts, Record};

/// What there is to know of a job, its bodies left out. In the order in which [`JobFields::read`] takes them.
pub(super) const JOB_FIELDS: [&str; 15] = [
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
    "x_expired",
];

/// What a worker needs besides.
pub(super) const LEASE_FIELDS: [&str; 4] = ["msg", "x_secrets", "x_bounds", "x_since"];

/// The fields of a job.
#[derive(Debug)]
pub(super) struct JobFields {
    /// The state; `None` if there is none, or none that proxq knows.
    pub(super) state: Option<State>,
    /// Its facts; `None` for a job that asynq's client put there.
    facts: Option<Bytes>,
    /// What of it is there and cannot be read.
    pub(super) damaged: Option<&'static str>,
    /// What has been done about it.
    pub(super) progress: Progress,
}

impl JobFields {
    /// Takes the values of [`JOB_FIELDS`] from the front of `values`; what is missing reads as its default.
    pub(super) fn read(values: &mut impl Iterator<Item = Option<Bytes>>) -> Self {
        let mut next = || values.next().flatten();
        let mut damage = Damage(None);
        let state = damage.found("state", next(), |word| state(&word));
        let facts = next();
        let [attempts, retried, lease_losses] =
            [(); 3].map(|()| damage.found("progress", next(), parsed).unwrap_or_default());
        let [started_at, attempt_started_at, ended_at, due_at] =
            [(); 4].map(|()| damage.found("progress", next(), parsed).map(Timestamp::from_millis));
        let progress = Progress {
            attempts,
            retried,
            lease_losses,
            started_at,
            attempt_started_at,
            ended_at,
            due_at,
            reach: damage.found("progress", next(), |number| parsed(number).and_then(reach)),
            last_error: next().map(|error| text(&error)),
            outcome: damage.found("progress", next(), |number| parsed(number).and_then(outcome)),
            history: next().map(|log| history(&text(&log))).unwrap_or_default(),
            instance: next().map(|by| text(&by)).unwrap_or_default(),
            expired: next().is_some_and(|flag| flag == "1"),
        };
        let mut fields = Self { state, facts, damaged: damage.0, progress };
        if !matches!(fields.state, Some(State::Scheduled | State::Retry)) {
            fields.progress.due_at = None; // left behind by a forwarder that does not know it
        }
        if fields.state == Some(State::Completed) {
            fields.progress.last_error = None;
        }
        fields
    }

    /// The facts, if proxq wrote the job. Fails where anything of the job cannot be read: then nothing of it counts.
    pub(super) fn facts(&self, id: JobId, keys: &Keyring) -> Result<Option<Facts>, StoreError> {
        self.facts_by(id, |record| Facts::decode(id, record, keys))
    }

    /// The same, as far as they can be read without a key that this process does not have.
    pub(super) fn open_facts(&self, id: JobId, keys: &Keyring) -> Result<Option<Facts>, StoreError> {
        self.facts_by(id, |record| Facts::decode_open(id, record, keys))
    }

    fn facts_by(
        &self,
        id: JobId,
        decode: impl FnOnce(Bytes) -> Result<Facts, StoreError>,
    ) -> Result<Option<Facts>, StoreError> {
        // First, for a later version may write what this one cannot read.
        let facts = self.facts.clone().map(decode).transpose()?;
        self.damaged.map_or(Ok(facts), |what| Err(StoreError::CorruptJob { id, what }))
    }
}

/// The first part of a job that was found to be damaged.
struct Damage(Option<&'static str>);

impl Damage {
    /// What a field says, if it is there.
    fn found<T>(
        &mut self,
        part: &'static str,
        field: Option<Bytes>,
        read: impl FnOnce(Bytes) -> Option<T>,
    ) -> Option<T> {
        let field = field?;
        let value = read(field);
        if value.is_none() {
            self.0.get_or_insert(part);
        }
        value
    }
}

/// The state that asynq calls by this word. A job of a group waits as one that is scheduled does.
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
    parsed(bytes?)
}

#[expect(clippy::needless_pass_by_value, reason = "it reads a field that was taken")]
fn parsed<N: FromStr>(field: Bytes) -> Option<N> {
    std::str::from_utf8(&field).ok()?.parse().ok()
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
        assert_eq!((fields.state, fields.damaged, fields.progress), (None, None, Progress::default()));
    }

    #[test]
    fn what_cannot_be_read_is_damage() {
        let read = |name: &str, value: &'static str| {
            let values = JOB_FIELDS.map(|field| (field == name).then(|| Bytes::from(value)));
            JobFields::read(&mut values.into_iter())
        };
        assert_eq!(read("state", "nonsense").damaged, Some("state"));
        for field in JOB_FIELDS {
            let is_text = matches!(field, "x_facts" | "x_error" | "x_log" | "x_by" | "x_expired" | "state");
            assert_eq!(read(field, "nonsense").damaged.is_some(), !is_text || field == "state", "{field}");
            assert_eq!(read(field, "").damaged.is_some(), !is_text || field == "state", "{field}");
        }
        for (field, beyond) in
            [("x_reach", "4"), ("x_outcome", "4"), ("x_attempts", "-1"), ("x_retried", "99999999999")]
        {
            assert_eq!(read(field, beyond).damaged, Some("progress"), "{field}");
            assert_eq!(read(field, "1").damaged, None, "{field}");
        }
    }
}
