//! Many hands on one job at once: whatever comes first, one outcome is left.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::join_all;

use super::*;
use crate::lock::lock;
use crate::store::{Content, LEASE_TERM, Lease, RECLAIM_GRACE, Requeued, StoreError};

/// Interleavings that are tried, each with dice of its own.
const ROUNDS: u64 = 200;
/// Hands on the job in each of them.
const HANDS: usize = 10;
/// When a lease that nobody renews is gone for certain, and any pause is over.
const LOST_AFTER: Duration = Duration::from_secs(LEASE_TERM.as_secs() + RECLAIM_GRACE.as_secs() + 10);

/// Numbers that look random and are the same in every run (a linear congruential generator by Knuth).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the hands were told.
#[derive(Debug, Default)]
struct Told {
    made: u64,
    cancelled: u64,
    retried: u64,
    reclaimed: usize,
    /// Every token that was given, and how it was settled, if it was.
    leases: BTreeMap<u64, Option<&'static str>>,
}

/// One hand: what it does, after how many others may have had their turn.
async fn hand(backend: &impl Backend, job: NewJob, mut dice: Dice, told: &Mutex<Told>) {
    let store = backend.store();
    let id = job.request.id;
    yields(&mut dice).await;
    match dice.throw(10) {
        0 => {
            if store.cancel(id).await.unwrap() {
                lock(told).cancelled += 1;
            }
        }
        1 | 2 => match store.submit(job).await.unwrap() {
            Submitted::New => lock(told).made += 1,
            Submitted::Existing(there) => assert_eq!(there, id),
            other @ (Submitted::Replayed(_)
            | Submitted::Taken
            | Submitted::Full
            | Submitted::Mismatch
            | Submitted::Joined(_)
            | Submitted::StillHeld(_)) => panic!("{other:?}"),
        },
        3 | 4 => {
            if store.retry_failed(id, true).await.unwrap() == Requeued::Queued {
                lock(told).retried += 1;
            }
        }
        5 => {
            backend.advance(LOST_AFTER).await;
            lock(told).reclaimed += store.upkeep().await.unwrap().reclaimed;
        }
        _ => work(store, id, dice, told).await,
    }
}

async fn work(store: &dyn JobStore, id: JobId, mut dice: Dice, told: &Mutex<Told>) {
    let Some(job) = store.lease(&queue(), 1).await.unwrap().pop() else { return };
    let lease = job.lease;
    assert_eq!(lease.id, id);
    assert_eq!(lock(told).leases.insert(lease.token, None), None, "a token is given once");
    yields(&mut dice).await;
    let (name, verdict) = match dice.throw(5) {
        0 | 1 => ("completed", Verdict::Complete(response(200, lease.token.to_string()))),
        2 => ("failed", failure()),
        3 => ("resting", retry_after(Duration::ZERO)),
        _ => ("released", Verdict::Release),
    };
    settle(store, &lease, name, verdict, told).await;
    if dice.throw(3) == 0 {
        let again = store.settle(&lease, failure()).await;
        assert!(matches!(again, Err(StoreError::LeaseLost { .. })), "a lease is settled once: {again:?}");
    }
}

async fn settle(store: &dyn JobStore, lease: &Lease, name: &'static str, verdict: Verdict, told: &Mutex<Told>) {
    match store.settle(lease, verdict).await {
        Ok(()) => {
            lock(told).leases.insert(lease.token, Some(name));
        }
        Err(StoreError::LeaseLost { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

async fn yields(dice: &mut Dice) {
    for _ in 0..dice.throw(12) {
        tokio::task::yield_now().await;
    }
}

/// Has the job run to its end; gives its last state, `None` if it is gone.
async fn brought_to_its_end(backend: &impl Backend, id: JobId, told: &Mutex<Told>) -> Option<State> {
    let store = backend.store();
    loop {
        let state = state_of(store, id).await?;
        if state.status().is_final() {
            return Some(state);
        }
        backend.advance(LOST_AFTER).await;
        lock(told).reclaimed += store.upkeep().await.unwrap().reclaimed;
        for job in store.lease(&queue(), 1).await.unwrap() {
            assert_eq!(lock(told).leases.insert(job.lease.token, None), None, "a token is given once");
            let completed = Verdict::Complete(response(200, job.lease.token.to_string()));
            settle(store, &job.lease, "completed", completed, told).await;
        }
    }
}

pub(in super::super) async fn of_many_hands_on_one_job_one_outcome_is_left(backend: &mut impl Backend) {
    let backend = &*backend;
    let store = backend.store();
    let mut outcomes = [0; 3];
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let mut job = job();
        job.request.idempotent = seed % 2 == 0;
        let id = job.request.id;
        let told = Mutex::new(Told::default());
        assert_eq!(store.submit(job.clone()).await.unwrap(), Submitted::New);
        lock(&told).made += 1;
        join_all((0..HANDS).map(|_| hand(backend, job.clone(), Dice(dice.throw(u64::MAX >> 34)), &told))).await;
        let state = brought_to_its_end(backend, id, &told).await;

        let Told { made, cancelled, retried, reclaimed, leases } = std::mem::take(&mut *lock(&told));
        let told_all = format!("seed {seed}: {state:?}, {made} made, {cancelled} cancelled, {leases:?}");
        assert_eq!(made - cancelled, u64::from(state.is_some()), "each is cancelled once, or there: {told_all}");
        let there: u64 = {
            let counts = store.stats(&queue()).await.unwrap();
            State::ALL.into_iter().map(|state| counts.count(state)).sum()
        };
        assert_eq!(there, u64::from(state.is_some()), "it is in one place: {told_all}");
        let failed = leases.values().filter(|settled| **settled == Some("failed")).count();
        assert!(retried <= (failed + reclaimed) as u64, "what has not failed is not retried: {told_all}");
        let last = leases.last_key_value();
        match (state, store.response(id).await.unwrap()) {
            (None, Content::Unknown) => outcomes[0] += 1,
            (Some(State::Completed), Content::Ready(response)) => {
                let (token, settled) = last.expect("it was leased");
                assert_eq!(
                    response.body,
                    Body::Inline(token.to_string().into()),
                    "the last one's response: {told_all}"
                );
                assert_eq!(*settled, Some("completed"), "{told_all}");
                outcomes[1] += 1;
            }
            (Some(State::Archived), Content::Failed { .. }) => {
                let settled = last.expect("it was leased").1;
                assert!(matches!(settled, Some("failed") | None), "its owner's word, or nobody's: {told_all}");
                outcomes[2] += 1;
            }
            (state, content) => panic!("{state:?} does not go with {content:?}: {told_all}"),
        }
        store.cancel(id).await.unwrap();
    }
    assert!(outcomes.iter().all(|count| *count > 0), "every outcome was seen: {outcomes:?}");
}
