use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::poll;
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::job::{JobRequest, Progress, State};
use crate::metrics::Metrics;
use crate::store::{JobWatch, Owner};

const HOUR: Duration = Duration::from_hours(1);
/// As many waiters as one test has.
const MANY: usize = 100;

/// A store of one job. A look takes the state as it begins, and ends when the test lets it.
#[derive(Debug)]
struct OneJob {
    state: Mutex<Result<State, StoreError>>,
    changed: Arc<Notify>,
    watches: AtomicUsize,
    looks: AtomicUsize,
    /// How many looks may end; the earliest first.
    may_end: Semaphore,
}

impl OneJob {
    fn waiters(may_end: usize) -> (Arc<Self>, JobWaiters) {
        let store = Arc::new(Self {
            state: Mutex::new(Ok(State::Pending)),
            changed: Arc::default(),
            watches: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            may_end: Semaphore::new(may_end),
        });
        (Arc::clone(&store), JobWaiters::new(store, Metrics::default().wait_subscribers, CancellationToken::new()))
    }

    fn becomes(&self, state: Result<State, StoreError>) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_waiters();
    }

    /// Watches and looks since the last call.
    fn asked(&self) -> (usize, usize) {
        (self.watches.swap(0, SeqCst), self.looks.swap(0, SeqCst))
    }
}

#[async_trait]
impl JobLookup for OneJob {
    async fn owner(&self, _: JobId) -> Result<Owner, StoreError> {
        Ok(Owner::Unknown)
    }

    async fn get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.looks.fetch_add(1, SeqCst);
        let state = match *self.state.lock().unwrap() {
            Ok(state) => Ok(state),
            Err(_) => Err(StoreError::Closed),
        };
        self.may_end.acquire().await.unwrap().forget();
        Ok(Some(Job {
            request: JobRequest { id, ..JobRequest::sample() },
            state: state?,
            progress: Progress::default(),
        }))
    }

    async fn watch(&self, _: JobId) -> Result<JobWatch, StoreError> {
        self.watches.fetch_add(1, SeqCst);
        Ok(Box::pin(Arc::clone(&self.changed).notified_owned()))
    }
}

/// Where the job of a wait's outcome is.
fn state(outcome: Result<Option<Arc<Job>>, Arc<StoreError>>) -> State {
    outcome.unwrap().expect("there is a job").state
}

