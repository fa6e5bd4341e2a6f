//! Tests of submissions of which it is unknown whether Redis has them: proxq asks again for a while, and then
//! answers that the job may have been accepted, and under which id.

use std::time::Duration;

use harness::{Proxq, Reply, Request, Store, Upstream, on_the_store, post};
use proxq_protocol::JobId;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::redis_network::{Setting, expecting_failures};

/// For how long it is asked again.
const ASKED_AGAIN_FOR: Duration = Duration::from_secs(5);

/// An answer that takes longer than this was asked for longer than it should have been, also on a slow machine.
const TOO_LONG: Duration = Duration::from_secs(9);

/// Sends a submission, and gives how long its answer took.
async fn timed(proxq: &Proxq, request: Request) -> (Reply, Duration) {
    let began = Instant::now();
    (proxq.send(request).await, began.elapsed())
}

/// The id under which a job may have been accepted, which has to be said after asking for long enough.
#[track_caller]
fn in_doubt((reply, took): &(Reply, Duration)) -> JobId {
    reply.refused(503, "STORE_UNAVAILABLE");
    assert!(reply.text().contains("may have been accepted"), "{reply}");
    assert!((ASKED_AGAIN_FOR..TOO_LONG).contains(took), "after {took:?}: {reply}");
    let id = reply.header("x-proxq-job-id").unwrap_or_else(|| panic!("no id: {reply}"));
    id.parse().unwrap_or_else(|error| panic!("{id:?} is {error}"))
}

/// The submission that was in doubt made one job; sent again under its id it makes no other one.
async fn was_one_job(proxq: &Proxq, upstream: &Upstream, id: JobId) {
    let again = proxq.submit(post("/x").header("X-Proxq-Job-Id", id.to_string())).await;
    assert_eq!(again.id, id);
    assert_eq!(proxq.response(&again).await.status, 200);
    upstream.quiet().await;
    let received = upstream.received();
    assert_eq!(received.iter().filter(|request| request.target() == "/x").count(), 1);
}

impl Setting {
    /// One whose scripts Redis knows already.
    async fn begun() -> Self {
        let setting = Self::new().await;
        setting.proxq.through_queue(post("/before")).await;
        setting
    }

    /// Loses the answer to the next submission, then ends the connection and every new one. Begun before the submission.
    async fn lose_the_next_answer_and_the_connection(&self) {
        let stored = self.redis.keys("asynq:{default}:t:*").len() + 1;
        self.cable.lose_answers();
        let is_stored = async || self.redis.keys("asynq:{default}:t:*").len() == stored;
        harness::eventually("Redis has the job, and proxq does not know", is_stored).await;
        self.cable.unplug();
        self.cable.carry_answers();
    }
}

on_the_store! {
    Redis:

    async fn a_submission_to_a_redis_that_hangs_may_have_been_accepted(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = expecting_failures(Proxq::start(store.config_for(&upstream)).await);
        proxq.through_queue(post("/before")).await;
        proxq.redis().signal(Signal::STOP);
        let answer = timed(&proxq, post("/x")).await;
        let id = in_doubt(&answer);
        proxq.redis().signal(Signal::CONT);
        proxq.ready().await;
        // Not of a Redis that was stopped before it had written an earlier answer: it then finds the connection broken.
        was_one_job(&proxq, &upstream, id).await;
    }

    async fn a_later_try_joins_the_job_of_one_that_was_in_doubt(_store: Store) {
        let setting = Setting::begun().await;
        let nth_try = |number: &str| post("/x").header("X-Proxq-Mode", "wait").header("X-Stainless-Retry-Count", number);
        setting.cable.lose_answers();
        let id = in_doubt(&timed(&setting.proxq, nth_try("0")).await);
        setting.cable.carry_answers();
        setting.proxq.ready().await;
        let again = setting.proxq.send(nth_try("1")).await;
        assert_eq!(again.header("x-proxq-job-id"), Some(id.to_string()), "{again}");
        assert_eq!(setting.upstream.received().iter().filter(|request| request.target() == "/x").count(), 1);
    }

    async fn a_submission_whose_answer_and_connection_are_lost_may_have_been_accepted(_store: Store) {
        let setting = Setting::begun().await;
        let outage = setting.lose_the_next_answer_and_the_connection();
        let ((), answer) = tokio::join!(outage, timed(&setting.proxq, post("/x")));
        let id = in_doubt(&answer);
        let (certain, took) = timed(&setting.proxq, post("/y")).await;
        certain.refused(503, "STORE_UNAVAILABLE");
        assert!(!certain.head.has("x-proxq-job-id") && took < ASKED_AGAIN_FOR, "what was not sent is not in doubt");
        setting.cable.plug_in();
        setting.proxq.ready().await;
        was_one_job(&setting.proxq, &setting.upstream, id).await;
    }

    async fn a_submission_in_doubt_is_found_by_a_redis_that_comes_back_in_time(_store: Store) {
        let setting = Setting::begun().await;
        let keyed = || post("/x").header("Idempotency-Key", "k");
        let outage = async {
            setting.lose_the_next_answer_and_the_connection().await;
            setting.cable.reconnected(setting.cable.connections() + 1).await; // refused twice at least
            setting.cable.plug_in();
        };
        let ((), reply) = tokio::join!(outage, setting.proxq.send(keyed()));
        assert_eq!(reply.status, 202, "{reply}");
        assert!(!reply.head.has("idempotency-replayed"), "it is the first of its key: {reply}");
        let id: JobId = reply.header("x-proxq-job-id").unwrap_or_default().parse().unwrap();
        let again = setting.proxq.send(keyed()).await;
        assert_eq!(again.header("idempotency-replayed").as_deref(), Some("true"), "{again}");
        assert_eq!(again.header("x-proxq-job-id"), Some(id.to_string()));
        was_one_job(&setting.proxq, &setting.upstream, id).await;
    }
}
