//! The turns of clients that wait for jobs.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::job::JobId;
use crate::store::{CANCEL_ABANDONED_AFTER, Call, JOIN_WINDOW, Join, LOST_TURN_WINDOW, LeftBy, Submitted, Turn};

/// The calls that have not ended, by their jobs.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<JobId, OpenCall>,
}

#[derive(Debug)]
struct OpenCall {
    call: Call,
    /// The number of the latest turn.
    number: u32,
    waiting: Waiting,
    /// Since when that is so; for a turn that was lost, since when it lasted.
    since: Timestamp,
    /// The submission that joined last.
    joiner: Option<JobId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// A client.
    Held,
    /// None: it went away.
    Abandoned,
    /// None: its server let it go.
    LetGo,
    /// None: its server ended.
    Lost,
}

impl OpenCall {
    fn take_turn(&mut self, id: JobId, joiner: Option<JobId>, now: Timestamp) -> Turn {
        *self = Self { number: self.number + 1, waiting: Waiting::Held, since: now, joiner, ..*self };
        Turn { id, number: self.number }
    }

    fn can_be_joined(&self, now: Timestamp) -> bool {
        match self.waiting {
            Waiting::Held => false,
            Waiting::Abandoned | Waiting::LetGo => now.since(self.since) < JOIN_WINDOW,
            Waiting::Lost => now.since(self.since) < LOST_TURN_WINDOW,
        }
    }
}

impl Calls {
    /// The server ended, and all turns with it.
    pub(super) fn reopen(&mut self) {
        for call in self.open.values_mut().filter(|call| call.waiting == Waiting::Held) {
            call.waiting = Waiting::Lost;
        }
    }

    /// What a submission meets that may be a later try; `None` where it becomes a job.
    pub(super) fn join(&mut self, call: &Call, submission: JobId, now: Timestamp) -> Option<Submitted> {
        let key = call.key.filter(|_| call.join != Join::Never)?;
        let mut same: Vec<_> = self.open.iter_mut().filter(|(_, open)| open.call.key == Some(key)).collect();
        if let Some((id, open)) = same.iter().find(|(_, open)| open.joiner == Some(submission)) {
            return Some(Submitted::Joined(Turn { id: **id, number: open.number }));
        }
        same.sort_by_key(|(_, open)| open.since);
        if let Some((id, open)) = same.iter_mut().find(|(_, open)| open.can_be_joined(now)) {
            return Some(Submitted::Joined(open.take_turn(**id, Some(submission), now)));
        }
        let held = same.iter().rfind(|(_, open)| open.waiting == Waiting::Held);
        held.filter(|_| call.join == Join::OrWait).map(|(id, _)| Submitted::StillHeld(**id))
    }

    /// Begins the first turn of a new job.
    pub(super) fn begin(&mut self, id: JobId, call: &Call, now: Timestamp) {
        let open = OpenCall { call: *call, number: 1, waiting: Waiting::Held, since: now, joiner: None };
        self.open.insert(id, open);
    }

    pub(super) fn resume(&mut self, id: JobId, now: Timestamp) -> Option<Turn> {
        self.open.get_mut(&id).map(|open| open.take_turn(id, None, now))
    }

    pub(super) fn has_latest(&self, turn: Turn) -> bool {
        self.open.get(&turn.id).is_some_and(|open| open.number == turn.number)
    }

    pub(super) fn abandon(&mut self, id: JobId, by: LeftBy, now: Timestamp) {
        if let Some(open) = self.open.get_mut(&id) {
            open.since = now;
            open.waiting = match by {
                LeftBy::Client => Waiting::Abandoned,
                LeftBy::Server => Waiting::LetGo,
            };
        }
    }

    pub(super) fn left_by(&self, id: JobId) -> Option<LeftBy> {
        match self.open.get(&id)?.waiting {
            Waiting::Held => None,
            Waiting::Abandoned => Some(LeftBy::Client),
            Waiting::LetGo | Waiting::Lost => Some(LeftBy::Server),
        }
    }

    /// Ends the call of a job.
    pub(super) fn remove(&mut self, id: JobId) {
        self.open.remove(&id);
    }

    /// The jobs that are to be cancelled, for nobody has come back.
    pub(super) fn given_up(&self, now: Timestamp) -> Vec<JobId> {
        let is_given_up = |open: &OpenCall| {
            open.call.cancel_when_abandoned
                && open.waiting == Waiting::Abandoned
                && now.since(open.since) >= CANCEL_ABANDONED_AFTER
        };
        self.open.iter().filter(|(_, open)| is_given_up(open)).map(|(id, _)| *id).collect()
    }
}
