//! `get`, `response`, `stats`, and the store itself.

use super::*;
use crate::store::{Content, Owner, StoreError};

pub(in super::super) async fn an_unknown_job_has_nothing_to_read(backend: &mut impl Backend) {
    let store = backend.store();
    assert!(store.get(JobId::new()).await.unwrap().is_none());
    assert!(matches!(store.response(JobId::new()).await.unwrap(), Content::Unknown));
}

pub(in super::super) async fn a_job_that_has_not_ended_has_no_response(backend: &mut impl Backend) {
    let store = backend.store();
    for state in [State::Pending, State::Scheduled, State::Active, State::Retry] {
        let id = job_in(store, state).await;
        assert!(matches!(store.response(id).await.unwrap(), Content::NotReady), "{state:?}");
        store.cancel(id).await.unwrap();
    }
}

pub(in super::super) async fn a_job_in_every_state_has_its_owner(backend: &mut impl Backend) {
    let store = backend.store();
    assert_eq!(store.owner(JobId::new()).await.unwrap(), Owner::NoJob);
    let mut last = None;
    for state in State::ALL {
        let id = job_in(store, state).await;
        assert_eq!(store.owner(id).await.unwrap(), Owner::Credential(CredentialHash([7; 32])), "{state:?}");
        last = Some(id);
        if state != State::Completed {
            store.cancel(id).await.unwrap();
            assert_eq!(store.owner(id).await.unwrap(), Owner::NoJob, "{state:?}");
        }
    }
    let mut other = job();
    other.request.credential = CredentialHash([8; 32]);
    let id = other.request.id;
    store.submit(other).await.unwrap();
    backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.owner(id).await.unwrap(), Owner::Credential(CredentialHash([8; 32])), "after a restart");
    assert_ne!(last, Some(id));
    store.close().await;
    assert!(matches!(store.owner(id).await, Err(StoreError::Closed)));
}

pub(in super::super) async fn queues_are_counted_by_state(backend: &mut impl Backend) {
    let store = backend.store();
    for state in [State::Completed, State::Archived, State::Retry, State::Active, State::Scheduled] {
        for _ in 0..=(state as usize) {
            job_in(store, state).await;
        }
    }
    let pending = [submitted(store).await, submitted(store).await];
    let stats = store.stats(&queue()).await.unwrap();
    for state in State::ALL {
        let expected = if state == State::Pending { pending.len() } else { state as usize + 1 };
        assert_eq!(stats.count(state), expected as u64, "{state:?}");
    }
}

pub(in super::super) async fn the_deployment_keeps_its_secrets(backend: &mut impl Backend) {
    let first = backend.store().deployment().await.unwrap();
    assert!(!first.via_name.is_empty() && first.credential_key != [0; 32]);
    backend.reopen().await;
    let again = backend.store().deployment().await.unwrap();
    assert_eq!((again.via_name, again.credential_key), (first.via_name, first.credential_key));
}

pub(in super::super) async fn a_store_is_ready(backend: &mut impl Backend) {
    backend.store().ready().await.unwrap();
}

pub(in super::super) async fn a_closed_store_says_so(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    store.close().await;
    assert!(matches!(store.submit(job()).await, Err(StoreError::Closed)));
    assert!(matches!(store.ready().await, Err(StoreError::Closed)));
    assert!(matches!(store.get(id).await, Err(StoreError::Closed)));
    store.close().await;
}
