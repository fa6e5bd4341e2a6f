//! All jobs in memory, and the verbs of the store as steps on them.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_util::sync::CancellationToken;

use super::blobs::Blobs;
use super::claims::Claims;
use super::entry::Entry;
use super::turns::Calls;
use crate::clock::{Clock, Timestamp};
use crate::job::{Job, JobId, Outcome, Progress, QueueName, State, Verdict, judge_lost_lease};
use crate::pacing::Turns;
use crate::store::record::Secrets;
use crate::store::signals::{Effect, Signals};
use crate::store::{
    BATCH_LIMIT, Content, LEASE_TERM, Lease, LeasedJob, LeftBy, NewJob, Owner, RECLAIM_GRACE, Requeued, StoreError,
    StoreSettings, Submitted, Turn, Upkept,
};

/// Everything that the store keeps, and those who wait for it.
#[derive(Debug)]
pub(super) struct Jobs {
    clock: Clock,
    pub(super) started_at: Timestamp,
    pub(super) settings: StoreSettings,
    pub(super) signals: Signals,
    pub(super) blobs: Blobs,
    pub(super) closed: bool,
    /// How many calls of `settle` are still to fail.
    pub(super) failing_settles: usize,
    /// How many reports of ended turns are still to fail.
    pub(super) failing_turns: usize,
    claims: Claims,
    pub(super) calls: Calls,
    pub(super) entries: BTreeMap<JobId, Entry>,
    /// The pace of each queue with limits.
    pub(super) turns: HashMap<QueueName, Turns>,
    pub(super) paused: HashSet<QueueName>,
    /// No more jobs are asked for.
    pub(super) draining: bool,
    /// The last number of a submission or token of a lease.
    last_number: u64,
}

impl Jobs {
    pub(super) fn new(settings: StoreSettings, clock: Clock) -> Self {
        Self {
            clock,
            started_at: clock.wall(),
            settings,
            signals: Signals::default(),
            blobs: Blobs::default(),
            closed: false,
            failing_settles: 0,
            failing_turns: 0,
            claims: Claims::default(),
            calls: Calls::default(),
            entries: BTreeMap::new(),
            turns: HashMap::new(),
            paused: HashSet::new(),
            draining: false,
            last_number: 0,
        }
    }

    pub(super) fn reopen(&mut self) {
        self.closed = false;
        self.signals = Signals::default();
        self.blobs.let_go();
        self.calls.reopen();
        (self.draining, self.started_at) = (false, self.clock.wall());
    }

    pub(super) fn submit(&mut self, job: NewJob) -> Submitted {
        let NewJob { queue, mut request, body, delay, claim, max_queued, call, .. } = job;
        let (id, priority, now) = (request.id, request.priority, self.now());
        let secrets = Secrets::take(&mut request, &self.settings.secret_headers);
        let there = self.entries.get(&id);
        if there.is_some_and(|there| there.differs(&request, &body)) {
            return Submitted::Taken;
        }
        let there = there.is_some();
        match claim.and_then(|claim| self.claims.holder(&claim, now)) {
            Some((first, met)) if !there || first == id => return met,
            // It is told of itself, also where its claim has passed to another job meanwhile.
            Some(_) | None if there => return Submitted::Existing(id),
            Some(_) | None => {}
        }
        if let Some(call) = &call
            && let Some(met) = self.calls.join(call, id, now)
        {
            return met;
        }
        if max_queued.is_some_and(|max| self.waiting(&queue) >= max.get() as usize) {
            return Submitted::Full;
        }
        if let Some(call) = &call {
            self.calls.begin(id, call, now);
        }
        if let Some(claim) = claim {
            self.claims.take(id, &claim, now);
        }
        let due_at = delay.filter(|delay| !delay.is_zero()).map(|delay| now.after(delay));
        let bounds = request.bounds;
        let entry = Entry {
            number: self.next_number(),
            queue,
            request,
            secrets,
            body,
            state: if due_at.is_some() { State::Scheduled } else { State::Pending },
            progress: Progress { due_at, ..Progress::default() },
            due: due_at.unwrap_or(now),
            priority,
            filed: false,
            start_by: bounds.to_begin().map(|span| now.after(span)),
            end_by: bounds.deadline.map(|span| now.after(span)),
            lease: None,
            expires: None,
            response: None,
        };
        self.entries.insert(id, entry);
        self.tell(id);
        Submitted::New
    }

