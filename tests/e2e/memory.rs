//! Tests of memory: it does not grow with a body's size, nor with the number of bodies.
//!
//! `PROXQ_TEST_BODIES` and `PROXQ_TEST_BODY_MIB` make it a larger trial: 20 and 100 is what is promised.

use std::env;

use harness::{Answer, Config, Pattern, Proxq, Store, Upstream, get, on_every_store, post};
use tokio::task::JoinSet;

/// What the server may take above its idle memory, whatever the bodies.
const ABOVE_IDLE_BYTES_MAX: u64 = 96 << 20;

fn from_env(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How many bodies there are, and the length of each.
fn dimensions() -> (u64, u64) {
    (from_env("PROXQ_TEST_BODIES", 4), from_env("PROXQ_TEST_BODY_MIB", 32) << 20)
}

fn large_bodies(config: Config, length: u64) -> Config {
    config.upstream("maxBodySize", length).upstream("directProxyThreshold", 0).set("concurrency", 20)
}

on_every_store! {
    async fn large_uploads_at_once_arrive_whole_in_bounded_memory(store: Store) {
        let (count, length) = dimensions();
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(large_bodies(store.config_for(&upstream), length)).await;
        proxq.through_queue(post("/warm-up")).await;
        upstream.request().await;
        let idle = proxq.memory();
        let mut clients = JoinSet::new();
        for seed in 0..count {
            let client = (*proxq).clone();
            clients.spawn(async move {
                let job = client.submit(post("/x").pattern(Pattern::new(seed, length))).await;
                client.response(&job).await;
                (job, seed)
            });
        }
        let jobs = clients.join_all().await;
        let above = proxq.memory_peak().saturating_sub(idle);
        for (job, seed) in jobs {
            let received = upstream.received().into_iter().find(|received| received.job_id() == Some(job.id)).unwrap();
            assert_eq!(received.digest, Pattern::new(seed, length).digest());
        }
        eprintln!("{count} uploads of {length} bytes: {above} bytes above {idle} idle");
        assert!(above <= ABOVE_IDLE_BYTES_MAX, "{above} bytes above idle");
    }

    async fn large_responses_at_once_are_kept_whole_in_bounded_memory(store: Store) {
        let (count, length) = dimensions();
        let upstream = Upstream::start().await;
        upstream.plan(move |head| {
            let seed = head.word(1).trim_start_matches('/').parse().unwrap_or_default();
            Answer::status(200).pattern(Pattern::new(seed, length))
        });
        let proxq = Proxq::start(large_bodies(store.config_for(&upstream), length)).await;
        let idle = proxq.memory();
        let mut clients = JoinSet::new();
        for seed in 1..=count {
            let client = (*proxq).clone();
            clients.spawn(async move {
                let job = client.submit(get(&format!("/{seed}"))).await;
                client.settled(&job).await;
                assert_eq!(client.content_digest(&job).await, Pattern::new(seed, length).digest());
            });
        }
        clients.join_all().await;
        let above = proxq.memory_peak().saturating_sub(idle);
        eprintln!("{count} responses of {length} bytes: {above} bytes above {idle} idle");
        assert!(above <= ABOVE_IDLE_BYTES_MAX, "{above} bytes above idle");
    }
}
