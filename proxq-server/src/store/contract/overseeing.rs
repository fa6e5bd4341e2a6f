//! What operators are told of queues.

use std::collections::HashMap;

use super::*;
use crate::job::TimeBounds;
use crate::pacing::{Fairness, PerCredential, QueueLimits, Terms};
use crate::store::{HeldBack, InstanceKind, Lease, StoreError};

const SECOND: Duration = Duration::from_secs(1);

/// The limits of a queue in which each credential begins one job a minute.
fn one_a_minute() -> Terms {
    let per_credential = PerCredential { concurrency: None, rate: Some("1/m".parse().unwrap()) };
    let limits = QueueLimits { rate: None, shared_concurrency: None, fairness: Fairness::None, per_credential };
    Terms { max: 3, limits, running: HashMap::new() }
}

async fn oldest(store: &dyn JobStore, queue: &QueueName) -> Option<u64> {
    store.stats(queue).await.unwrap().oldest.map(|waits| waits.as_secs())
}

pub(in super::super) async fn the_oldest_pending_job_says_for_how_long_it_waits(backend: &mut impl Backend) {
    let store = backend.store();
    let delayed = NewJob { delay: Some(SECOND * 10), ..job() };
    let delayed_id = delayed.request.id;
    store.submit(delayed).await.unwrap();
    backend.advance(SECOND).await;
    assert_eq!(oldest(store, &queue()).await, None, "a delayed job cannot begin");
    let mut ids = Vec::new();
    for priority in Priority::ALL {
        ids.push(submitted_as(store, priority).await);
        backend.advance(SECOND * 2).await;
    }
    assert_eq!(oldest(store, &queue()).await, Some(6));
    store.cancel(ids[0]).await.unwrap();
    assert_eq!(oldest(store, &queue()).await, Some(4));
    store.cancel(ids[1]).await.unwrap();
    assert_eq!(oldest(store, &queue()).await, Some(2));
    store.cancel(ids[2]).await.unwrap();
    assert_eq!(oldest(store, &queue()).await, None);
    backend.advance(SECOND * 5).await;
    store.upkeep().await.unwrap();
    backend.advance(SECOND * 3).await;
    let waits = oldest(store, &queue()).await.expect("it was woken");
    assert!((3..=5).contains(&waits), "since it was woken, or due: {waits} s");
    assert_eq!(lease_ids(store, 1).await, [delayed_id]);
    assert_eq!(oldest(store, &queue()).await, None, "a running job waits no more");
    assert_eq!(oldest(store, &limited()).await, None, "nor does one in another queue");
}

pub(in super::super) async fn a_filed_job_can_be_the_oldest(backend: &mut impl Backend) {
    let store = backend.store();
    for priority in [Priority::Normal, Priority::Normal, Priority::High, Priority::High] {
        let request = JobRequest { priority, ..request(JobId::new()) };
        store.submit(NewJob { queue: limited(), request, ..job() }).await.unwrap();
        backend.advance(SECOND).await;
    }
    assert_eq!(store.lease_within(&limited(), &one_a_minute()).await.unwrap().jobs.len(), 1);
    assert_eq!(oldest(store, &limited()).await, Some(4), "the others are held back by their credential");
}

