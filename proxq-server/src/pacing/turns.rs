//! Which jobs of a queue begin next: by age or by turns of their credentials, within the limits of the queue and of each
//! credential.
//!
//! [`choose`] decides, a [`Shelf`] does it. A job that is next and may not begin is filed under its credential, so that the jobs
//! behind it are not held up and it is not looked at again before it may begin. So each job is filed at most once, however
//! many wait.

use std::collections::{BTreeSet, HashMap};

use super::rate::{Pace, Schedule};
use super::{Fairness, QueueLimits};
use crate::clock::Timestamp;
use crate::job::CredentialHash;

/// How many jobs one call files at most, so that it does not hold up others.
pub(crate) const FILED_AT_ONCE: usize = 500;

/// How many credentials may have filed jobs: what is known of each is in memory. Jobs of more wait unfiled.
const CREDENTIALS_MAX: usize = 10_000;

/// What holds jobs back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A rate, until then.
    Rate(Timestamp),
    /// The upstream asked to wait, until then.
    Parked(Timestamp),
    /// As many run as may.
    Limit,
}

impl Hold {
    /// When it is over, where that is known.
    pub(crate) fn until(self) -> Option<Timestamp> {
        match self {
            Self::Rate(until) | Self::Parked(until) => Some(until),
            Self::Limit => None,
        }
    }
}

/// How many jobs are asked for, and by which limits.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The most jobs.
    pub max: usize,
    /// The limits of the queue.
    pub limits: QueueLimits,
    /// How many attempts run, direct ones included, of each credential that has any.
    pub running: HashMap<CredentialHash, u32>,
}

/// What is known of the pace of one queue.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The limits of the last question.
    limits: QueueLimits,
    schedule: Schedule,
    credentials: HashMap<CredentialHash, Credential>,
    /// Credentials with filed jobs that may begin, as far as rates and parks go, by their order.
    ready: BTreeSet<(i64, CredentialHash)>,
    /// Those whose rate or park holds them back, by when that ends.
    resting: BTreeSet<(Timestamp, CredentialHash)>,
    /// The last turn that was given.
    last_turn: i64,
    /// At how many credentials those are forgotten of which nothing is left to know.
    forget_at: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Credential {
    parked_until: Option<Timestamp>,
    schedule: Schedule,
    /// The place of its first filed job, or its turn; `None` where it has no filed job.
    order: Option<i64>,
    /// Where it is in `resting`.
    rests_until: Option<Timestamp>,
}

/// A job that may be next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<J> {
    /// The job, in the words of its store.
    pub(crate) job: J,
    /// Whose it is.
    pub(crate) credential: CredentialHash,
    /// Its place among all: what begins first has the lowest.
    pub(crate) order: i64,
}

/// The waiting jobs of a queue, as a store has them.
pub(crate) trait Shelf {
    /// What names a job.
    type Job: Copy;
    /// Why something was not done.
    type Error;

    /// The first job that is due and not filed.
    fn first_pending(&mut self) -> Result<Option<Candidate<Self::Job>>, Self::Error>;

    /// The first filed job of a credential.
    fn first_filed(&mut self, credential: CredentialHash) -> Result<Option<Candidate<Self::Job>>, Self::Error>;

    /// Files a job under its credential.
    fn file(&mut self, job: Self::Job) -> Result<(), Self::Error>;

    /// Hands a job out. Gives whether an attempt at it begins: else it has ended, or cannot be read.
    fn hand_out(&mut self, job: Self::Job) -> Result<bool, Self::Error>;
}

/// What a choice leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// What holds back the whole queue: before it is over, nothing begins.
    pub(crate) held: Option<Hold>,
    /// When the first credential with filed jobs may begin that may not now.
    pub(crate) next: Option<Timestamp>,
    /// Whether there may be more that can begin.
    pub(crate) more: bool,
}

