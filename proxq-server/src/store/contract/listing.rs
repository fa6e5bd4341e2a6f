//! `list`, from both ends, while jobs come and go.

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

/// A list that is read page by page.
pub(in super::super) struct List<'a> {
    pub(in super::super) store: &'a dyn JobStore,
    pub(in super::super) queue: QueueName,
    pub(in super::super) state: State,
    pub(in super::super) order: JobOrder,
    pub(in super::super) page: usize,
}

impl<'a> List<'a> {
    pub(in super::super) fn of(store: &'a dyn JobStore, state: State, order: JobOrder) -> Self {
        Self { store, queue: queue(), state, order, page: 2 }
    }

    pub(in super::super) async fn page(&self, cursor: Option<u64>) -> (Vec<JobId>, Option<u64>) {
        let page = self.store.list(&self.queue, self.state, self.order, cursor, self.page).await.unwrap();
        assert!(page.jobs.len() <= self.page && page.jobs.iter().all(|job| job.state == self.state));
        (page.jobs.iter().map(|job| job.request.id).collect(), page.next)
    }

    /// All jobs from a cursor on.
    pub(in super::super) async fn from(&self, cursor: Option<u64>) -> Vec<JobId> {
        let (mut jobs, mut next) = self.page(cursor).await;
        while next.is_some() {
            let given;
            (given, next) = self.page(next).await;
            jobs.extend(given);
        }
        jobs
    }
}

/// These ids, which are oldest first.
pub(in super::super) fn in_order(order: JobOrder, mut ids: Vec<JobId>) -> Vec<JobId> {
    if order == JobOrder::NewestFirst {
        ids.reverse();
    }
    ids
}

pub(in super::super) async fn a_list_is_read_page_by_page(backend: &mut impl Backend) {
    for state in State::ALL {
        let ids = jobs_in(backend, state, true).await;
        for (order, page) in JobOrder::ALL.into_iter().flat_map(|order| [1, 2, 3, 7, 8].map(|page| (order, page))) {
            let list = List { page, ..List::of(backend.store(), state, order) };
            assert_eq!(list.from(None).await, in_order(order, ids.clone()), "{state:?}, {order:?}");
        }
        cancel_all(backend.store(), &ids).await;
    }
}

pub(in super::super) async fn a_list_goes_on_where_it_was_when_jobs_leave(backend: &mut impl Backend) {
    for (state, order) in State::ALL.into_iter().flat_map(|state| JobOrder::ALL.map(|order| (state, order))) {
        let ids = in_order(order, jobs_in(backend, state, true).await);
        let list = List::of(backend.store(), state, order);
        let (first, next) = list.page(None).await;
        assert_eq!(first, ids[..2], "{state:?}, {order:?}");
        cancel_all(list.store, &ids[..2]).await;
        let (second, next) = list.page(next).await;
        assert_eq!(second, ids[2..4], "{state:?}, {order:?}: none is skipped when all before it have left");
        cancel_all(list.store, &[ids[2], ids[4]]).await;
        let (third, next) = list.page(next).await;
        assert_eq!(third, ids[5..], "{state:?}, {order:?}: none is given twice when some have left");
        if next.is_some() {
            assert_eq!(list.page(next).await, (vec![], None), "{state:?}, {order:?}");
        }
        cancel_all(list.store, &ids).await;
    }
}

pub(in super::super) async fn jobs_of_one_instant_are_listed_once(backend: &mut impl Backend) {
    for (state, order) in State::ALL.into_iter().flat_map(|state| JobOrder::ALL.map(|order| (state, order))) {
        let ids = jobs_in(backend, state, false).await;
        let list = List::of(backend.store(), state, order);
        let (mut listed, mut cursor) = (Vec::new(), None);
        loop {
            let (given, next) = list.page(cursor).await;
            cancel_all(list.store, &given).await;
            listed.extend(given);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), ids.len(), "{state:?}, {order:?}");
        assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from_iter(ids), "{state:?}, {order:?}");
    }
}

pub(in super::super) async fn pending_jobs_are_listed_as_they_begin(backend: &mut impl Backend) {
    let second = Duration::from_secs(1);
    let delayed = NewJob { delay: Some(second * 2), ..job() };
    let delayed_id = delayed.request.id;
    backend.store().submit(delayed).await.unwrap();
    backend.advance(second).await;
    let mut ids = vec![submitted(backend.store()).await, delayed_id];
    backend.advance(second * 2).await;
    assert_eq!(backend.store().upkeep().await.unwrap().woken, 1);
    backend.advance(second).await;
    ids.push(submitted(backend.store()).await);
    for order in JobOrder::ALL {
        let list = List { page: 1, ..List::of(backend.store(), State::Pending, order) };
        assert_eq!(list.from(None).await, in_order(order, ids.clone()), "{order:?}");
    }
    assert_eq!(lease_ids(backend.store(), 10).await, ids);
}

pub(in super::super) async fn a_cursor_that_nobody_gave_does_no_harm(backend: &mut impl Backend) {
    let store = backend.store();
    for state in State::ALL {
        jobs_in(backend, state, true).await;
        if state == State::Pending {
            lease_ids(store, 10).await; // `job_in` wants to be the only one
        }
    }
    jobs_in(backend, State::Pending, true).await;
    let powers = (0..u64::BITS).flat_map(|bit| [1 << bit, (1 << bit) - 1, u64::MAX << bit]);
    let mut cursors: Vec<u64> = powers.collect();
    for (state, order) in State::ALL.into_iter().flat_map(|state| JobOrder::ALL.map(|order| (state, order))) {
        let given = List { page: 1, ..List::of(store, state, order) }.page(None).await.1;
        cursors.extend(given.into_iter().flat_map(|cursor| [cursor, cursor + 1, cursor - 1, !cursor]));
    }
    for (state, order) in State::ALL.into_iter().flat_map(|state| JobOrder::ALL.map(|order| (state, order))) {
        let list = List { page: 5, ..List::of(store, state, order) };
        let all = list.from(None).await.len();
        for cursor in &cursors {
            assert!(list.from(Some(*cursor)).await.len() <= all, "{state:?}, {order:?}, {cursor:#x}");
        }
    }
}
