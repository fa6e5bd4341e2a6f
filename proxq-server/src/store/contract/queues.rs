//! Several queues in one store, each with jobs of its own.

use futures_util::poll;

use super::*;
use crate::store::contract::leasing::LEASE_LOST;
use crate::store::{LEASE_TERM, RENEW_EVERY, Upkept};

fn second() -> QueueName {
    QueueName::new("second").unwrap()
}

async fn submitted_to(store: &dyn JobStore, queue: &QueueName) -> JobId {
    let job = NewJob { queue: queue.clone(), ..job() };
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    id
}

/// Leases the one job that is due in a queue.
async fn leased_of(store: &dyn JobStore, queue: &QueueName) -> LeasedJob {
    let mut jobs = store.lease(queue, 2).await.unwrap();
    let job = jobs.pop().expect("a job is due");
    assert!(jobs.is_empty(), "one job is due");
    job
}

pub(in super::super) async fn queues_do_not_mix(backend: &mut impl Backend) {
    let store = backend.store();
    submitted_to(store, &second()).await;
    assert!(lease_ids(store, 10).await.is_empty());
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Pending), 0);
    assert_eq!(store.stats(&second()).await.unwrap().count(State::Pending), 1);
    assert_eq!(store.lease(&second(), 10).await.unwrap().len(), 1);
}

pub(in super::super) async fn a_worker_is_woken_for_its_own_queue(backend: &mut impl Backend) {
    let store = backend.store();
    let (first, second) = (queue(), second());
    for queue in [&first, &second] {
        assert!(store.lease(queue, 1).await.unwrap().is_empty());
    }
    let (mut first_due, mut second_due) = (store.due(&first), store.due(&second));
    assert!(poll!(&mut first_due).is_pending() && poll!(&mut second_due).is_pending());
    let id = submitted_to(store, &second).await;
    tokio::time::timeout(Duration::from_secs(20), &mut second_due).await.expect("its worker is told");
    assert!(poll!(&mut first_due).is_pending(), "nothing is due in the other queue");
    assert_eq!(leased_of(store, &second).await.lease.id, id);
}

pub(in super::super) async fn leases_of_several_queues_are_renewed_together(backend: &mut impl Backend) {
    let store = backend.store();
    let mut leases = Vec::new();
    for queue in [queue(), second()] {
        for _ in 0..2 {
            submitted_to(store, &queue).await;
            leases.push(leased_of(store, &queue).await.lease);
        }
    }
    let gone = [leases[1], leases[3]];
    for lease in gone {
        store.settle(&lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    }
    for _ in 0..LEASE_TERM.as_secs() / RENEW_EVERY.as_secs() * 2 {
        backend.advance(RENEW_EVERY).await;
        let mut told = store.renew(&leases).await.unwrap();
        told.sort_by_key(|gone| leases.iter().position(|lease| lease == gone));
        assert_eq!(told, gone);
        assert_eq!(store.upkeep().await.unwrap().reclaimed, 0);
    }
}

pub(in super::super) async fn upkeep_looks_after_every_queue(backend: &mut impl Backend) {
    let store = backend.store();
    let queues = [queue(), second()];
    for queue in &queues {
        submitted_to(store, queue).await;
        store.settle(&leased_of(store, queue).await.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
        submitted_to(store, queue).await;
        leased_of(store, queue).await;
        let delayed = NewJob { queue: queue.clone(), delay: Some(LEASE_LOST), ..job() };
        assert_eq!(store.submit(delayed).await.unwrap(), Submitted::New);
    }
    backend.advance(LEASE_LOST + backend.grain()).await;
    assert_eq!(store.upkeep().await.unwrap(), Upkept { woken: 2, reclaimed: 2, expired: 0, overdue: 0 });
    for queue in &queues {
        assert_eq!(store.stats(queue).await.unwrap().count(State::Pending), 2);
    }
    backend.advance(RETENTION).await;
    assert_eq!(store.upkeep().await.unwrap().expired, 2);
}
