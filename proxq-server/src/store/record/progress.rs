//! How far a job has come.

use super::fields::{outcome, outcome_number, reach, reach_number};
use crate::clock::Timestamp;
use crate::job::{AttemptRecord, Progress};

/// Instants are milliseconds since the Unix epoch. When a job is due is kept by the store beside the record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ProgressFields {
    #[prost(uint32, tag = "1")]
    attempts: u32,
    #[prost(uint32, tag = "2")]
    retried: u32,
    #[prost(uint32, tag = "3")]
    lease_losses: u32,
    #[prost(int64, optional, tag = "4")]
    started_at: Option<i64>,
    #[prost(int64, optional, tag = "5")]
    attempt_started_at: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    ended_at: Option<i64>,
    #[prost(uint32, optional, tag = "7")]
    reach: Option<u32>,
    #[prost(string, optional, tag = "8")]
    last_error: Option<String>,
    #[prost(uint32, optional, tag = "9")]
    outcome: Option<u32>,
    #[prost(message, repeated, tag = "10")]
    history: Vec<AttemptFields>,
    #[prost(string, tag = "11")]
    instance: String,
    #[prost(bool, tag = "13")]
    expired: bool,
    // Reserved: 12 how far a growing result has come.
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct AttemptFields {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(int64, tag = "2")]
    started_at: i64,
    #[prost(int64, tag = "3")]
    ended_at: i64,
    #[prost(uint32, tag = "4")]
    reach: u32,
    #[prost(uint32, optional, tag = "5")]
    status: Option<u32>,
    #[prost(string, tag = "6")]
    instance: String,
}

impl ProgressFields {
    pub(super) fn of(progress: &Progress) -> Self {
        let attempt = |attempt: &AttemptRecord| AttemptFields {
            number: attempt.number,
            started_at: attempt.started_at.as_millis(),
            ended_at: attempt.ended_at.as_millis(),
            reach: reach_number(attempt.reach),
            status: attempt.status.map(u32::from),
            instance: attempt.instance.clone(),
        };
        Self {
            attempts: progress.attempts,
            retried: progress.retried,
            lease_losses: progress.lease_losses,
            started_at: progress.started_at.map(Timestamp::as_millis),
            attempt_started_at: progress.attempt_started_at.map(Timestamp::as_millis),
            ended_at: progress.ended_at.map(Timestamp::as_millis),
            reach: progress.reach.map(reach_number),
            last_error: progress.last_error.clone(),
            outcome: progress.outcome.map(outcome_number),
            expired: progress.expired,
            history: progress.history.iter().map(attempt).collect(),
            instance: progress.instance.clone(),
        }
    }

    pub(super) fn into_progress(self) -> Option<Progress> {
        let attempt = |attempt: AttemptFields| {
            Some(AttemptRecord {
                number: attempt.number,
                started_at: Timestamp::from_millis(attempt.started_at),
                ended_at: Timestamp::from_millis(attempt.ended_at),
                reach: reach(attempt.reach)?,
                status: attempt.status.map(u16::try_from).transpose().ok()?,
                instance: attempt.instance,
            })
        };
        Some(Progress {
            attempts: self.attempts,
            retried: self.retried,
            lease_losses: self.lease_losses,
            started_at: self.started_at.map(Timestamp::from_millis),
            attempt_started_at: self.attempt_started_at.map(Timestamp::from_millis),
            ended_at: self.ended_at.map(Timestamp::from_millis),
            due_at: None,
            reach: match self.reach {
                None => None,
                Some(number) => Some(reach(number)?),
            },
            last_error: self.last_error,
            outcome: match self.outcome {
                None => None,
                Some(number) => Some(outcome(number)?),
            },
            expired: self.expired,
            history: self.history.into_iter().map(attempt).collect::<Option<_>>()?,
            instance: self.instance,
        })
    }
}
