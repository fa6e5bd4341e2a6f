//! One job in memory, and how a verdict changes it.

use std::cmp::Ordering;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::job::{
    Body, Job, JobRequest, Outcome, Priority, Progress, QueueName, Reach, State, StoredResponse, Verdict, judge_overdue,
};
use crate::sealing::Keyring;
use crate::store::pending_place::{Part, PendingPlace};
use crate::store::record::{BodyFields, Facts, Secrets};
use crate::store::{LEASE_TERM, LOW_WAITS_AT_MOST};

/// A job.
#[derive(Debug)]
pub(super) struct Entry {
    /// Grows with every submission.
    pub(super) number: u64,
    pub(super) queue: QueueName,
    /// Without its secret headers.
    pub(super) request: JobRequest,
    pub(super) secrets: Option<Secrets>,
    pub(super) body: Body,
    pub(super) state: State,
    pub(super) progress: Progress,
    /// Since when it is due, or when it will be.
    pub(super) due: Timestamp,
    /// Its present one: normal once a job of low priority has waited.
    pub(super) priority: Priority,
    /// It was put aside, as its credential held it back.
    pub(super) filed: bool,
    /// When its first attempt must have begun.
    pub(super) start_by: Option<Timestamp>,
    /// When any attempt must have begun.
    pub(super) end_by: Option<Timestamp>,
    pub(super) lease: Option<Held>,
    /// When it is dropped, once it has ended.
    pub(super) expires: Option<Timestamp>,
    pub(super) response: Option<StoredResponse>,
}

/// A lease that was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) token: u64,
    pub(super) until: Timestamp,
}

impl Entry {
    /// Whether this submission has the id of this job, and is another one.
    pub(super) fn differs(&self, request: &JobRequest, body: &Body) -> bool {
        let fields = |body| BodyFields::of(body, &Keyring::default()).0;
        let asked = |request: &JobRequest, body| Facts::new(request.clone(), fields(body)).asked();
        self.request.credential != request.credential || asked(&self.request, &self.body) != asked(request, body)
    }

    /// It waits for an instant.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Scheduled | State::Retry)
    }

    /// It has not ended, and no attempt at it runs.
    pub(super) fn is_waiting(&self) -> bool {
        self.state == State::Pending || self.waits()
    }

    /// A worker may have it.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.state == State::Pending || self.waits() && self.due <= now
    }

    /// It is of low priority, and has waited long enough to count as normal.
    pub(super) fn has_waited(&self, now: Timestamp) -> bool {
        let waits = self.state == State::Pending && self.priority == Priority::Low;
        waits && self.due <= now.before(LOW_WAITS_AT_MOST)
    }

    /// Puts it behind those of normal priority.
    pub(super) fn count_as_normal(&mut self, now: Timestamp) {
        (self.priority, self.due) = (Priority::Normal, now);
    }

    /// Its place in a list of jobs in its state; of one that is not pending, only the number counts.
    pub(super) fn place(&self) -> PendingPlace {
        let (part, due_ms) = if self.state == State::Pending {
            (Part::of(self.filed, self.priority), self.due.as_millis())
        } else {
            (Part::of(false, Priority::High), 0)
        };
        PendingPlace { part, due_ms, number: self.number }
    }

    /// The cursor behind it.
    pub(super) fn cursor(&self) -> Option<u64> {
        if self.state == State::Pending { self.place().cursor() } else { Some(self.number) }
    }

    /// Where it is beside a cursor of that list.
    pub(super) fn beside(&self, cursor: u64) -> Ordering {
        match self.state {
            State::Pending => self.place().beside(PendingPlace::from_cursor(cursor)),
            State::Scheduled | State::Active | State::Retry | State::Completed | State::Archived => {
                self.number.cmp(&cursor)
            }
        }
    }

    /// It waits, and its time is over.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        let by = if self.progress.attempts == 0 { self.start_by } else { self.end_by };
        (self.state == State::Pending || self.waits()) && by.is_some_and(|by| by <= now)
    }

    pub(super) fn is_held(&self, token: u64) -> bool {
        self.lease.is_some_and(|held| held.token == token)
    }

    /// What is sent, secret headers included.
    pub(super) fn whole_request(&self) -> JobRequest {
        let mut request = self.request.clone();
        if let Some(secrets) = &self.secrets {
            secrets.clone().put_back(&mut request);
        }
        request
    }

    /// What is shown.
    pub(super) fn job(&self) -> Job {
        Job { request: self.request.clone(), state: self.state, progress: self.progress.clone() }
    }

    /// Its large bodies.
    pub(super) fn blobs(&self) -> impl Iterator<Item = Uuid> {
        let bodies = [Some(&self.body), self.response.as_ref().map(|response| &response.body)];
        bodies.into_iter().flatten().filter_map(|body| match body {
            Body::Inline(_) => None,
            Body::Blob(blob) => Some(blob.id),
        })
    }

    /// Begins an attempt under a new lease.
    pub(super) fn begin(&mut self, token: u64, now: Timestamp) {
        self.state = State::Active;
        self.filed = false;
        self.progress.begin_attempt(now, "memory");
        self.lease = Some(Held { token, until: now.after(LEASE_TERM) });
    }

    /// Ends the attempt and its lease.
    pub(super) fn apply(&mut self, verdict: Verdict, now: Timestamp) {
        self.lease = None;
        match verdict {
            Verdict::Complete(response) => {
                self.progress.end_attempt(now, Reach::Responded, Some(response.head.status.as_u16()));
                self.progress.last_error = None;
                self.response = Some(response);
                self.secrets = None;
                self.end(State::Completed, Outcome::Responded, now);
            }
            Verdict::RetryAfter { pause, error, reach, charged } => {
                self.progress.end_attempt(now, reach, None);
                self.progress.last_error = Some(error);
                self.progress.retried += u32::from(charged);
                self.state = State::Retry;
                self.due = now.after(pause);
                self.progress.due_at = Some(self.due);
            }
            Verdict::Fail { error, reach, outcome } => {
                self.progress.end_attempt(now, reach, None);
                self.progress.last_error = Some(error);
                self.end(State::Archived, outcome, now);
            }
            Verdict::Release => {
                self.progress.revoke_attempt();
                self.state = State::Pending;
            }
        }
    }

    fn end(&mut self, state: State, outcome: Outcome, now: Timestamp) {
        self.state = state;
        self.progress.outcome = Some(outcome);
        self.progress.ended_at = Some(now);
        self.expires = Some(now.after(self.request.retention));
    }

    /// Ends it because its time is over. Gives whether another job may take its idempotency key.
    pub(super) fn end_overdue(&mut self, now: Timestamp) -> bool {
        let overdue = judge_overdue(self.request.bounds, &self.progress);
        overdue.note_in(&mut self.progress);
        self.progress.due_at = None;
        self.end(State::Archived, overdue.outcome, now);
        overdue.frees_claim()
    }

    /// Makes it pending at once, whatever it waited for.
    pub(super) fn wake(&mut self) {
        self.state = State::Pending;
        self.progress.due_at = None;
    }

    /// Makes a failed job pending again, as if it had never failed.
    pub(super) fn requeue(&mut self, now: Timestamp) {
        self.filed = false;
        let Progress { retried, lease_losses, outcome, ended_at, .. } = &mut self.progress;
        (*retried, *lease_losses, *outcome, *ended_at) = (0, 0, None, None);
        self.progress.expired = false;
        (self.expires, self.start_by, self.end_by) = (None, None, None);
        self.due = now;
        self.wake();
    }
}
