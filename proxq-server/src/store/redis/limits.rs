//! Queues with limits: what all instances keep together lies in Redis.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::answer::RedisInstant;
use super::known_held_back::Until;
use super::lease;
use super::queues::Queue;
use super::read;
use super::scripts::{Admit, AdmittedBy, AllHeldBack, Park, Places, credential_name};
use super::shared::Shared;
use crate::job::{CredentialHash, QueueName, State};
use crate::pacing::{Hold, Terms};
use crate::store::{BATCH_LIMIT, HeldBack, LEASE_TERM, Leased, StoreError};

/// Hands out what may begin.
pub(super) async fn lease_within(shared: &Arc<Shared>, queue: &str, terms: &Terms) -> Result<Leased, StoreError> {
    let (jobs, held) = lease::lease_within(shared, queue, terms).await?;
    Ok(Leased { jobs, held: hold(shared, held) })
}

fn hold(shared: &Shared, held: AdmittedBy) -> Option<Hold> {
    match held {
        AdmittedBy::All => None,
        AdmittedBy::Rate(until) => Some(Hold::Rate(until.by(shared.clock))),
        AdmittedBy::Limit => Some(Hold::Limit),
    }
}

/// Parks a credential.
pub(super) async fn park(
    shared: &Shared,
    queue: &str,
    credential: CredentialHash,
    span: Duration,
) -> Result<(), StoreError> {
    let queue = shared.queues.named(queue);
    shared.commands.call(&queue.keys, Park { credential, span }).await?;
    let until = Until { until: shared.clock.steady().after(span), why: HeldBack::Parked };
    shared.held_back.note(&queue.name, credential_name(credential), until);
    Ok(())
}

/// Counts an attempt outside of the queue.
pub(super) async fn admit(
    shared: &Shared,
    queue: &str,
    credential: CredentialHash,
    terms: &Terms,
    place: Uuid,
) -> Result<Result<(), Hold>, StoreError> {
    let queue = shared.queues.named(queue);
    let admitted = shared.commands.call(&queue.keys, Admit { credential, place, terms }).await?;
    Ok(hold(shared, admitted).map_or(Ok(()), Err))
}

/// Holds places for another term.
pub(super) async fn hold_places(
    shared: &Shared,
    queue: &str,
    places: &[(Uuid, CredentialHash)],
) -> Result<(), StoreError> {
    let queue = shared.queues.named(queue);
    for places in places.chunks(BATCH_LIMIT) {
        shared.commands.call(&queue.keys, Places { places, term: Some(LEASE_TERM) }).await?;
    }
    Ok(())
}

/// Gives a place back.
pub(super) async fn give_place_back(
    shared: &Shared,
    queue: &str,
    place: (Uuid, CredentialHash),
) -> Result<(), StoreError> {
    let queue = shared.queues.named(queue);
    shared.commands.call(&queue.keys, Places { places: &[place], term: None }).await
}

/// Why jobs of a credential wait.
pub(super) fn held_back(shared: &Shared, queue: &str, credential: CredentialHash) -> Option<HeldBack> {
    if shared.waiting_workers.of(queue).is_paused() {
        return Some(HeldBack::Paused);
    }
    shared.held_back.why(queue, &credential_name(credential), shared.clock.steady())
}

/// Asks which credentials of a queue are held back.
pub(super) async fn ask_who_is_held_back(shared: &Shared, queue: &Queue) -> Result<(), StoreError> {
    let found = shared.commands.call(&queue.keys, AllHeldBack).await?;
    let known =
        |(name, why, until): (String, HeldBack, RedisInstant)| (name, Until { until: until.by(shared.clock), why });
    shared.held_back.replace(&queue.name, found.into_iter().map(known).collect());
    Ok(())
}

/// Queues of this deployment that no upstream has any more, and that have jobs. Those of others on the same Redis, whatever their
/// names, are not among them.
pub(super) async fn leftover_queues(shared: &Shared, known: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
    let mut left = Vec::new();
    for queue in shared.queues_of_all_time().await?.into_iter().filter(|queue| !known.contains(queue)) {
        let stats = read::stats(shared, &queue).await?;
        if State::ALL.into_iter().any(|state| !state.status().is_final() && stats.count(state) > 0) {
            left.push(queue);
        }
    }
    Ok(left)
}