/// Hands out what may begin now, at most as many as the terms say.
pub(crate) fn choose<S: Shelf>(
    turns: &mut Turns,
    shelf: &mut S,
    terms: &Terms,
    now: Timestamp,
) -> Result<Chosen, S::Error> {
    let mut running = terms.running.clone();
    turns.set_limits(terms.limits, now);
    turns.wake(now);
    let room = turns.room(now);
    let fairness = terms.limits.fairness;
    let max = terms.max.min(room);
    let mut filed = 0;
    if fairness == Fairness::Credential && max > 0 {
        while filed < FILED_AT_ONCE
            && let Some(first) = shelf.first_pending()?
            && turns.has_place_for(first.credential)
        {
            shelf.file(first.job)?;
            turns.file(first.credential, first.order, now);
            filed += 1;
        }
    }
    let (mut begun, mut looked) = (0, 0);
    let mut exhausted = max == 0;
    while begun < max && looked < max + FILED_AT_ONCE {
        looked += 1;
        let ready = turns.first_ready(&running);
        let pending = shelf.first_pending()?;
        let from_file = match (ready, &pending) {
            (None, None) => {
                exhausted = true;
                break;
            }
            (Some((order, _)), Some(first)) if fairness == Fairness::None && first.order < order => None,
            (Some((_, credential)), _) => Some(credential),
            (None, Some(_)) => None,
        };
        let candidate = if let Some(credential) = from_file {
            let first = shelf.first_filed(credential)?;
            if let Some(first) = first.filter(|first| !turns.is_behind(credential, first.order)) {
                first
            } else {
                // The one that was first has been cancelled, or its time is over.
                turns.refile(credential, first.map(|first| first.order), now);
                continue;
            }
        } else {
            let Some(first) = pending else { continue };
            if turns.is_full(first.credential, &running) || turns.rest(first.credential, now).is_some() {
                if !turns.has_place_for(first.credential) {
                    exhausted = true;
                    break;
                }
                shelf.file(first.job)?;
                turns.file(first.credential, first.order, now);
                continue;
            }
            first
        };
        let begins = shelf.hand_out(candidate.job)?;
        if begins {
            begun += 1;
            *running.entry(candidate.credential).or_default() += 1;
            turns.begin(candidate.credential, now);
        }
        if from_file.is_some() {
            let next = shelf.first_filed(candidate.credential)?;
            turns.advance(candidate.credential, next.map(|next| next.order), now);
        }
    }
    let held = if max < terms.max && begun == max { turns.schedule.next(now).map(Hold::Rate) } else { None };
    let more = !exhausted && held.is_none() && terms.max > 0;
    Ok(Chosen { held, next: turns.next(), more })
}

impl Turns {
    /// Goes by other limits from now on. What a lower rate would have held back for long is not held back by a higher one.
    pub(crate) fn set_limits(&mut self, limits: QueueLimits, now: Timestamp) {
        let former = std::mem::replace(&mut self.limits, limits);
        if let Some(pace) = limits.rate.filter(|_| former.rate != limits.rate) {
            self.schedule.hurry(pace, now);
        }
        if former.per_credential.rate == limits.per_credential.rate && former.fairness == limits.fairness {
            return;
        }
        let own = self.credential_pace().filter(|_| former.per_credential.rate != limits.per_credential.rate);
        let filed: Vec<_> = self
            .credentials
            .iter()
            .filter(|(_, known)| known.order.is_some())
            .map(|(credential, _)| *credential)
            .collect();
        if let Some(pace) = own {
            self.credentials.values_mut().for_each(|known| known.schedule.hurry(pace, now));
        }
        for credential in filed {
            // Where age decides, its first job has the place that is found when it is looked at.
            let order = if limits.fairness == Fairness::Credential { self.last_turn } else { i64::MIN };
            self.refile(credential, Some(order), now);
        }
    }

    /// Forgets which credentials have filed jobs.
    pub(crate) fn forget_files(&mut self) {
        self.ready.clear();
        self.resting.clear();
        for known in self.credentials.values_mut() {
            (known.order, known.rests_until) = (None, None);
        }
    }

