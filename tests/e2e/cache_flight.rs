//! Tests of equal requests at the same time: one calls the upstream, the others wait for its response.

use std::time::Duration;

use harness::{
    Answer, Config, Gate, Job, Proxq, Store, Upstream, get, never_within, on_every_store, outlast, post, stay_silent,
    within,
};
use proxq_protocol::{JobStatus, Outcome};
use tokio::time::Instant;

fn cached(store: Store, upstream: &Upstream) -> Config {
    store.config_for(upstream).set("cache.mode", "memory")
}

/// A job that calls the upstream, and others that are equal and wait for it.
struct Flight {
    proxq: Proxq,
    leader: Job,
    waiting: Vec<Job>,
}

/// A job that does not wait for an equal one has called its upstream long before.
const WOULD_HAVE_CALLED: Duration = Duration::from_millis(200);

async fn flight(config: Config, upstream: &Upstream, waiting: usize) -> Flight {
    let proxq = Proxq::start(config).await;
    let leader = proxq.submit(post("/x")).await;
    upstream.arrivals(1).await;
    let mut flight = Flight { proxq, leader, waiting: Vec::new() };
    for _ in 0..waiting {
        let job = flight.proxq.submit(post("/x")).await;
        flight.proxq.running(&job).await;
        flight.waiting.push(job);
    }
    never_within(WOULD_HAVE_CALLED, "a second job calls the upstream", upstream.arrivals(2)).await;
    flight
}

async fn verdict(proxq: &Proxq, job: &Job) -> String {
    proxq.response(job).await.header("x-cache-status").unwrap_or_default()
}

on_every_store! {
    async fn of_equal_jobs_one_calls_the_upstream(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("once").wait(&gate));
        let Flight { proxq, leader, waiting } = flight(cached(store, &upstream), &upstream, 5).await;
        gate.open();
        assert_eq!(verdict(&proxq, &leader).await, "MISS");
        for job in &waiting {
            assert_eq!(verdict(&proxq, job).await, "HIT");
            let content = proxq.content(job).await;
            assert_eq!(content.text(), "once");
            assert!(content.header("cache-status").is_some_and(|status| status.ends_with("; collapsed")), "{content}");
        }
        assert_eq!(upstream.received().len(), 1);
    }

    async fn other_requests_do_not_wait(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::status(200).wait(&gate));
        let Flight { proxq, leader, .. } = flight(cached(store, &upstream), &upstream, 0).await;
        assert_eq!(verdict(&proxq, &proxq.submit(post("/y")).await).await, "MISS");
        let own_word = proxq.submit(post("/x").header("Cache-Control", "no-cache")).await;
        assert_eq!(verdict(&proxq, &own_word).await, "MISS");
        assert_eq!(proxq.status(&leader).await.status, JobStatus::Running);
        gate.open();
    }

    async fn a_response_that_is_not_kept_sends_all_waiting_jobs_at_once(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(503).wait(&gate));
        let Flight { proxq, leader, waiting } = flight(cached(store, &upstream), &upstream, 3).await;
        gate.let_through(1);
        assert_eq!(verdict(&proxq, &leader).await, "MISS");
        upstream.arrivals(4).await; // none of them has been answered
        gate.open();
        for job in &waiting {
            assert_eq!(verdict(&proxq, job).await, "MISS");
            assert_eq!(upstream.deliveries(job.id), 1);
        }
    }

    async fn waiting_jobs_are_sent_when_the_first_fails(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::nothing().wait(&gate).reset());
        let Flight { proxq, leader, waiting } = flight(cached(store, &upstream), &upstream, 2).await;
        gate.open();
        assert_eq!(proxq.settled(&leader).await.outcome, Some(Outcome::Indeterminate));
        for job in &waiting {
            assert_eq!(verdict(&proxq, job).await, "MISS");
        }
        assert_eq!(upstream.received().len(), 3);
        assert_eq!(verdict(&proxq, &proxq.submit(post("/x")).await).await, "HIT", "what they brought is kept");
    }

    async fn waiting_jobs_are_sent_when_the_first_is_cancelled(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        let Flight { proxq, leader, waiting } = flight(cached(store, &upstream), &upstream, 2).await;
        assert_eq!(proxq.cancel(&leader).await.status, 200);
        for job in &waiting {
            assert_eq!(verdict(&proxq, job).await, "MISS");
        }
        assert_eq!(upstream.received().len(), 3);
    }

    async fn a_waiting_job_can_be_cancelled(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::status(200).wait(&gate));
        let config = cached(store, &upstream).set("concurrency", 2);
        let Flight { proxq, leader, waiting } = flight(config, &upstream, 1).await;
        assert_eq!(proxq.cancel(&waiting[0]).await.status, 200);
        proxq.send(get(&waiting[0].location)).await.refused(404, "NOT_FOUND");
        assert_eq!(verdict(&proxq, &proxq.submit(post("/y")).await).await, "MISS", "its place is free");
        gate.open();
        assert_eq!(verdict(&proxq, &leader).await, "MISS");
        assert_eq!(upstream.deliveries(waiting[0].id), 0);
    }

    async fn a_waiting_job_has_its_own_timeout(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::status(200).wait(&gate));
        let Flight { proxq, leader, .. } = flight(cached(store, &upstream), &upstream, 0).await;
        let began = Instant::now();
        let impatient = proxq.submit(post("/x").header("X-Proxq-Timeout", "500ms")).await;
        let info = proxq.settled(&impatient).await;
        assert!((500..5000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        assert_eq!((info.status, info.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
        let error = info.error.unwrap_or_default();
        assert_eq!(error, "wait for the response to an equal request: none came within 500ms");
        assert_eq!(upstream.deliveries(impatient.id), 0);
        gate.open();
        assert_eq!(verdict(&proxq, &leader).await, "MISS");
    }

    async fn waiting_counts_towards_the_attempts_timeout(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::status(500).wait(&gate));
        upstream.always(Answer::nothing().hang());
        let Flight { proxq, .. } = flight(cached(store, &upstream), &upstream, 0).await;
        let began = Instant::now();
        let waits = proxq.submit(post("/x").header("X-Proxq-Timeout", "2s")).await;
        proxq.running(&waits).await;
        stay_silent(Duration::from_secs(1)).await; // the first answer takes half of its time
        gate.open();
        let info = within("it ends", proxq.settled(&waits)).await;
        let took = began.elapsed();
        assert_eq!((info.status, info.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert!((2000..2900).contains(&took.as_millis()), "{took:?}, where a whole timeout of its own would be 3 s");
    }

    async fn a_waiting_jobs_lease_is_renewed(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let Flight { proxq, waiting, .. } = flight(cached(store, &upstream), &upstream, 1).await;
        outlast(Duration::from_secs(38)).await; // a lease that nobody renews is taken away after 37 s
        gate.open();
        assert_eq!(verdict(&proxq, &waiting[0]).await, "HIT");
        assert_eq!(proxq.status(&waiting[0]).await.attempts, Some(1));
    }

    async fn a_waiting_job_is_not_in_doubt_when_the_server_stops(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        let config = cached(store, &upstream).upstream("delivery", "at-most-once").set("shutdownTimeout", "300ms");
        let Flight { mut proxq, leader, waiting } = flight(config, &upstream, 1).await;
        proxq.stop().await;
        proxq.start_again().await;
        assert_eq!(verdict(&proxq, &waiting[0]).await, "MISS");
        assert_eq!(upstream.deliveries(waiting[0].id), 1);
        assert_eq!(proxq.settled(&leader).await.outcome, Some(Outcome::Indeterminate));
    }
}
