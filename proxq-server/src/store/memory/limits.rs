//! Queues with limits, in memory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use super::jobs::Jobs;
use crate::clock::Timestamp;
use crate::job::{CredentialHash, JobId, QueueName};
use crate::pacing::{Candidate, Hold, Shelf, Terms, choose};
use crate::store::signals::Effect;
use crate::store::{BATCH_LIMIT, HeldBack, Leased, LeasedJob, pending_order};

impl Jobs {
    pub(super) fn lease_within(&mut self, queue: &QueueName, terms: &Terms) -> Leased {
        if self.paused.contains(queue) {
            return Leased::default();
        }
        let now = self.now();
        let terms = Terms { max: terms.max.min(BATCH_LIMIT), ..terms.clone() };
        let mut turns = self.turns.remove(queue).unwrap_or_default();
        let mut table = MemoryShelf { jobs: self, queue, now, handed_out: Vec::new() };
        let Ok(chosen) = choose(&mut turns, &mut table, &terms, now);
        let jobs = table.handed_out;
        self.turns.insert(queue.clone(), turns);
        let waiting = self.entries.values().filter(|entry| entry.queue == *queue && entry.waits());
        let next_due = waiting.map(|entry| entry.due).chain(chosen.next).min();
        let signal = self.signals.queue(queue.as_str());
        if chosen.more {
            self.signals.apply(Effect::Ready(signal.clone()));
        }
        self.signals.apply(Effect::NextDue(signal, next_due));
        Leased { jobs, held: chosen.held }
    }

    pub(super) fn park(&mut self, queue: &QueueName, credential: CredentialHash, span: Duration) {
        let now = self.now();
        let turns = self.turns.entry(queue.clone()).or_default();
        turns.park(credential, now.after(span), now);
    }

    pub(super) fn admit(&mut self, queue: &QueueName, credential: CredentialHash, terms: &Terms) -> Result<(), Hold> {
        let now = self.now();
        let turns = self.turns.entry(queue.clone()).or_default();
        turns.admit(credential, terms, now)
    }

    pub(super) fn held_back(&self, queue: &QueueName, credential: CredentialHash) -> Option<HeldBack> {
        if self.paused.contains(queue) {
            return Some(HeldBack::Paused);
        }
        self.turns.get(queue)?.rest(credential, self.now()).and_then(HeldBack::by)
    }

    pub(super) fn pause(&mut self, queue: &QueueName) -> bool {
        self.paused.insert(queue.clone())
    }

    pub(super) fn resume_queue(&mut self, queue: &QueueName) -> bool {
        self.signals.apply(Effect::Ready(self.signals.queue(queue.as_str())));
        self.paused.remove(queue)
    }

    pub(super) fn leftover_queues(&self, known: &[QueueName]) -> Vec<QueueName> {
        let all = self.entries.values().map(|entry| entry.queue.as_str()).collect::<BTreeSet<_>>();
        all.into_iter().filter_map(QueueName::new).filter(|queue| !known.contains(queue)).collect()
    }

    /// How many jobs of a queue wait.
    pub(super) fn waiting(&self, queue: &QueueName) -> usize {
        self.entries.values().filter(|entry| entry.queue == *queue && entry.is_waiting()).count()
    }
}

struct MemoryShelf<'j> {
    jobs: &'j mut Jobs,
    queue: &'j QueueName,
    now: Timestamp,
    handed_out: Vec<LeasedJob>,
}

impl MemoryShelf<'_> {
    fn first(&self, filed_under: Option<CredentialHash>) -> Option<Candidate<JobId>> {
        let due = self.jobs.entries.values().filter(|entry| entry.queue == *self.queue && entry.is_due(self.now));
        let meant = due.filter(|entry| match filed_under {
            None => !entry.filed,
            Some(credential) => entry.filed && entry.request.credential == credential,
        });
        let first = meant.min_by_key(|entry| (pending_order(entry.priority, entry.due), entry.number))?;
        Some(Candidate {
            job: first.request.id,
            credential: first.request.credential,
            order: pending_order(first.priority, first.due),
        })
    }
}

impl Shelf for MemoryShelf<'_> {
    type Job = JobId;
    type Error = Infallible;

    fn first_pending(&mut self) -> Result<Option<Candidate<JobId>>, Infallible> {
        Ok(self.first(None))
    }

    fn first_filed(&mut self, credential: CredentialHash) -> Result<Option<Candidate<JobId>>, Infallible> {
        Ok(self.first(Some(credential)))
    }

    fn file(&mut self, id: JobId) -> Result<(), Infallible> {
        let entry = self.jobs.entries.get_mut(&id).expect("it was just found");
        if entry.waits() {
            entry.wake();
        }
        entry.filed = true;
        Ok(())
    }

    fn hand_out(&mut self, id: JobId) -> Result<bool, Infallible> {
        let is_overdue = self.jobs.entries.get(&id).is_some_and(|entry| entry.is_overdue(self.now));
        if is_overdue {
            self.jobs.end_overdue(id, self.now);
        } else {
            let job = self.jobs.hand_out(id, self.now);
            self.handed_out.push(job);
        }
        Ok(!is_overdue)
    }
}
