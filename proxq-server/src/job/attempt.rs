//! The progress of a job: its counters and its last attempts.

use std::collections::VecDeque;

use proxq_protocol::Outcome;

use crate::clock::Timestamp;

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// The upstream saw nothing: resolving, connecting or TLS failed, or it refused before processing.
    NotSent,
    /// Something may have arrived, and no complete response came back.
    Unknown,
    /// The upstream responded.
    Responded,
}

/// How many attempts a job remembers.
pub const HISTORY_LIMIT: usize = 20;

/// One ended attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub number: u32,
    /// When it was leased.
    pub started_at: Timestamp,
    /// When it was settled or its lease was found lost.
    pub ended_at: Timestamp,
    /// How far it got.
    pub reach: Reach,
    /// The upstream's status code, where it responded.
    pub status: Option<u16>,
    /// The instance that made it.
    pub instance: String,
}

/// The changing part of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Attempts begun, those included that never connected.
    pub attempts: u32,
    /// Failed attempts charged to the budget.
    pub retried: u32,
    /// Leases that were lost.
    pub lease_losses: u32,
    /// When the first attempt began, by the wall clock.
    pub started_at: Option<Timestamp>,
    /// When the current attempt began, by the wall clock.
    pub attempt_started_at: Option<Timestamp>,
    /// When the job ended, by the wall clock.
    pub ended_at: Option<Timestamp>,
    /// When a delayed or resting job is due, by the store's clock.
    pub due_at: Option<Timestamp>,
    /// The furthest that any ended attempt got.
    pub reach: Option<Reach>,
    /// Why the last attempt failed; cleared by a success.
    pub last_error: Option<String>,
    /// How the job ended.
    pub outcome: Option<Outcome>,
    /// Whether it ended because it was not begun in time.
    pub expired: bool,
    /// The last attempts, oldest first.
    pub history: VecDeque<AttemptRecord>,
    /// The instance that works or worked on it last.
    pub instance: String,
}

impl Progress {
    /// Notes that an attempt begins.
    pub fn begin_attempt(&mut self, now: Timestamp, instance: &str) {
        self.attempts = self.attempts.saturating_add(1);
        self.started_at.get_or_insert(now);
        self.attempt_started_at = Some(now);
        self.due_at = None;
        instance.clone_into(&mut self.instance);
    }

    /// Takes back [`Progress::begin_attempt`] for an attempt that was never made.
    pub fn revoke_attempt(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
        self.attempt_started_at = None;
        if self.attempts == 0 {
            self.started_at = None;
        }
    }

    /// Notes how the current attempt ended.
    pub fn end_attempt(&mut self, now: Timestamp, reach: Reach, status: Option<u16>) {
        self.reach = self.reach.max(Some(reach));
        if self.history.len() == HISTORY_LIMIT {
            self.history.pop_front();
        }
        self.history.push_back(AttemptRecord {
            number: self.attempts,
            started_at: self.attempt_started_at.take().unwrap_or(now),
            ended_at: now,
            reach,
            status,
            instance: self.instance.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_reach_and_the_last_attempts_are_kept() {
        let mut progress = Progress::default();
        for number in 1..=25 {
            progress.begin_attempt(Timestamp::from_millis(number), "one");
            let reach = if number == 3 { Reach::Unknown } else { Reach::NotSent };
            progress.end_attempt(Timestamp::from_millis(number + 1), reach, None);
        }
        assert_eq!((progress.attempts, progress.reach), (25, Some(Reach::Unknown)));
        assert_eq!(progress.history.len(), HISTORY_LIMIT);
        assert_eq!(progress.history.front().unwrap().number, 6);
        assert_eq!(progress.started_at, Some(Timestamp::from_millis(1)), "of the first attempt");
    }

    #[test]
    fn an_attempt_that_was_never_made_does_not_count() {
        let mut progress = Progress::default();
        progress.begin_attempt(Timestamp::from_millis(1), "one");
        progress.revoke_attempt();
        assert_eq!((progress.attempts, progress.started_at, progress.reach), (0, None, None));
    }
}
