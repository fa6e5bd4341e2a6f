//! The choice of jobs beside a simple model: a list of jobs that is searched from its beginning.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pacing::{PerCredential, Rate};

/// A job of the model: its credential, and whether it is filed. Its number is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    number: i64,
    credential: CredentialHash,
    filed: bool,
}

#[derive(Debug, Default)]
struct Model {
    waiting: Vec<Waiting>,
    begun: Vec<Waiting>,
    times_filed: usize,
}

impl Model {
    fn add(&mut self, credential: u64) {
        let number = i64::try_from(self.waiting.len() + self.begun.len()).unwrap();
        self.waiting.push(Waiting { number, credential: key(credential), filed: false });
    }

    fn first(&self, holds: impl Fn(&Waiting) -> bool) -> Option<Candidate<i64>> {
        let first = self.waiting.iter().find(|job| holds(job))?;
        Some(Candidate { job: first.number, credential: first.credential, order: first.number })
    }

    fn begun_by(&self) -> Vec<u64> {
        self.begun.iter().map(|job| u64::from_be_bytes(*job.credential.0.first_chunk().unwrap())).collect()
    }
}

impl Shelf for Model {
    type Job = i64;
    type Error = Infallible;

    fn first_pending(&mut self) -> Result<Option<Candidate<i64>>, Infallible> {
        Ok(self.first(|job| !job.filed))
    }

    fn first_filed(&mut self, credential: CredentialHash) -> Result<Option<Candidate<i64>>, Infallible> {
        Ok(self.first(|job| job.filed && job.credential == credential))
    }

    fn file(&mut self, number: i64) -> Result<(), Infallible> {
        let job = self.waiting.iter_mut().find(|job| job.number == number).unwrap();
        assert!(!std::mem::replace(&mut job.filed, true), "filed twice");
        self.times_filed += 1;
        Ok(())
    }

    fn hand_out(&mut self, number: i64) -> Result<bool, Infallible> {
        let index = self.waiting.iter().position(|job| job.number == number).unwrap();
        self.begun.push(self.waiting.remove(index));
        Ok(true)
    }
}

fn key(number: u64) -> CredentialHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    CredentialHash(hash)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn ask(turns: &mut Turns, model: &mut Model, limits: QueueLimits, max: usize, now: i64) -> Chosen {
    let terms = Terms { max, limits, running: HashMap::new() };
    let Ok(chosen) = choose(turns, model, &terms, at(now));
    chosen
}

#[test]
fn without_limits_the_oldest_begin() {
    let (mut turns, mut model) = (Turns::default(), Model::default());
    for credential in [1, 1, 2, 1] {
        model.add(credential);
    }
    let chosen = ask(&mut turns, &mut model, QueueLimits::default(), 3, 0);
    assert_eq!((model.begun_by(), chosen.held, chosen.more), (vec![1, 1, 2], None, true));
    let chosen = ask(&mut turns, &mut model, QueueLimits::default(), 3, 0);
    assert_eq!((model.waiting.len(), chosen), (0, Chosen::default()));
    assert_eq!(model.times_filed, 0);
}

#[test]
fn a_parked_credential_holds_up_nobody_else_and_comes_first_afterwards() {
    let (mut turns, mut model) = (Turns::default(), Model::default());
    let limits = QueueLimits::default();
    for credential in [1, 1, 1, 2, 1, 2] {
        model.add(credential);
    }
    turns.park(key(1), at(500), at(0));
    let chosen = ask(&mut turns, &mut model, limits, 10, 0);
    assert_eq!(model.begun_by(), [2, 2]);
    assert_eq!((chosen.held, chosen.next, chosen.more), (None, Some(at(500)), false));
    model.add(2);
    model.add(1);
    let chosen = ask(&mut turns, &mut model, limits, 10, 500);
    assert_eq!(model.begun_by(), [2, 2, 1, 1, 1, 1, 2, 1], "by age");
    assert_eq!((chosen.next, model.times_filed), (None, 4));
}

#[test]
fn credentials_take_turns() {
    let (mut turns, mut model) = (Turns::default(), Model::default());
    let limits = QueueLimits { fairness: Fairness::Credential, ..QueueLimits::default() };
    for credential in [1, 1, 1, 1, 1, 2, 2, 3] {
        model.add(credential);
    }
    ask(&mut turns, &mut model, limits, 4, 0);
    assert_eq!(model.begun_by(), [1, 2, 3, 1]);
    model.add(4);
    ask(&mut turns, &mut model, limits, 10, 0);
    assert_eq!(model.begun_by()[4..], [2, 1, 4, 1, 1], "whoever is new comes behind those that wait");
}

#[test]
fn a_rate_holds_back_the_whole_queue_until_it_says() {
    let (mut turns, mut model) = (Turns::default(), Model::default());
    let limits = QueueLimits { rate: Some(Pace::steady(rate("10/s"))), ..QueueLimits::default() };
    for _ in 0..5 {
        model.add(1);
    }
    let chosen = ask(&mut turns, &mut model, limits, 10, 0);
    let Some(Hold::Rate(until)) = chosen.held else { panic!("{chosen:?}") };
    assert_eq!((model.begun.len(), chosen.more), (1, false));
    assert!(until > at(70) && until < at(110), "{until:?}");
    let again = ask(&mut turns, &mut model, limits, 10, 10);
    assert_eq!((model.begun.len(), again.held), (1, chosen.held));
}

