//! Tests of the response cache in Redis: all instances share it, and no job fails because of it.

use std::time::Duration;

use harness::{Answer, Config, Pattern, Proxq, Record, Request, Store, Upstream, get, on_the_store, post};
use rustix::process::Signal;
use tokio::time::Instant;

fn cached(store: Store, upstream: &Upstream) -> Config {
    store.config_for(upstream).set("cache.mode", "redis")
}

async fn verdict(proxq: &Proxq, request: Request) -> String {
    proxq.through_queue(request).await.header("x-cache-status").unwrap_or_default()
}

/// The only key of the cache.
fn key(proxq: &Proxq) -> String {
    let keys = proxq.redis().keys("*cache:v2:*");
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

fn is_failure(record: &Record) -> bool {
    record.level() == "WARN" && record.message().starts_with("the response cache failed")
}

on_the_store! {
    Redis:

    async fn instances_share_cached_responses(store: Store) {
        let upstream = Upstream::start().await;
        let length = 1 << 20;
        upstream.always(Answer::status(200).pattern(Pattern::new(1, length)));
        let config = cached(store, &upstream).set("cache.ttl", "90s").set("cache.redisKeyPrefix", "proxq:mine:");
        let one = Proxq::start(config.clone().set("inlineBodyLimit", 1000)).await;
        let ask = || post("/x").header("Host", "public").body(Pattern::new(2, 100_000).bytes());
        assert_eq!(verdict(&one, ask()).await, "MISS");
        let key = key(&one);
        let digest = key.strip_prefix("proxq:mine:cache:v2:").unwrap_or_default();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{key}");
        let ttl_ms = one.redis().run(&["PTTL", &key]).number();
        assert!((60_000..=90_000).contains(&ttl_ms), "{ttl_ms} ms");
        drop(one);
        // The same bodies, which are large to one and small to the other.
        let other = Proxq::start(config.set("inlineBodyLimit", 4 << 20)).await;
        let job = other.submit(ask()).await;
        assert_eq!(other.response(&job).await.header("x-cache-status").as_deref(), Some("HIT"));
        assert_eq!(other.content_digest(&job).await, Pattern::new(1, length).digest());
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_response_that_is_too_large_to_share_is_not_kept(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).pattern(Pattern::new(1, 8 << 20)));
        let proxq = Proxq::start(cached(store, &upstream)).await;
        for _ in 0..2 {
            assert_eq!(verdict(&proxq, get("/x")).await, "MISS");
        }
    }

    async fn a_damaged_entry_is_a_miss(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "right");
        let proxq = Proxq::start(cached(store, &upstream)).await;
        assert_eq!(verdict(&proxq, get("/x")).await, "MISS");
        let key = key(&proxq);
        proxq.redis().run(&["SETRANGE", &key, "20", "damage"]);
        assert_eq!(verdict(&proxq, get("/x")).await, "MISS");
        assert_eq!(proxq.log().record("it is told", is_failure).await.field("failures").as_deref(), Some("1"));
        assert_eq!(verdict(&proxq, get("/x")).await, "HIT", "it was kept anew");
        assert_eq!(upstream.received().len(), 2);
    }

    async fn a_cache_that_fails_costs_no_job(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "right");
        let proxq = Proxq::start(cached(store, &upstream)).await;
        assert_eq!(verdict(&proxq, get("/x")).await, "MISS");
        let key = key(&proxq);
        proxq.redis().run(&["DEL", &key]);
        proxq.redis().run(&["RPUSH", &key, "something else"]);
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!((reply.text().as_str(), reply.header("x-cache-status").as_deref()), ("right", Some("MISS")));
        proxq.log().record("it is told", is_failure).await;
        assert_eq!(verdict(&proxq, get("/x")).await, "HIT", "a response takes the place of whatever is there");
    }

    async fn a_cache_without_permission_costs_no_job(store: Store) {
        let upstream = Upstream::start().await;
        let config = cached(store, &upstream).set("cache.redisKeyPrefix", "elsewhere:");
        config.redis().unwrap().run(&["ACL", "SETUSER", "default", "resetkeys", "~asynq:*", "~proxq:*"]);
        let proxq = Proxq::start(config).await;
        for _ in 0..2 {
            assert_eq!(verdict(&proxq, get("/x")).await, "MISS");
        }
        proxq.log().record("it is told", |record| is_failure(record) && record.field("failures").as_deref() == Some("4")).await;
    }

    async fn a_redis_that_stands_still_holds_up_the_end_of_a_job_for_no_longer_than_it_may(store: Store) {
        let upstream = Upstream::start().await;
        let gate = harness::Gate::new();
        let mut proxq = Proxq::start(cached(store, &upstream).set("concurrency", 1)).await;
        proxq.expect_error("settle an attempt");
        upstream.once(Answer::status(200).wait(&gate));
        let first = proxq.submit(get("/x")).await;
        upstream.arrivals(1).await;
        proxq.redis().signal(Signal::STOP);
        gate.open();
        let began = Instant::now();
        proxq.log().record("it is told", |record| is_failure(record) && record.field("step").as_deref() == Some("keep a response")).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        proxq.redis().signal(Signal::CONT);
        assert_eq!(proxq.response(&first).await.status, 200);
    }
}