pub(in super::super) async fn a_paused_queue_begins_no_job(backend: &mut impl Backend) {
    let store = backend.store();
    let credential = request(JobId::new()).credential;
    for paused in [queue(), limited()] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let job = NewJob { queue: paused.clone(), ..job() };
            ids.push(job.request.id);
            store.submit(job).await.unwrap();
            backend.advance(SECOND).await;
        }
        let running = store.lease(&paused, 1).await.unwrap().remove(0).lease;
        assert!(store.pause_queue(&paused).await.unwrap());
        assert_eq!(store.held_back(&paused, credential), Some(HeldBack::Paused));
        assert!(!store.pause_queue(&paused).await.unwrap(), "it was paused already");
        assert!(store.stats(&paused).await.unwrap().paused);
        assert!(store.lease(&paused, 5).await.unwrap().is_empty());
        assert!(store.lease_within(&paused, &one_a_minute()).await.unwrap().jobs.is_empty());
        assert!(store.renew(&[running]).await.unwrap().is_empty(), "what runs goes on");
        store.settle(&running, Verdict::Complete(response(200, "ok"))).await.unwrap();
        store.submit(NewJob { queue: paused.clone(), delay: Some(SECOND), ..job() }).await.unwrap();
        backend.advance(SECOND * 3).await;
        store.upkeep().await.unwrap();
        assert!(store.lease(&paused, 5).await.unwrap().is_empty(), "nor one that is woken");

        let other = QueueName::new("default:other").unwrap();
        store.submit(NewJob { queue: other.clone(), ..job() }).await.unwrap();
        assert_eq!(store.lease(&other, 1).await.unwrap().len(), 1, "other queues go on");

        assert!(store.resume_queue(&paused).await.unwrap());
        assert_eq!(store.held_back(&paused, credential), None);
        assert!(!store.resume_queue(&paused).await.unwrap(), "it was resumed already");
        assert!(!store.stats(&paused).await.unwrap().paused);
        assert_eq!(store.lease(&paused, 1).await.unwrap()[0].lease.id, ids[1]);
    }
}

pub(in super::super) async fn a_pause_outlives_a_restart(backend: &mut impl Backend) {
    let id = submitted(backend.store()).await;
    backend.store().pause_queue(&queue()).await.unwrap();
    backend.reopen().await;
    let store = backend.store();
    assert!(store.stats(&queue()).await.unwrap().paused);
    assert_eq!(lease_ids(store, 1).await, []);
    assert_eq!(store.held_back(&queue(), CredentialHash([7; 32])), Some(HeldBack::Paused));
    assert!(store.resume_queue(&queue()).await.unwrap());
    backend.reopen().await;
    assert_eq!(lease_ids(backend.store(), 1).await, [id]);
}

pub(in super::super) async fn resuming_a_queue_wakes_its_workers(backend: &mut impl Backend) {
    let store = backend.store();
    store.pause_queue(&queue()).await.unwrap();
    let id = submitted(store).await;
    let worker = async {
        loop {
            let ids = lease_ids(store, 1).await;
            if !ids.is_empty() {
                return ids;
            }
            store.due(&queue()).await;
        }
    };
    let resumed = async { store.resume_queue(&queue()).await.unwrap() };
    let both = futures_util::future::join(worker, resumed);
    let (leased, resumed) = tokio::time::timeout(SECOND * 20, both).await.expect("it is told");
    assert_eq!((leased, resumed), (vec![id], true));
}

pub(in super::super) async fn an_instance_tells_of_itself(backend: &mut impl Backend) {
    backend.advance(SECOND * 10).await;
    backend.reopen().await;
    let store = backend.store();
    for _ in 0..3 {
        submitted(store).await;
    }
    assert_eq!(store.lease(&queue(), 2).await.unwrap().len(), 2);
    store.upkeep().await.unwrap();
    let instances = store.instances().await.unwrap();
    assert_eq!(instances.len(), 1, "there is no other: {instances:?}");
    let this = &instances[0];
    assert!(this.is_this && this.kind == InstanceKind::Proxq && this.begins_jobs);
    assert_eq!((this.concurrency, this.running), (settings().concurrency, 2));
    assert_eq!(this.started_at, START.after(SECOND * 10));
    assert!(this.queues.iter().any(|name| name == queue().as_str()), "{this:?}");
    assert!(!this.name.is_empty());
    let id = this.id.clone();
    store.drain();
    store.upkeep().await.unwrap();
    let this = store.instances().await.unwrap().remove(0);
    assert_eq!((this.id, this.begins_jobs), (id, false));
}

/// A store in which a lot happens.
struct Bustle<'a, B> {
    backend: &'a B,
    dice: Dice,
    jobs: Vec<JobId>,
    leases: Vec<Lease>,
}

