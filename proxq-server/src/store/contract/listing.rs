//! `list`, while jobs come and go.

use std::collections::BTreeSet;

use super::*;

/// A few jobs in a state. Time passes between them if they are `apart`.
async fn jobs_in(backend: &impl Backend, state: State, apart: bool) -> Vec<JobId> {
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(match state {
            // `job_in` would lease one of those that are pending already.
            State::Pending => numbered(backend.store(), number).await,
            State::Scheduled | State::Active | State::Retry | State::Completed | State::Archived => {
                job_in(backend.store(), state).await
            }
        });
        if apart {
            backend.advance(backend.grain()).await; // jobs of one instant have no order
        }
    }
    ids
}

/// Submits a job with an id that begins with this number.
async fn numbered(store: &dyn JobStore, number: u8) -> JobId {
    let mut id = *JobId::new().as_bytes();
    id[0] = number;
    let id = JobId::from_bytes(id).unwrap();
    store.submit(NewJob { request: request(id), ..job() }).await.unwrap();
    id
}

async fn cancel_all(store: &dyn JobStore, ids: &[JobId]) {
    for id in ids {
        store.cancel(*id).await.unwrap();
    }
}

async fn page(store: &dyn JobStore, state: State, cursor: Option<u64>) -> (Vec<JobId>, Option<u64>) {
    let page = store.list(&queue(), state, cursor, 2).await.unwrap();
    (page.jobs.iter().map(|job| job.request.id).collect(), page.next)
}

pub(in super::super) async fn a_list_goes_on_where_it_was_when_jobs_leave(backend: &mut impl Backend) {
    for state in State::ALL {
        let ids = jobs_in(backend, state, true).await;
        let store = backend.store();
        let (first, next) = page(store, state, None).await;
        assert_eq!(first, ids[..2], "{state:?}");
        cancel_all(store, &ids[..2]).await;
        let (second, next) = page(store, state, next).await;
        assert_eq!(second, ids[2..4], "{state:?}: none is skipped when all before it have left");
        cancel_all(store, &[ids[2], ids[4]]).await;
        let (third, next) = page(store, state, next).await;
        assert_eq!(third, ids[5..], "{state:?}: none is given twice when some have left");
        if next.is_some() {
            assert_eq!(page(store, state, next).await, (vec![], None), "{state:?}");
        }
        cancel_all(store, &ids).await;
    }
}

pub(in super::super) async fn jobs_of_one_instant_are_listed_once(backend: &mut impl Backend) {
    for state in State::ALL {
        let ids = jobs_in(backend, state, false).await;
        let store = backend.store();
        let (mut listed, mut cursor) = (Vec::new(), None);
        loop {
            let (given, next) = page(store, state, cursor).await;
            cancel_all(store, &given).await;
            listed.extend(given);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), ids.len(), "{state:?}");
        assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from_iter(ids), "{state:?}");
    }
}
