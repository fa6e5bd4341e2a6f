use http_body_util::BodyExt;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, UpstreamUrl};
use crate::job::{Body as JobBody, JobRequest};
use crate::reply::body::full;
use crate::store::memory::MemoryStore;
use crate::store::{Call, Join, NewJob, StoreSettings, Submissions, Submitted};

struct Bench {
    store: Arc<MemoryStore>,
    keeper: TurnKeeper,
    tasks: Tasks,
    draining: CancellationToken,
    job: NewJob,
}

impl Bench {
    /// A job whose client is held.
    async fn new() -> (Self, TurnGuard) {
        let config = Config::for_upstream(UpstreamUrl::new("http://upstream").unwrap());
        let store = Arc::new(MemoryStore::new(StoreSettings::from(&config), Clock::new()));
        let (tasks, draining) = (Tasks::default(), CancellationToken::new());
        let keeper = TurnKeeper::new(Arc::clone(&store) as _, tasks.clone(), draining.clone());
        let call = Some(Call { key: Some([1; 32]), join: Join::Never, cancel_when_abandoned: false });
        let request = JobRequest::sample();
        let job = NewJob {
            queue: config.queue,
            request,
            id_is_proposed: false,
            body: JobBody::Inline(Bytes::new()),
            delay: None,
            claim: None,
            max_queued: None,
            call,
        };
        assert_eq!(store.submit(job.clone()).await.unwrap(), Submitted::New);
        let guard = keeper.guard(Turn::first(job.request.id));
        (Self { store, keeper, tasks, draining, job }, guard)
    }

    /// What a later try finds once the store has been told everything.
    async fn later_try(&self) -> Submitted {
        self.tasks.all_ended().await;
        let mut job = self.job.clone();
        job.request.id = JobId::new();
        job.call = job.call.map(|call| Call { join: Join::OrWait, ..call });
        self.store.submit(job).await.unwrap()
    }

    fn joined(&self, number: u32) -> Submitted {
        Submitted::Joined(Turn { id: self.job.request.id, number })
    }
}

#[tokio::test]
async fn a_guard_that_is_dropped_abandons_its_job() {
    let (bench, guard) = Bench::new().await;
    assert_eq!(bench.later_try().await, Submitted::StillHeld(bench.job.request.id));
    drop(guard);
    assert_eq!(bench.later_try().await, bench.joined(2));
}

#[tokio::test]
async fn an_answer_that_was_read_to_its_end_ends_the_call() {
    for body in [full("late"), body::empty()] {
        let (bench, guard) = Bench::new().await;
        let answer = TurnGuard::end_with(Some(guard), Response::new(body));
        assert_eq!(bench.later_try().await, Submitted::StillHeld(bench.job.request.id), "nothing is written yet");
        answer.into_body().collect().await.unwrap();
        assert_eq!(bench.later_try().await, Submitted::New);
    }
}

#[tokio::test]
async fn an_answer_that_was_not_read_to_its_end_abandons_the_job() {
    let (bench, guard) = Bench::new().await;
    drop(TurnGuard::end_with(Some(guard), Response::new(full("late"))));
    assert_eq!(bench.later_try().await, bench.joined(2));
}

#[tokio::test]
async fn a_client_that_waits_again_has_the_next_turn() {
    let (bench, first) = Bench::new().await;
    let second = bench.keeper.resume(bench.job.request.id).await.expect("the call goes on");
    drop(first);
    assert_eq!(bench.later_try().await, Submitted::StillHeld(bench.job.request.id), "the second is there");
    drop(second);
    assert_eq!(bench.later_try().await, bench.joined(3));
    assert!(bench.keeper.resume(JobId::new()).await.is_none());
}

#[tokio::test]
async fn a_turn_that_begins_as_its_client_goes_is_abandoned() {
    let (bench, first) = Bench::new().await;
    let id = bench.job.request.id;
    let mut resuming = Box::pin(bench.keeper.resume(id));
    assert!(futures_util::poll!(&mut resuming).is_pending(), "it asks the store");
    drop((resuming, first));
    assert_eq!(bench.later_try().await, bench.joined(3));
}

#[tokio::test(start_paused = true)]
async fn the_store_is_told_again_until_it_has_heard() {
    let (bench, guard) = Bench::new().await;
    bench.store.fail_to_note_turns(3);
    drop(guard);
    assert_eq!(bench.later_try().await, bench.joined(2));
}

#[tokio::test]
async fn a_client_that_is_to_come_back_later_has_not_gone_away() {
    let (bench, guard) = Bench::new().await;
    guard.let_go();
    bench.tasks.all_ended().await;
    assert_eq!(bench.store.left_by(bench.job.request.id), Some(LeftBy::Server));
    assert_eq!(bench.later_try().await, bench.joined(2));
}

#[tokio::test]
async fn a_server_that_drains_says_that_it_let_its_client_go() {
    let (bench, guard) = Bench::new().await;
    bench.draining.cancel();
    drop(guard);
    bench.tasks.all_ended().await;
    assert_eq!(bench.store.left_by(bench.job.request.id), Some(LeftBy::Server));
}
