//! Tests of what is special to Redis: it goes away and comes back, and several instances share it.

use std::time::Duration;

use harness::{
    Answer, Cable, Config, Gate, Proxq, Record, Redis, Route, Store, Upstream, count_for, delete, get, on_the_store,
    outlast, post,
};
use proxq_protocol::{JobStatus, Outcome};
use rustix::process::Signal;
use tokio::time::Instant;

/// Errors that the log may have while Redis is away.
const AWAY: [&str; 4] = ["store a job", "settle an attempt", "did not say whether", "asked of the store"];

/// For how long the commands of an idle instance are counted: twice the longest of its periods.
const MEASURED: Duration = Duration::from_secs(10);

fn expecting(mut proxq: Proxq) -> Proxq {
    for text in AWAY {
        proxq.expect_error(text);
    }
    proxq
}

on_the_store! {
    Redis:

    async fn it_starts_while_redis_is_away_and_works_when_it_is_there(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let redis = config.redis().unwrap().clone();
        redis.kill();
        let proxq = expecting(Proxq::start(config).await);
        let warns = |record: &Record| record.level() == "WARN" && record.message().contains("Redis cannot be reached");
        proxq.log().record("a warning", warns).await;
        proxq.assert_healthy().await;
        assert!(!proxq.is_ready().await);
        proxq.send(post("/x")).await.refused(503, "STORE_UNAVAILABLE");
        let direct = proxq.send(get("/x").header("X-Proxq-Mode", "direct")).await;
        assert_eq!(direct.status, 200, "what needs no store works");
        redis.start_again();
        proxq.ready().await;
        let job = proxq.submit(post("/after")).await;
        assert_eq!(proxq.response(&job).await.status, 200);
    }

    async fn a_crash_of_redis_costs_no_job_and_no_second_delivery(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::nothing().wait(&gate).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept"));
        let config = store.config_for(&upstream).upstream("delivery", "at-most-once");
        let proxq = expecting(Proxq::start(config).await);
        let mut jobs = Vec::new();
        for _ in 0..20 {
            jobs.push(proxq.submit(post("/x")).await);
        }
        upstream.arrivals(10).await; // ten run, ten wait
        proxq.redis().kill();
        gate.open(); // the responses come while there is nowhere to put them
        proxq.log().record("a response finds no store", |record| record.message() == "settle an attempt").await;
        proxq.redis().start_again();
        proxq.ready().await;
        for job in &jobs {
            assert_eq!(proxq.response(job).await.text(), "kept");
            assert_eq!(upstream.deliveries(job.id), 1);
            assert_eq!(proxq.status(job).await.attempts, Some(1));
        }
    }

    async fn a_redis_that_hangs_beyond_every_timeout_costs_no_job(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::nothing().wait(&gate).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept"));
        let config = store.config_for(&upstream).upstream("delivery", "at-most-once");
        let proxq = expecting(Proxq::start(config).await);
        let running = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.redis().signal(Signal::STOP);
        gate.open();
        let began = Instant::now();
        let refused = proxq.send(post("/y")).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        refused.refused(503, "STORE_UNAVAILABLE");
        outlast(Duration::from_secs(20).saturating_sub(began.elapsed())).await;
        proxq.redis().signal(Signal::CONT);
        proxq.ready().await;
        assert_eq!(proxq.response(&running).await.text(), "kept");
        assert_eq!(upstream.deliveries(running.id), 1);
        proxq.through_queue(post("/after")).await;
    }

    async fn a_full_redis_is_reported_and_recovered_from(store: Store) {
        let (proxq, upstream) = store.pair().await;
        let mut proxq = proxq;
        for text in ["store a job", "settle an attempt"] {
            proxq.expect_error(text);
        }
        let before = proxq.submit(post("/x")).await;
        proxq.response(&before).await;
        proxq.redis().run(&["CONFIG", "SET", "maxmemory", "1"]);
        proxq.send(post("/x")).await.refused(503, "STORE_FULL");
        assert_eq!(proxq.content(&before).await.status, 200, "it can be read");
        proxq.redis().run(&["CONFIG", "SET", "maxmemory", "0"]);
        proxq.through_queue(post("/y")).await;
        assert_eq!(upstream.received().len(), 2);
    }

    async fn a_flushed_redis_forgets_jobs_and_takes_new_ones(store: Store) {
        let (proxq, _upstream) = store.pair().await;
        let forgotten = proxq.submit(post("/x")).await;
        proxq.response(&forgotten).await;
        proxq.redis().run(&["FLUSHALL"]);
        proxq.send(get(&forgotten.location)).await.refused(404, "NOT_FOUND");
        proxq.through_queue(post("/y")).await;
        harness::eventually("the queue is shown again", async || {
            proxq.redis().run(&["SMEMBERS", "asynq:queues"]).texts() == ["default"]
        })
        .await;
    }

    async fn one_instance_takes_a_job_another_runs_it_and_a_third_waits_for_it(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "shared");
        let config = store.config_for(&upstream);
        let front = Proxq::start(config.clone().set("concurrency", 0)).await;
        let worker = Proxq::start(config.clone()).await;
        let third = Proxq::start(config.set("concurrency", 0)).await;
        let job = front.submit(post("/x")).await;
        assert_eq!(third.send(get(&format!("{}?wait=30s", job.location))).await.status, 200);
        assert_eq!(third.content(&job).await.text(), "shared");
        assert_eq!(upstream.deliveries(job.id), 1);
        let ended = |record: &Record| record.message() == "job completed";
        worker.log().record("the worker did it", ended).await;
    }

    async fn a_job_is_cancelled_where_it_runs(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let config = store.config_for(&upstream);
        let front = Proxq::start(config.clone().set("concurrency", 0)).await;
        let _worker = Proxq::start(config).await;
        let job = front.submit(post("/x")).await;
        upstream.arrivals(1).await;
        assert_eq!(front.cancel(&job).await.status, 200);
        let began = Instant::now();
        upstream.abandoned(job.id).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        front.send(get(&job.location)).await.refused(404, "NOT_FOUND");
    }

    async fn a_killed_instances_jobs_are_taken_over_by_the_other(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        upstream.once(Answer::nothing().hang());
        upstream.answers(200, "taken over");
        let config = store.config_for(&upstream);
        let mut one = Proxq::start(config.clone()).await;
        let repeatable = one.submit(harness::put("/x")).await;
        let doubtful = one.submit(post("/x")).await;
        upstream.arrivals(2).await;
        let other = Proxq::start(config).await;
        let began = Instant::now();
        one.kill();
        assert_eq!(other.response(&repeatable).await.text(), "taken over");
        let status = other.settled(&doubtful).await;
        let took = began.elapsed();
        eprintln!("taken over after {took:?}");
        assert!(took < Duration::from_secs(37) + Duration::from_secs(3), "{took:?}, on a busy machine");
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert_eq!(other.status(&repeatable).await.attempts, Some(2));
    }

    async fn deployments_with_queues_of_their_own_do_not_know_each_others_jobs(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().hang());
        let config = store.config_for(&upstream);
        let one = Proxq::start(config.clone().set("queue", "one")).await;
        let other = Proxq::start(config.set("queue", "other")).await;
        let keyed = || post("/x").header("Idempotency-Key", "k");
        let running = one.submit(keyed()).await;
        upstream.arrivals(1).await;
        upstream.answers(200, "theirs");
        for request in [
            get(&running.location),
            get(&format!("{}?wait=30s", running.location)),
            get(&format!("{}/content", running.location)),
            get(&format!("{}/events", running.location)),
            delete(&running.location),
            post(&format!("{}/retry?confirm=may-duplicate", running.location)),
        ] {
            other.send(request).await.refused(404, "NOT_FOUND");
        }
        let theirs = other.submit(keyed().header("X-Proxq-Job-Id", running.id.to_string())).await;
        assert_eq!(theirs.id, running.id, "the id and the key are free there");
        assert_eq!(other.response(&theirs).await.text(), "theirs");
        assert_eq!(other.cancel(&theirs).await.status, 200);
        assert_eq!(one.status(&running).await.status, JobStatus::Running, "it goes on");
        assert_eq!(one.cancel(&running).await.status, 200);
        let ended = |record: &Record| record.message() == "job cancelled while it ran";
        one.log().record("the attempt ends", ended).await;
        assert!(!other.log().records().iter().any(ended), "and no other");
    }

    async fn an_unreadable_job_differs_from_one_that_is_gone(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        proxq.expect_error("read a job");
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "1h")).await;
        proxq.redis().run(&["HSET", &format!("asynq:{{default}}:t:{}", job.id), "state", "nonsense"]);
        let content = format!("{}/content", job.location);
        let events = format!("{}/events", job.location);
        let wait = format!("{}?wait=30s", job.location);
        for request in [get(&job.location), get(&content), get(&events), get(&wait), post(&format!("{}/retry", job.location))] {
            proxq.send(request).await.refused(500, "CORRUPT");
        }
        let logged = |record: &Record| {
            record.level() == "ERROR" && record.field("job.id").is_some_and(|id| id == job.id.to_string())
        };
        proxq.log().record("the job's id", logged).await;
        assert_eq!(proxq.cancel(&job).await.status, 200, "it can be removed");
        proxq.send(get(&job.location)).await.refused(404, "NOT_FOUND");
    }

    async fn a_redis_that_gives_no_jobs_is_not_ready(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        proxq.expect_error("store a job");
        proxq.through_queue(post("/x")).await;
        assert!(proxq.is_ready().await);
        proxq.redis().run(&["SET", "asynq:{default}:pending", "nonsense"]);
        let reply = proxq.send(get("/__jobs/readyz")).await;
        reply.refused(503, "STORE_UNAVAILABLE");
        assert_eq!(reply.detail(), "the job store neither takes nor gives jobs; the log says why");
        let says_why = |record: &Record| {
            record.message() == "not ready"
                && record.field("error").is_some_and(|error| error.contains("asynq:{default}:pending is of the type string"))
        };
        proxq.log().record("the key", says_why).await;
        proxq.send(post("/x")).await.refused(503, "STORE_UNAVAILABLE");
        proxq.redis().run(&["DEL", "asynq:{default}:pending"]);
        proxq.ready().await;
        proxq.through_queue(post("/y")).await;
    }

    async fn an_eviction_policy_that_may_cost_jobs_is_warned_of(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        config.redis().unwrap().run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let proxq = Proxq::start(config).await;
        let warns = |record: &Record| {
            record.level() == "WARN" && record.field("warning").is_some_and(|text| text.contains("maxmemory-policy"))
        };
        proxq.log().record("a warning", warns).await;
    }

    async fn an_idle_instance_asks_redis_four_times_a_second_at_most(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        let cable = Cable::to(&redis.host_and_port()).await;
        let config = Config::new().route(Route::new("/", &upstream.url()));
        let proxq = Proxq::start(config.in_redis_at(redis, &cable.host_and_port())).await;
        proxq.through_queue(post("/x")).await;
        count_for(Duration::from_secs(1)).await; // what the job set in motion ends
        let before = cable.round_trips();
        let began = Instant::now();
        count_for(MEASURED).await;
        let (asked, took) = (cable.round_trips() - before, began.elapsed());
        eprintln!("{asked} round trips in {took:?} while idle");
        assert!(asked as u128 * 1000 <= 4 * took.as_millis(), "{asked} round trips in {took:?}");
    }
}