#[test]
fn a_direct_attempt_counts_and_minds_no_park() {
    let mut turns = Turns::default();
    let limits = QueueLimits {
        rate: Some(Pace::steady(rate("2/s"))),
        per_credential: PerCredential { concurrency: NonZeroU32::new(1), rate: Some(rate("1/m")) },
        ..QueueLimits::default()
    };
    let (one, other) = (key(1), key(2));
    let with = |running| Terms { max: 1, limits, running };
    turns.park(one, at(10_000), at(0));
    assert_eq!(turns.admit(one, &with(HashMap::new()), at(0)), Ok(()));
    assert!(matches!(turns.admit(other, &with(HashMap::new()), at(0)), Err(Hold::Rate(until)) if until < at(600)));
    assert!(matches!(turns.admit(other, &with(HashMap::from([(other, 1)])), at(1000)), Err(Hold::Limit)));
    assert_eq!(turns.admit(other, &with(HashMap::new()), at(1000)), Ok(()));
    assert!(
        matches!(turns.admit(other, &with(HashMap::new()), at(5000)), Err(Hold::Rate(until)) if until > at(50_000))
    );
}

#[test]
fn what_is_known_of_credentials_does_not_pile_up() {
    let mut turns = Turns::default();
    for credential in 0..100_000 {
        turns.park(
            key(credential),
            at(i64::try_from(credential).unwrap() + 10),
            at(i64::try_from(credential).unwrap()),
        );
    }
    assert!(turns.credentials.len() < 3_000, "{}", turns.credentials.len());
}

#[derive(Clone, Debug)]
enum Event {
    Add(u64),
    Park(u64, i64),
    Ask(usize),
    Pass(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0_u64..4).prop_map(Event::Add),
        1 => (0_u64..4, 1_i64..300).prop_map(|(credential, span)| Event::Park(credential, span)),
        3 => (0_usize..6).prop_map(Event::Ask),
        2 => (1_i64..200).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..150)
}

fn limits() -> impl Strategy<Value = QueueLimits> {
    (prop::option::of(1_u32..40), prop::option::of(1_u32..20), prop::option::of(1_u32..3), any::<bool>()).prop_map(
        |(all, each, at_once, fair)| {
            let per_second = |count: u32| Rate::new(NonZeroU32::new(count)?, Duration::from_secs(1));
            QueueLimits {
                rate: all.and_then(per_second).map(Pace::steady),
                shared_concurrency: None,
                fairness: if fair { Fairness::Credential } else { Fairness::None },
                per_credential: PerCredential {
                    concurrency: at_once.and_then(NonZeroU32::new),
                    rate: each.and_then(per_second),
                },
            }
        },
    )
}

proptest! {
    /// Whatever happens: nothing begins that may not, nothing that may is left, and among what may the order is kept.
    #[test]
    fn what_may_begin_does_and_nothing_else(events in events(), limits in limits()) {
        let (mut turns, mut model, mut now) = (Turns::default(), Model::default(), 0);
        let mut parked: HashMap<CredentialHash, i64> = HashMap::new();
        for event in events {
            match event {
                Event::Add(credential) => model.add(credential),
                Event::Pass(span) => now += span,
                Event::Park(credential, span) => {
                    let key = key(credential);
                    turns.park(key, at(now + span), at(now));
                    let until = parked.entry(key).or_default();
                    *until = (*until).max(now + span);
                }
                Event::Ask(max) => {
                    let before = model.begun.len();
                    let chosen = ask(&mut turns, &mut model, limits, max, now);
                    let begun = model.begun[before..].to_vec();
                    prop_assert!(begun.len() <= max);
                    let mut each: HashMap<CredentialHash, u32> = HashMap::new();
                    for job in &begun {
                        prop_assert!(parked.get(&job.credential).is_none_or(|until| *until <= now), "parked: {job:?}");
                        let count = each.entry(job.credential).or_default();
                        *count += 1;
                        let most = limits.per_credential.concurrency.map_or(u32::MAX, NonZeroU32::get);
                        prop_assert!(*count <= most);
                    }
                    // By age within a credential, and over all of those that may begin where they take no turns.
                    for credential in each.keys() {
                        let own: Vec<_> = begun.iter().filter(|job| job.credential == *credential).map(|job| job.number).collect();
                        prop_assert!(own.is_sorted());
                        let first_left = model.first(|job| job.credential == *credential);
                        prop_assert!(first_left.is_none_or(|left| own.iter().all(|number| *number < left.order)));
                    }
                    if limits.fairness == Fairness::None {
                        prop_assert!(begun.iter().map(|job| job.number).is_sorted());
                    }
                    // Work is conserved: whoever is left may not begin.
                    if begun.len() < max && chosen.held.is_none() {
                        for job in &model.waiting {
                            let is_held = turns.is_full(job.credential, &each) || turns.rest(job.credential, at(now)).is_some();
                            prop_assert!(is_held, "left: {job:?}");
                        }
                    }
                    if begun.len() < max && chosen.held.is_some() {
                        prop_assert_eq!(turns.room(at(now)), 0);
                    }
                    if let Some(next) = chosen.next {
                        prop_assert!(next > at(now));
                    }
                }
            }
        }
        // In the end all of them begin.
        for _ in 0..2_000 {
            now += 1_000;
            ask(&mut turns, &mut model, limits, 100, now);
        }
        prop_assert_eq!(model.waiting.len(), 0);
    }
}