    pub(super) fn lease(&mut self, queue: &QueueName, max: usize) -> Vec<LeasedJob> {
        if self.paused.contains(queue) {
            return Vec::new();
        }
        let (now, max) = (self.now(), max.min(BATCH_LIMIT));
        let of_queue = |entry: &&Entry| entry.queue == *queue;
        let due = self.entries.values().filter(of_queue).filter(|entry| entry.is_due(now));
        let mut due: Vec<_> = due.map(|entry| (entry.priority, entry.due, entry.number, entry.request.id)).collect();
        due.sort_unstable();
        let mut leased = Vec::new();
        for (.., id) in &due {
            if leased.len() == max {
                break;
            }
            if self.entries.get(id).is_some_and(|entry| entry.is_overdue(now)) {
                self.end_overdue(*id, now);
            } else {
                leased.push(self.hand_out(*id, now));
            }
        }
        let waiting = self.entries.values().filter(of_queue).filter(|entry| entry.waits());
        let next_due = waiting.map(|entry| entry.due).min();
        let signal = self.signals.queue(queue.as_str());
        if due.len() > max {
            self.signals.apply(Effect::Ready(signal.clone()));
        }
        self.signals.apply(Effect::NextDue(signal, next_due));
        leased
    }

    pub(super) fn hand_out(&mut self, id: JobId, now: Timestamp) -> LeasedJob {
        let token = self.next_number();
        let entry = self.entries.get_mut(&id).expect("it was just found");
        let waited = Some(now.since(entry.due));
        entry.begin(token, now);
        let (request, body, progress) = (entry.whole_request(), entry.body.clone(), entry.progress.clone());
        let left = entry.end_by.map(|by| by.since(now));
        let revoked = CancellationToken::new();
        self.signals.apply(Effect::Leased(id, revoked.clone()));
        self.tell(id);
        LeasedJob { lease: Lease { id, token }, request, body, progress, left, waited, revoked }
    }

    pub(super) fn renew(&mut self, leases: &[Lease]) -> Vec<Lease> {
        let until = self.now().after(LEASE_TERM);
        let mut gone = Vec::new();
        for lease in leases {
            let held = self.entries.get_mut(&lease.id).and_then(|entry| entry.lease.as_mut());
            match held.filter(|held| held.token == lease.token) {
                Some(held) => held.until = until,
                None => gone.push(*lease),
            }
        }
        gone
    }

    pub(super) fn settle(&mut self, lease: &Lease, verdict: Verdict) -> Result<(), StoreError> {
        fails_still(&mut self.failing_settles)?;
        let (id, now) = (lease.id, self.now());
        let entry = self.entries.get_mut(&id).filter(|entry| entry.is_held(lease.token));
        let entry = entry.ok_or(StoreError::LeaseLost { id })?;
        let (frees_claim, ends_call) = (verdict.frees_claim(), verdict.ends_call());
        entry.apply(verdict, now);
        self.let_others(id, frees_claim, ends_call);
        self.signals.apply(Effect::Settled(id));
        self.tell(id);
        Ok(())
    }

    pub(super) fn get(&self, id: JobId) -> Option<Job> {
        self.entries.get(&id).map(Entry::job)
    }

    pub(super) fn owner(&self, id: JobId) -> Owner {
        self.entries.get(&id).map_or(Owner::NoJob, |entry| Owner::Credential(entry.request.credential))
    }

    pub(super) fn response(&self, id: JobId) -> Content {
        let Some(entry) = self.entries.get(&id) else { return Content::Unknown };
        match (entry.state, &entry.response) {
            (State::Completed, Some(response)) => Content::Ready(response.clone()),
            (State::Archived, _) => Content::Failed { error: entry.progress.last_error.clone().unwrap_or_default() },
            _ => Content::NotReady,
        }
    }

    pub(super) fn cancel(&mut self, id: JobId) -> bool {
        let there = self.remove(id);
        if there {
            self.signals.apply(Effect::Revoked(id));
        }
        there
    }

    pub(super) fn retry_failed(&mut self, id: JobId, confirmed: bool) -> Requeued {
        let now = self.now();
        let Some(entry) = self.entries.get_mut(&id) else { return Requeued::Unknown };
        if entry.state != State::Archived {
            return Requeued::NotFailed;
        }
        if entry.progress.outcome == Some(Outcome::Indeterminate) && !confirmed {
            return Requeued::MayDuplicate;
        }
        entry.requeue(now);
        self.claims.set_freed(id, false);
        self.tell(id);
        Requeued::Queued
    }

    pub(super) fn resume(&mut self, id: JobId) -> Option<Turn> {
        let now = self.now();
        self.calls.resume(id, now)
    }

    pub(super) fn answered(&mut self, turn: Turn) -> Result<(), StoreError> {
        fails_still(&mut self.failing_turns)?;
        if self.calls.has_latest(turn) {
            self.calls.remove(turn.id);
            self.signals.apply(Effect::Changed(turn.id));
        }
        Ok(())
    }