    /// The pace of each credential, if it has one.
    fn credential_pace(&self) -> Option<Pace> {
        self.limits.per_credential.rate.map(Pace::steady)
    }

    /// How many attempts the rate leaves room for now.
    fn room(&self, now: Timestamp) -> usize {
        self.limits.rate.map_or(usize::MAX, |pace| self.schedule.room(pace, now))
    }

    /// Parks a credential: none of its jobs begins before then.
    pub(crate) fn park(&mut self, credential: CredentialHash, until: Timestamp, now: Timestamp) {
        self.forget(now);
        let known = self.credentials.entry(credential).or_default();
        known.parked_until = known.parked_until.max(Some(until));
        if known.order.is_some() {
            self.place(credential, now);
        }
    }

    /// The park or the own rate that holds back the jobs of a credential. A park hides the rate.
    pub(crate) fn rest(&self, credential: CredentialHash, now: Timestamp) -> Option<Hold> {
        let known = self.credentials.get(&credential)?;
        let parked = known.parked(now).map(Hold::Parked);
        parked.or_else(|| known.rate_until(self.credential_pace(), now).map(Hold::Rate))
    }

    /// Lets a direct attempt begin, or says what is in its way. A park is not: its client wants the upstream's own word.
    pub(crate) fn admit(&mut self, credential: CredentialHash, terms: &Terms, now: Timestamp) -> Result<(), Hold> {
        self.set_limits(terms.limits, now);
        if self.is_full(credential, &terms.running) {
            return Err(Hold::Limit);
        }
        let of_all = if self.room(now) == 0 { self.schedule.next(now) } else { None };
        let known = self.credentials.get(&credential).copied().unwrap_or_default();
        if let Some(until) = of_all.max(known.rate_until(self.credential_pace(), now)) {
            return Err(Hold::Rate(until));
        }
        self.begin(credential, now);
        Ok(())
    }

    /// Whether as many attempts of a credential run as may.
    fn is_full(&self, credential: CredentialHash, running: &HashMap<CredentialHash, u32>) -> bool {
        let runs = running.get(&credential).copied().unwrap_or_default();
        self.limits.per_credential.concurrency.is_some_and(|limit| runs >= limit.get())
    }

    /// Notes that an attempt begins.
    fn begin(&mut self, credential: CredentialHash, now: Timestamp) {
        if let Some(pace) = self.limits.rate {
            self.schedule.take(1, pace, now);
        }
        if let Some(pace) = self.credential_pace() {
            self.forget(now);
            self.credentials.entry(credential).or_default().schedule.take(1, pace, now);
            self.place(credential, now);
        }
    }

    /// Whether another credential may have filed jobs, or this one has.
    fn has_place_for(&self, credential: CredentialHash) -> bool {
        self.credentials.len() < CREDENTIALS_MAX || self.credentials.contains_key(&credential)
    }

    /// Notes that a job was filed, or was found filed.
    pub(crate) fn file(&mut self, credential: CredentialHash, order: i64, now: Timestamp) {
        self.forget(now);
        let turn = self.last_turn;
        let known = self.credentials.entry(credential).or_default();
        let before = known.order;
        known.order = Some(match self.limits.fairness {
            Fairness::None => before.map_or(order, |first| first.min(order)),
            Fairness::Credential => before.unwrap_or(turn),
        });
        if before != known.order {
            self.leave(credential, before);
            self.place(credential, now);
        }
    }

    /// Whether a credential stands before the place of its first filed job, where age decides.
    fn is_behind(&self, credential: CredentialHash, first: i64) -> bool {
        let order = self.credentials.get(&credential).and_then(|known| known.order);
        self.limits.fairness == Fairness::None && order.is_some_and(|order| order < first)
    }

    /// Notes which place the first filed job of a credential has; `None` for no filed jobs.
    fn refile(&mut self, credential: CredentialHash, first: Option<i64>, now: Timestamp) {
        self.unfile(credential);
        if let Some(first) = first {
            self.credentials.entry(credential).or_default().order = Some(first);
            self.place(credential, now);
        }
    }

