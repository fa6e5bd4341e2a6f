//! Tests of flow control on Redis: queues by name, limits over several instances, and Redis away.

use std::time::Duration;

use harness::{
    Answer, Gate, Proxq, Request, Route, Store, Upstream, eventually, get, never_within, on_the_store, post,
};
use proxq_protocol::Waiting;

use super::{job_of, submit, waits};

/// Longer than an attempt takes that may begin.
const WOULD_HAVE_BEGUN: Duration = Duration::from_millis(300);

fn direct() -> Request {
    get("/direct").header("X-Proxq-Mode", "direct")
}

on_the_store! {
    Redis:

    async fn queues_are_among_those_of_asynq(store: Store) {
        let upstream = Upstream::start().await;
        let to = |prefix| Route::new(prefix, &upstream.url());
        let config = store.config().set("concurrency", 0).route(to("/api/v1").set("concurrency", 1));
        let config = config.route(to("/named").set("queue", "mine")).route(to("/plain"));
        let proxq = Proxq::start(config).await;
        for path in ["/api/v1/x", "/named/x", "/plain/x"] {
            proxq.submit(post(path)).await;
        }
        let mut queues = proxq.redis().run(&["SMEMBERS", "asynq:queues"]).texts();
        queues.sort();
        assert_eq!(queues, ["default", "default:api:v1", "mine"]);
        for queue in queues {
            let pending = proxq.redis().run(&["LLEN", &format!("asynq:{{{queue}}}:pending")]);
            assert_eq!(pending.number(), 1, "{queue}");
        }
    }

    async fn a_shared_number_at_once_counts_over_all_instances(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("concurrency", 2).upstream("concurrencyScope", "shared");
        let (one, other) = (Proxq::start(config.clone()).await, Proxq::start(config).await);
        let (mut jobs, mut directs) = (submit(&one, &post("/x"), 1).await, vec![]);
        upstream.arrivals(1).await;
        directs.push(other.begin(direct()).await);
        upstream.arrivals(2).await;
        for proxq in [&one, &other] {
            jobs.extend(submit(proxq, &post("/x"), 2).await);
            proxq.send(direct()).await.refused(429, "RATE_LIMITED");
        }
        never_within(WOULD_HAVE_BEGUN, "a third begins", upstream.arrivals(3)).await;
        waits(&one, &jobs[1], Waiting::Limit).await;
        gate.open();
        directs[0].reply().await.from_upstream(200);
        for job in &jobs {
            one.response(job).await;
        }
    }

    async fn an_instance_that_dies_loses_its_places(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.once(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("concurrencyScope", "shared");
        let (mut one, other) = (Proxq::start(config.clone()).await, Proxq::start(config).await);
        let _held = one.begin(direct()).await;
        upstream.arrivals(1).await;
        one.kill();
        let job = other.submit(post("/x")).await;
        assert_eq!(other.response(&job).await.status, 200, "within the term of a lease");
    }

    async fn a_rate_counts_over_all_instances(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("rateLimit", "2/h").upstream("burst", 2);
        let (one, other) = (Proxq::start(config.clone()).await, Proxq::start(config).await);
        one.send(direct()).await.from_upstream(200);
        other.through_queue(post("/x")).await;
        for proxq in [&one, &other] {
            proxq.send(direct()).await.refused(429, "RATE_LIMITED");
            let job = proxq.submit(post("/x")).await;
            waits(proxq, &job, Waiting::Rate).await;
        }
        assert_eq!(upstream.received().len(), 2);
    }

    async fn a_park_is_seen_by_all_instances(store: Store) {
        let upstream = Upstream::start().await;
        upstream.plan(|head| {
            let status = if head.value("authorization").as_deref() == Some("a") { 429 } else { 200 };
            Answer::status(status).header("Retry-After", "3600")
        });
        let config = store.config_for(&upstream).upstream("retryOn", vec![429]);
        let (one, other) = (Proxq::start(config.clone()).await, Proxq::start(config).await);
        let refused = one.submit(job_of("a")).await;
        waits(&one, &refused, Waiting::Parked).await;
        let next = other.submit(job_of("a")).await;
        waits(&other, &next, Waiting::Parked).await;
        other.through_queue(job_of("b")).await;
        assert_eq!(upstream.deliveries(next.id), 0);
    }

    async fn a_number_at_once_of_each_credential_is_shared_too(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("concurrency", 10).upstream("concurrencyScope", "shared");
        let config = config.upstream("perCredential.concurrency", 1);
        let (one, other) = (Proxq::start(config.clone()).await, Proxq::start(config).await);
        let mut jobs = Vec::new();
        for proxq in [&one, &other] {
            jobs.extend(submit(proxq, &job_of("a"), 3).await);
            jobs.extend(submit(proxq, &job_of("b"), 1).await);
        }
        upstream.arrivals(2).await;
        never_within(WOULD_HAVE_BEGUN, "a third begins", upstream.arrivals(3)).await;
        gate.open();
        for job in &jobs {
            one.response(job).await;
        }
    }

    async fn credentials_take_turns_over_all_instances(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("concurrencyScope", "shared");
        let config = config.upstream("fairness", "credential");
        let (one, other) = (Proxq::start(config.clone()).await, Proxq::start(config).await);
        one.submit(job_of("z")).await;
        upstream.arrivals(1).await;
        submit(&one, &job_of("a"), 4).await;
        submit(&other, &job_of("b"), 4).await;
        gate.open();
        upstream.arrivals(9).await;
        let credential = |received: &harness::Received| received.header("authorization").unwrap_or_default();
        let order: String = upstream.received().iter().map(credential).collect();
        assert!(["zabababab", "zbabababa"].contains(&order.as_str()), "{order}");
    }

    async fn while_redis_is_away_an_instance_decides_alone(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("rateLimit", "2/h").upstream("burst", 2);
        let proxq = Proxq::start(config).await;
        proxq.through_queue(post("/x")).await;
        proxq.redis().kill();
        for _ in 0..2 {
            proxq.send(direct()).await.from_upstream(200);
        }
        proxq.send(direct()).await.refused(429, "RATE_LIMITED");
        proxq.redis().start_again();
        proxq.ready().await;
    }

    async fn a_queue_of_a_former_configuration_is_left_alone_where_another_deployment_has_it(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("retryOn", vec![503]);
        let others = Proxq::start(config.clone().set("queue", "others").set("concurrency", 0)).await;
        let job = others.submit(post("/theirs")).await;
        let proxq = Proxq::start(config.set("queue", "ours")).await;
        proxq.through_queue(post("/ours")).await;
        eventually("it has looked", async || proxq.is_ready().await).await;
        never_within(WOULD_HAVE_BEGUN, "theirs begins", upstream.arrivals(2)).await;
        assert_eq!(others.status(&job).await.attempts, Some(0));
    }
}
