//! `lease_within.lua`, `park.lua`, `admit.lua`, `places.lua` and `held_back.lua`: what flow control does in a queue.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use uuid::Uuid;

use super::lease::LeasedJobs;
use super::{Arguments, Call, LeaseJobs, Script, Scripts};
use crate::job::CredentialHash;
use crate::pacing::{FILED_AT_ONCE, Fairness, Pace, QueueLimits, Terms};
use crate::spelling::hex;
use crate::store::redis::answer::{Answer, RedisInstant};
use crate::store::redis::error::unexpected;
use crate::store::redis::fields::{JOB_FIELDS, LEASE_FIELDS, number};
use crate::store::{HeldBack, LEASE_TERM, StoreError};

/// Hands out what may begin.
#[derive(Debug)]
pub(crate) struct LeaseWithin<'a> {
    /// Who asks, and by which order.
    pub(crate) lease: LeaseJobs<'a>,
    pub(crate) terms: &'a Terms,
}

/// What holds back a whole queue, in Redis's time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AdmittedBy {
    /// Nothing.
    All,
    /// A rate, until then.
    Rate(RedisInstant),
    /// As many run as may.
    Limit,
}

impl AdmittedBy {
    fn read(what: i64, until: Option<RedisInstant>, command: &'static str) -> Result<Self, StoreError> {
        match (what, until) {
            (0, _) => Ok(Self::All),
            (1, Some(until)) => Ok(Self::Rate(until)),
            (2, _) => Ok(Self::Limit),
            _ => Err(unexpected(command)),
        }
    }
}

impl Call for LeaseWithin<'_> {
    type Output = (LeasedJobs, AdmittedBy);

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.lease_within
    }

    fn arguments(self) -> Arguments {
        let limits = &self.terms.limits;
        self.lease
            .who_and_what(FILED_AT_ONCE)
            .with(pace_text(limits.rate))
            .optional(limits.shared_concurrency)
            .flag(limits.fairness == Fairness::Credential)
            .with_own_limits(limits)
            .with(running_text(&self.terms.running))
            .each(JOB_FIELDS)
            .each(LEASE_FIELDS)
    }

    fn output(answer: Answer) -> Result<Self::Output, StoreError> {
        let command = answer.command;
        let [paused, now, due, more, jobs, overdue, locked, held, until] = answer.array()?;
        let now_ms = now.number()?;
        let leased = LeasedJobs::read(paused, now_ms, due, more, jobs, overdue, locked)?;
        let held = AdmittedBy::read(held.number()?, RedisInstant::of(until.number()?, now_ms), command)?;
        Ok((leased, held))
    }
}

/// Has no job of a credential begin for a while.
#[derive(Debug)]
pub(crate) struct Park {
    pub(crate) credential: CredentialHash,
    pub(crate) span: Duration,
}

impl Call for Park {
    type Output = ();

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.park
    }

    fn arguments(self) -> Arguments {
        Arguments::new().with(credential_name(self.credential)).millis_at_least(self.span)
    }

    fn output(answer: Answer) -> Result<(), StoreError> {
        answer.flag().map(drop)
    }
}

/// Counts an attempt outside of the queue, if there is room for it.
#[derive(Debug)]
pub(crate) struct Admit<'a> {
    pub(crate) credential: CredentialHash,
    pub(crate) place: Uuid,
    pub(crate) terms: &'a Terms,
}

impl Call for Admit<'_> {
    type Output = AdmittedBy;

    /// A second run would count twice.
    const REPEATABLE: bool = false;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.admit
    }

    fn arguments(self) -> Arguments {
        let limits = &self.terms.limits;
        Arguments::new()
            .with(credential_name(self.credential))
            .shown(self.place)
            .millis(LEASE_TERM)
            .with(pace_text(limits.rate))
            .optional(limits.shared_concurrency)
            .with_own_limits(limits)
            .with(running_text(&self.terms.running))
    }

    fn output(answer: Answer) -> Result<AdmittedBy, StoreError> {
        let command = answer.command;
        let [what, until, now] = answer.array()?;
        AdmittedBy::read(what.number()?, RedisInstant::read(until, now)?, command)
    }
}

/// Holds places for another term, or gives them back.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) places: &'a [(Uuid, CredentialHash)],
    /// For how long; `None` to give them back.
    pub(crate) term: Option<Duration>,
}

impl Call for Places<'_> {
    type Output = ();

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.places
    }

    fn arguments(self) -> Arguments {
        let name = |(place, credential): &(Uuid, CredentialHash)| format!("{place} {}", credential_name(*credential));
        Arguments::new().millis(self.term.unwrap_or_default()).each(self.places.iter().map(name))
    }

    fn output(answer: Answer) -> Result<(), StoreError> {
        answer.flag().map(drop)
    }
}

/// Names the credentials that are held back.
#[derive(Debug)]
pub(crate) struct AllHeldBack;

/// The most that are named of each kind: enough for people to be told why their jobs wait.
const NAMED_MAX: usize = 1_000;

impl Call for AllHeldBack {
    /// Their names, why, and until when.
    type Output = Vec<(String, HeldBack, RedisInstant)>;

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.held_back
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(NAMED_MAX)
    }

    fn output(answer: Answer) -> Result<Self::Output, StoreError> {
        let [now, resting, parked] = answer.array()?;
        let now_ms = now.number()?;
        let mut credentials = Vec::new();
        // What is parked rests, too: the later word counts.
        for (found, why) in [(resting, HeldBack::Rate), (parked, HeldBack::Parked)] {
            for pair in found.fields()?.chunks(2) {
                let [Some(name), Some(score)] = pair else { continue };
                let until: Option<f64> = number(Some(score.clone()));
                #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
                let until = until.and_then(|until| RedisInstant::of(until.ceil() as i64, now_ms));
                credentials.extend(until.map(|until| (String::from_utf8_lossy(name).into_owned(), why, until)));
            }
        }
        Ok(credentials)
    }
}

impl Arguments {
    /// The limits of each credential.
    fn with_own_limits(self, limits: &QueueLimits) -> Self {
        let own = limits.per_credential;
        self.optional(own.concurrency.map(NonZeroU32::get)).with(pace_text(own.rate.map(Pace::steady)))
    }
}

/// What a credential is called in the keys of a queue, as `filing.lua` has it.
pub(crate) fn credential_name(credential: CredentialHash) -> String {
    hex(&credential.0[..8])
}

/// A pace as `pacing.lua` reads it; empty for none.
fn pace_text(pace: Option<Pace>) -> String {
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    pace.map_or_else(String::new, |pace| {
        let spans = [pace.rate.interval(), pace.tolerance(), pace.caught_up()];
        let [interval, tolerance, caught_up] = spans.map(micros);
        format!("{interval:.3} {tolerance:.3} {caught_up:.3}")
    })
}

fn running_text(running: &HashMap<CredentialHash, u32>) -> String {
    let each = running.iter().map(|(credential, count)| format!("{} {count}", credential_name(*credential)));
    each.collect::<Vec<_>>().join(" ")
}
