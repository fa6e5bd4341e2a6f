//! Tests of a bad network between proxq and Redis: it costs no accepted job and makes no second delivery.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use harness::{
    Answer, Cable, Config, Gate, Proxq, Redis, Reply, Route, Store, Upstream, keep_pace, on_the_store, post,
};
use proxq_protocol::JobStatus;

/// Errors that the log may have while the network fails.
const FAILING: [&str; 4] = ["store a job", "settle an attempt", "did not say whether", "asked of the store"];

/// How many jobs go through each fault.
const JOBS: u32 = 12;

/// How long everything travels, so that a cut can meet it on its way.
const LATENCY: Duration = Duration::from_millis(20);

/// By how much later than the last one each fault comes after its submission began.
const STEP: Duration = Duration::from_millis(7);

/// A server, the cable to its Redis, and the upstream behind it.
pub(super) struct Setting {
    pub(super) proxq: Proxq,
    pub(super) cable: Cable,
    pub(super) upstream: Upstream,
    pub(super) redis: Arc<Redis>,
}

/// Announces what the log says of a Redis that cannot be reached.
pub(super) fn expecting_failures(mut proxq: Proxq) -> Proxq {
    for text in FAILING {
        proxq.expect_error(text);
    }
    proxq
}

impl Setting {
    pub(super) async fn new() -> Self {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        let cable = Cable::to(&redis.host_and_port()).await;
        let config = Config::new().route(Route::new("/", &upstream.url()));
        let config = config.in_redis_at(Arc::clone(&redis), &cable.host_and_port());
        let proxq = expecting_failures(Proxq::start(config).await);
        proxq.ready().await;
        Self { proxq, cable, upstream, redis }
    }

    /// Submits [`JOBS`] jobs one after another, with a fault beside each. Gives the answers.
    async fn submit_through(&self, fault: impl AsyncFn(u32)) -> Vec<Reply> {
        let mut replies = Vec::new();
        for number in 0..JOBS {
            let submission = self.proxq.send(post(&format!("/{number}")));
            replies.push(tokio::join!(submission, fault(number)).0);
        }
        replies
    }

    /// Every submission was accepted or refused; a job that was accepted reaches one final state, and was delivered once at
    /// most: exactly once, if it completed. A refused one was not delivered twice, either. New jobs go through.
    async fn assert_consistent(&self, replies: &[Reply]) {
        self.proxq.ready().await;
        assert_eq!(self.proxq.through_queue(post("/after")).await.status, 200);
        let refused = replies.iter().filter(|reply| reply.status == 503).count();
        eprintln!("{refused} of {} submissions were refused", replies.len());
        let mut ids = HashSet::new();
        for (number, reply) in replies.iter().enumerate() {
            assert!(matches!(reply.status, 202 | 503), "{reply}");
            let received = self.upstream.received();
            let deliveries = received.iter().filter(|request| request.target() == format!("/{number}")).count();
            if reply.status != 202 {
                assert!(deliveries <= 1, "submission {number} was delivered {deliveries} times");
                continue;
            }
            let job = harness::Job::of(reply);
            assert!(ids.insert(job.id), "one id for two jobs");
            let ended = self.proxq.settled(&job).await;
            let deliveries = self.upstream.deliveries(job.id);
            let expected = if ended.status == JobStatus::Completed { 1..=1 } else { 0..=1 };
            assert!(expected.contains(&deliveries), "{deliveries} deliveries: {ended:?}");
            assert_eq!(self.proxq.status(&job).await.status, ended.status, "a final state is final");
        }
        self.upstream.quiet().await;
    }
}

on_the_store! {
    Redis:

    async fn cut_connections_cost_no_accepted_job(_store: Store) {
        let setting = Setting::new().await;
        let before = setting.cable.connections();
        setting.cable.delay(LATENCY);
        let replies = setting.submit_through(async |number| {
            keep_pace(number * STEP).await; // on its way there, on its way back, while proxq connects again
            setting.cable.cut();
        });
        let replies = replies.await;
        setting.cable.delay(Duration::ZERO);
        setting.assert_consistent(&replies).await;
        setting.cable.reconnected(before + 2).await;
    }

    async fn half_closed_connections_cost_no_accepted_job(_store: Store) {
        let setting = Setting::new().await;
        let before = setting.cable.connections();
        setting.cable.delay(LATENCY);
        let replies = setting.submit_through(async |number| {
            keep_pace(number * STEP).await;
            setting.cable.half_close();
        });
        let replies = replies.await;
        setting.cable.delay(Duration::ZERO);
        setting.assert_consistent(&replies).await;
        setting.cable.reconnected(before + 2).await;
    }

    async fn a_second_of_delay_costs_nothing(_store: Store) {
        let setting = Setting::new().await;
        setting.cable.delay(Duration::from_millis(500)); // there, and the same back
        let replies = setting.submit_through(async |number| {
            if number == 2 {
                setting.cable.delay(Duration::ZERO);
            }
        });
        let replies = replies.await;
        assert!(replies.iter().all(|reply| reply.status == 202), "{replies:?}");
        setting.assert_consistent(&replies).await;
    }

    async fn a_delay_beyond_every_timeout_is_recovered_from(_store: Store) {
        let setting = Setting::new().await;
        setting.cable.delay(Duration::from_secs(1)); // there, and the same back
        let replies = setting.submit_through(async |number| {
            if number == 2 {
                setting.cable.delay(Duration::ZERO);
            }
        });
        let replies = replies.await;
        setting.assert_consistent(&replies).await;
    }

    async fn responses_that_arrive_while_the_connections_are_cut_are_kept(_store: Store) {
        let setting = Setting::new().await;
        let gate = Gate::new();
        setting.upstream.always(Answer::nothing().wait(&gate).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept"));
        let replies = setting.submit_through(async |_number| ()).await;
        setting.upstream.arrivals(10).await; // as many as run at once
        setting.cable.cut();
        gate.open();
        setting.cable.cut();
        assert!(replies.iter().all(|reply| reply.status == 202), "{replies:?}");
        setting.assert_consistent(&replies).await;
    }

    async fn a_submission_whose_answer_is_lost_is_not_doubled(_store: Store) {
        let setting = Setting::new().await;
        setting.proxq.through_queue(post("/before")).await; // the scripts are known
        setting.cable.lose_answers();
        let submission = setting.proxq.send(post("/0"));
        let stored = async {
            let is_stored = async || setting.redis.keys("asynq:{default}:t:*").len() == 2;
            harness::eventually("Redis has the job, and proxq does not know", is_stored).await;
            assert!(setting.cable.lost() > 0);
            setting.cable.carry_answers();
            setting.cable.cut();
        };
        let (reply, ()) = tokio::join!(submission, stored);
        assert_eq!(reply.status, 202, "asked again, Redis knows the job: {reply}");
        setting.assert_consistent(&[reply]).await;
        assert_eq!(setting.redis.keys("asynq:{default}:t:*").len(), 3, "before, this one, after");
    }
}