#[tokio::test]
async fn all_who_wait_for_a_job_share_a_watch_and_the_look_after_each_change() {
    let (store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let id = JobId::new();
    let mut waiting = join_all((0..MANY).map(|_| waiters.job_when_ended(id, HOUR)));
    assert!(poll!(&mut waiting).is_pending());
    assert_eq!(store.asked(), (1, MANY), "who comes looks");
    for _ in 0..3 {
        store.becomes(Ok(State::Active));
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(store.asked(), (1, 1), "after a change that is no end");
    }
    store.becomes(Ok(State::Completed));
    assert!(waiting.await.into_iter().all(|outcome| state(outcome) == State::Completed));
    assert_eq!(store.asked(), (1, 1));
    assert_eq!(waiters.rounds.count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn a_change_after_the_first_read_ends_a_wait_that_begins_later() {
    let (store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let watched = waiters.watch(JobId::new()).await.unwrap();
    assert_eq!(watched.job().expect("there is a job").state, State::Pending);
    assert_eq!(store.asked(), (1, 1));
    store.becomes(Ok(State::Completed));
    assert_eq!(state(waiters.watched_when_ended(watched, HOUR).await), State::Completed);
    assert_eq!(store.asked(), (1, 1), "the look after the change");
}

#[tokio::test(start_paused = true)]
async fn a_wait_reads_nothing_while_nothing_changes() {
    let (store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let mut waiting = join_all(vec![JobId::new(); MANY].into_iter().map(|id| waiters.job_when_ended(id, 2 * HOUR)));
    assert!(poll!(&mut waiting).is_pending());
    store.asked();
    tokio::time::advance(HOUR).await;
    assert!(poll!(&mut waiting).is_pending());
    assert_eq!(store.asked(), (0, 0));
}

#[tokio::test]
async fn jobs_are_waited_for_apart() {
    let (store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let ids = [JobId::new(), JobId::new()];
    let mut waiting = join_all(ids.iter().cycle().take(MANY).map(|id| waiters.job_when_ended(*id, HOUR)));
    assert!(poll!(&mut waiting).is_pending());
    store.asked();
    store.becomes(Ok(State::Archived));
    for (outcome, id) in waiting.await.into_iter().zip(ids.iter().cycle()) {
        assert_eq!(outcome.unwrap().expect("there is a job").request.id, *id);
    }
    assert_eq!(store.asked(), (2, 2));
}

#[tokio::test]
async fn who_comes_after_a_look_began_is_not_told_what_it_found() {
    let (store, waiters) = OneJob::waiters(1);
    let id = JobId::new();
    let mut early = Box::pin(waiters.job_when_ended(id, HOUR));
    assert!(poll!(&mut early).is_pending());
    store.becomes(Ok(State::Archived));
    assert!(poll!(&mut early).is_pending(), "its look has begun, and not ended");
    store.becomes(Ok(State::Pending)); // somebody has it retried
    let mut late = Box::pin(waiters.job_when_ended(id, HOUR));
    assert!(poll!(&mut late).is_pending());
    store.may_end.add_permits(2);
    assert_eq!(state(early.await), State::Archived, "what woke it");
    assert!(poll!(&mut late).is_pending(), "the job had been retried before it was asked for");
    store.becomes(Ok(State::Completed));
    store.may_end.add_permits(MANY);
    assert_eq!(state(late.await), State::Completed);
}

#[tokio::test]
async fn a_change_during_a_look_is_looked_at_by_all() {
    let (store, waiters) = OneJob::waiters(MANY);
    let mut waiting = join_all(vec![JobId::new(); MANY].into_iter().map(|id| waiters.job_when_ended(id, HOUR)));
    assert!(poll!(&mut waiting).is_pending());
    store.becomes(Ok(State::Active));
    assert!(poll!(&mut waiting).is_pending(), "the look has begun, and not ended");
    store.becomes(Ok(State::Completed));
    store.may_end.add_permits(2);
    assert!(waiting.await.into_iter().all(|outcome| state(outcome) == State::Completed));
}

#[tokio::test]
async fn a_look_that_fails_fails_for_all_and_for_nobody_later() {
    let (store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let id = JobId::new();
    let mut waiting = join_all((0..MANY).map(|_| waiters.job_when_ended(id, HOUR)));
    assert!(poll!(&mut waiting).is_pending());
    store.asked();
    store.becomes(Err(StoreError::Closed));
    assert!(waiting.await.into_iter().all(|outcome| matches!(*outcome.unwrap_err(), StoreError::Closed)));
    assert_eq!(store.asked(), (1, 1));
    *store.state.lock().unwrap() = Ok(State::Completed);
    assert_eq!(state(waiters.job_when_ended(id, HOUR).await), State::Completed);
}

#[tokio::test]
async fn who_goes_away_takes_nothing_from_the_others() {
    let (store, waiters) = OneJob::waiters(3);
    let id = JobId::new();
    let [mut looking, mut beside, mut idle] = [(); 3].map(|()| Box::pin(waiters.job_when_ended(id, HOUR)));
    for waiting in [&mut looking, &mut beside, &mut idle] {
        assert!(poll!(waiting).is_pending());
    }
    drop(idle);
    store.becomes(Ok(State::Completed));
    for waiting in [&mut looking, &mut beside] {
        assert!(poll!(waiting).is_pending());
    }
    assert_eq!(store.asked().1, 3 + 1, "the first of them looks");
    drop(looking);
    store.may_end.add_permits(1);
    assert_eq!(state(beside.await), State::Completed);
    assert_eq!(store.asked().1, 1, "and then the next");
    assert_eq!(waiters.rounds.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_its_time_is_up_each_is_told_how_the_job_stands() {
    let (store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let id = JobId::new();
    let (short, long) = (waiters.job_when_ended(id, HOUR), waiters.job_when_ended(id, 2 * HOUR));
    let mut long = Box::pin(long);
    assert!(poll!(&mut long).is_pending());
    assert_eq!(state(short.await), State::Pending);
    store.becomes(Ok(State::Completed));
    assert_eq!(state(long.await), State::Completed);
}

#[tokio::test]
async fn a_drain_ends_all_waits() {
    let (_store, waiters) = OneJob::waiters(Semaphore::MAX_PERMITS);
    let id = JobId::new();
    let mut waiting = join_all((0..MANY).map(|_| waiters.job_when_ended(id, HOUR)));
    assert!(poll!(&mut waiting).is_pending());
    waiters.draining.cancel();
    assert!(waiting.await.into_iter().all(|outcome| state(outcome) == State::Pending));
    assert_eq!(waiters.rounds.count(), 0);
}