    /// Notes that a credential has no filed jobs.
    fn unfile(&mut self, credential: CredentialHash) {
        let before = self.credentials.get_mut(&credential).and_then(|known| known.order.take());
        self.leave(credential, before);
    }

    /// Notes that the first filed job of a credential was handed out; `next` is the place of the one behind it.
    fn advance(&mut self, credential: CredentialHash, next: Option<i64>, now: Timestamp) {
        self.last_turn += i64::from(next.is_some());
        let turn = (self.limits.fairness == Fairness::Credential).then_some(self.last_turn);
        self.refile(credential, next.map(|next| turn.unwrap_or(next)), now);
    }

    /// Puts a credential with filed jobs among the ready or the resting ones.
    fn place(&mut self, credential: CredentialHash, now: Timestamp) {
        let pace = self.credential_pace();
        let Some(known) = self.credentials.get_mut(&credential) else { return };
        let Some(order) = known.order else { return };
        let until = known.parked(now).max(known.rate_until(pace, now));
        let rested = std::mem::replace(&mut known.rests_until, until);
        if let Some(rested) = rested {
            self.resting.remove(&(rested, credential));
        }
        match until {
            Some(until) => {
                self.ready.remove(&(order, credential));
                self.resting.insert((until, credential));
            }
            None => {
                self.ready.insert((order, credential));
            }
        }
    }

    fn leave(&mut self, credential: CredentialHash, order: Option<i64>) {
        if let Some(order) = order {
            self.ready.remove(&(order, credential));
        }
        let rested = self.credentials.get_mut(&credential).and_then(|known| known.rests_until.take());
        if let Some(rested) = rested {
            self.resting.remove(&(rested, credential));
        }
    }

    /// Has those be ready whose rest is over: where credentials take turns, behind those that wait for theirs.
    fn wake(&mut self, now: Timestamp) {
        let turn = (self.limits.fairness == Fairness::Credential).then_some(self.last_turn);
        while let Some((until, credential)) = self.resting.first().copied()
            && until <= now
        {
            self.resting.pop_first();
            if let Some(known) = self.credentials.get_mut(&credential) {
                known.rests_until = None;
                known.order = known.order.map(|order| turn.unwrap_or(order));
                self.place(credential, now); // its rate may hold it back by now
            }
        }
    }

    /// The first credential with filed jobs that may begin.
    fn first_ready(&self, running: &HashMap<CredentialHash, u32>) -> Option<(i64, CredentialHash)> {
        // Only so many are passed over as have running attempts.
        self.ready.iter().find(|(_, credential)| !self.is_full(*credential, running)).copied()
    }

    /// When the first rest of a credential with filed jobs is over.
    fn next(&self) -> Option<Timestamp> {
        self.resting.first().map(|(until, _)| *until)
    }

    /// Forgets credentials of which there is nothing left to know, now and then.
    fn forget(&mut self, now: Timestamp) {
        const AT_LEAST: usize = 1_000;
        if self.credentials.len() < self.forget_at.max(AT_LEAST) {
            return;
        }
        let pace = self.credential_pace();
        self.credentials.retain(|_, known| {
            let is_paced = pace.is_some_and(|pace| !known.schedule.is_over(pace, now));
            known.order.is_some() || known.parked(now).is_some() || is_paced
        });
        self.forget_at = 2 * self.credentials.len();
    }
}

impl Credential {
    /// Until when it is parked, if it is.
    fn parked(&self, now: Timestamp) -> Option<Timestamp> {
        self.parked_until.filter(|until| *until > now)
    }

    /// Until when its rate holds it back, if it does.
    fn rate_until(&self, pace: Option<Pace>, now: Timestamp) -> Option<Timestamp> {
        let pace = pace?;
        if self.schedule.room(pace, now) > 0 { None } else { self.schedule.next(now) }
    }
}

#[cfg(test)]
mod tests;