    pub(super) fn abandoned(&mut self, turn: Turn, by: LeftBy) -> Result<(), StoreError> {
        fails_still(&mut self.failing_turns)?;
        if self.calls.has_latest(turn) {
            self.calls.abandon(turn.id, by, self.clock.steady());
            self.signals.apply(Effect::Changed(turn.id));
        }
        Ok(())
    }

    pub(super) fn upkeep(&mut self) -> Upkept {
        let now = self.now();
        let overdue = self.batch(|entry| entry.is_overdue(now));
        for id in &overdue {
            self.end_overdue(*id, now);
        }
        let due = self.batch(|entry| entry.waits() && entry.due <= now);
        for id in &due {
            self.entries.get_mut(id).expect("it was just found").wake();
            self.tell(*id);
        }
        for id in self.batch(|entry| entry.has_waited(now)) {
            self.entries.get_mut(&id).expect("it was just found").count_as_normal(now);
        }
        let lost = now.before(RECLAIM_GRACE);
        let lost = self.batch(|entry| entry.lease.is_some_and(|held| held.until < lost));
        for id in &lost {
            self.reclaim(*id, now);
        }
        let expired = self.batch(|entry| entry.expires.is_some_and(|expires| expires <= now));
        for id in &expired {
            self.remove(*id);
        }
        for id in self.calls.given_up(now) {
            if self.entries.get(&id).is_some_and(|entry| !entry.state.status().is_final()) {
                self.cancel(id);
            }
        }
        let referred: Vec<_> = self.entries.values().flat_map(Entry::blobs).collect();
        self.blobs.sweep(&referred);
        Upkept { woken: due.len(), reclaimed: lost.len(), expired: expired.len(), overdue: overdue.len() }
    }

    fn reclaim(&mut self, id: JobId, now: Timestamp) {
        let entry = self.entries.get_mut(&id).expect("it was just found");
        let verdict = judge_lost_lease(&entry.request, &entry.progress, self.settings.max_lease_losses);
        let (frees_claim, ends_call) = (verdict.frees_claim(), verdict.ends_call());
        entry.apply(verdict, now);
        entry.progress.lease_losses += 1;
        if entry.waits() {
            entry.wake(); // the pause after a lost lease is none
        }
        self.let_others(id, frees_claim, ends_call);
        self.signals.apply(Effect::Revoked(id));
        self.tell(id);
    }

    pub(super) fn end_overdue(&mut self, id: JobId, now: Timestamp) {
        let entry = self.entries.get_mut(&id).expect("it was just found");
        let was_not_sent = entry.end_overdue(now);
        self.let_others(id, was_not_sent, was_not_sent);
        self.tell(id);
    }

    /// Lets other submissions have a job's idempotency key, and later tries of its call be jobs of their own.
    fn let_others(&mut self, id: JobId, frees_claim: bool, ends_call: bool) {
        if frees_claim {
            self.claims.set_freed(id, true);
        }
        if ends_call {
            self.calls.remove(id);
        }
    }

    /// Removes a job with all that belongs to it. Gives whether there was one.
    fn remove(&mut self, id: JobId) -> bool {
        let Some(entry) = self.entries.remove(&id) else { return false };
        entry.blobs().for_each(|blob| self.blobs.remove(blob));
        self.claims.remove(id);
        self.calls.remove(id);
        self.tell(id);
        true
    }

    /// Some of the jobs that are like this.
    fn batch(&self, is_meant: impl Fn(&Entry) -> bool) -> Vec<JobId> {
        let meant = self.entries.iter().filter(|(_, entry)| is_meant(entry));
        meant.map(|(id, _)| *id).take(BATCH_LIMIT).collect()
    }

    /// Lets those who wait know that a job has changed, and when it is due.
    fn tell(&self, id: JobId) {
        self.signals.apply(Effect::Changed(id));
        if let Some(entry) = self.entries.get(&id) {
            let queue = self.signals.queue(entry.queue.as_str());
            match entry.state {
                State::Pending => self.signals.apply(Effect::Ready(queue)),
                State::Scheduled | State::Retry => self.signals.apply(Effect::DueAt(queue, entry.due)),
                State::Active | State::Completed | State::Archived => {}
            }
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.steady()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// Fails as long as calls are still to fail.
fn fails_still(calls: &mut usize) -> Result<(), StoreError> {
    match calls.checked_sub(1) {
        None => Ok(()),
        Some(left) => {
            *calls = left;
            Err(StoreError::Unavailable { may_be_done: false, source: "as the test says".into() })
        }
    }
}