impl<B: Backend> Bustle<'_, B> {
    fn store(&self) -> &dyn JobStore {
        self.backend.store()
    }

    fn any<T: Copy>(dice: &mut Dice, of: &[T]) -> Option<T> {
        let sides = u64::try_from(of.len()).unwrap();
        (sides > 0).then(|| of[usize::try_from(dice.throw(sides)).unwrap()])
    }

    fn any_queue(&mut self) -> QueueName {
        if self.dice.throw(2) == 0 { queue() } else { limited() }
    }

    async fn happens(&mut self) {
        match self.dice.throw(12) {
            0..=3 => self.submit().await,
            4 => {
                let queue = self.any_queue();
                let leased = self.store().lease(&queue, 3).await.unwrap();
                self.leases.extend(leased.iter().map(|job| job.lease));
            }
            5 | 6 => {
                let leased = self.store().lease_within(&limited(), &one_a_minute()).await.unwrap();
                self.leases.extend(leased.jobs.iter().map(|job| job.lease));
            }
            7 | 8 => self.settle().await,
            9 => {
                if let Some(id) = Self::any(&mut self.dice, &self.jobs) {
                    self.store().cancel(id).await.unwrap();
                }
            }
            10 => {
                for id in self.jobs.clone() {
                    self.store().retry_failed(id, true).await.unwrap();
                }
            }
            _ => {
                let span = [1, 5, 70, 1_200][usize::try_from(self.dice.throw(4)).unwrap()];
                self.backend.advance(SECOND * span).await;
                self.store().upkeep().await.unwrap();
            }
        }
    }

    async fn submit(&mut self) {
        let credential = CredentialHash([u8::try_from(self.dice.throw(2)).unwrap(); 32]);
        let priority = Self::any(&mut self.dice, &Priority::ALL).unwrap();
        let start_within = (self.dice.throw(4) == 0).then_some(SECOND * 30);
        let bounds = TimeBounds { start_within, deadline: None };
        let request = JobRequest { priority, credential, bounds, ..request(JobId::new()) };
        self.jobs.push(request.id);
        let delay = (self.dice.throw(3) == 0).then_some(SECOND * 3);
        let job = NewJob { queue: self.any_queue(), request, delay, ..job() };
        assert_eq!(self.store().submit(job).await.unwrap(), Submitted::New);
    }

    async fn settle(&mut self) {
        let Some(lease) = Self::any(&mut self.dice, &self.leases) else { return };
        let verdict = match self.dice.throw(4) {
            0 => Verdict::Complete(response(200, "ok")),
            1 => failure(),
            2 => retry_after(SECOND * 3),
            _ => Verdict::Release,
        };
        let settled = self.store().settle(&lease, verdict).await;
        assert!(matches!(settled, Ok(()) | Err(StoreError::LeaseLost { .. })), "{settled:?}");
    }
}

/// Compares the counts with the jobs themselves. Gives how many there are in each state.
async fn counted(store: &dyn JobStore, queue: &QueueName) -> [usize; State::ALL.len()] {
    let stats = store.stats(queue).await.unwrap();
    let mut counts = [0; State::ALL.len()];
    for state in State::ALL {
        let list = List { queue: queue.clone(), page: 100, ..List::of(store, state, JobOrder::OldestFirst) };
        counts[state as usize] = list.from(None).await.len();
        assert_eq!(stats.count(state), counts[state as usize] as u64, "{queue}, {state:?}");
    }
    assert_eq!(stats.oldest.is_some(), counts[State::Pending as usize] > 0, "{queue}");
    counts
}

pub(in super::super) async fn counts_keep_step_with_the_jobs(backend: &mut impl Backend) {
    let mut most = [0; State::ALL.len()];
    for seed in 0..4 {
        let mut bustle = Bustle { backend: &*backend, dice: Dice(seed), jobs: Vec::new(), leases: Vec::new() };
        for _ in 0..12 {
            for _ in 0..20 {
                bustle.happens().await;
            }
            for queue in [queue(), limited()] {
                let counts = counted(bustle.store(), &queue).await;
                most = std::array::from_fn(|state| counts[state].max(most[state]));
            }
        }
        backend.reopen().await;
        for queue in [queue(), limited()] {
            counted(backend.store(), &queue).await;
        }
    }
    assert!(most.iter().all(|most| *most > 0), "every state was seen: {most:?}");
}
