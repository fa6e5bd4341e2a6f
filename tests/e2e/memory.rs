//! Tests of memory: it does not grow with a body's size, little with the number of bodies, and comes back when they are gone.
//!
//! `PROXQ_TEST_BODIES` and `PROXQ_TEST_BODY_MIB` make it a larger trial. What is promised are 20 and 100 in
//! [`FEW_BYTES_MAX`], and 300 and 4 in [`MANY_BYTES_MAX`].

use std::env;

use harness::{
    Answer, Config, Pattern, Proxq, Request, Store, Upstream, eventually, get, on_every_store, on_the_store, post,
};
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::redis_network::expecting_failures;

/// What the server may take above its idle memory for some dozens of bodies at once, however large they are.
const FEW_BYTES_MAX: u64 = 48 << 20;

/// The same for some hundreds.
const MANY_BYTES_MAX: u64 = 96 << 20;

/// What may be left of it when they are gone.
const LEFT_BYTES_MAX: u64 = 10 << 20;

fn from_env(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How many bodies there are, and the length of each, unless the environment says otherwise.
fn dimensions(count: u64, length_mib: u64) -> (u64, u64) {
    (from_env("PROXQ_TEST_BODIES", count), from_env("PROXQ_TEST_BODY_MIB", length_mib) << 20)
}

/// Asserts what the server took at most since it was idle, and waits until it has given that back.
async fn took_at_most(proxq: &Proxq, idle: u64, bytes_max: u64) {
    let above = proxq.memory_peak().saturating_sub(idle);
    eprintln!("{above} bytes above {idle} idle");
    assert!(above <= bytes_max, "{above} bytes above idle");
    eventually("the memory is given back", async || proxq.memory() <= idle + LEFT_BYTES_MAX).await;
}

/// Uploads so many bodies of this length at once, and asserts that each arrives whole.
async fn upload_at_once(store: Store, count: u64, length: u64, bytes_max: u64) {
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
    for (job, seed) in jobs {
        let received = upstream.received().into_iter().find(|received| received.job_id() == Some(job.id)).unwrap();
        assert_eq!(received.digest, Pattern::new(seed, length).digest());
    }
    took_at_most(&proxq, idle, bytes_max).await;
}

/// Sends so many requests at once while Redis does not answer, and asserts that each is refused.
async fn send_while_redis_is_silent(store: Store, count: u64, request: impl Fn(u64) -> Request) {
    let upstream = Upstream::start().await;
    let mut proxq = expecting_failures(Proxq::start(large_bodies(store.config_for(&upstream), 4 << 20)).await);
    proxq.expect_error("store a request's body");
    proxq.through_queue(post("/warm-up")).await;
    let idle = proxq.memory();
    proxq.redis().signal(Signal::STOP);
    let mut clients = JoinSet::new();
    for number in 0..count {
        let (client, request) = ((*proxq).clone(), request(number));
        clients.spawn(async move { client.send(request).await.refused(503, "STORE_UNAVAILABLE") });
    }
    clients.join_all().await;
    proxq.redis().signal(Signal::CONT);
    took_at_most(&proxq, idle, MANY_BYTES_MAX).await;
    eventually("jobs are taken again", async || proxq.send(post("/y")).await.status == 202).await;
}

fn large_bodies(config: Config, length: u64) -> Config {
    config.upstream("maxBodySize", length).upstream("directProxyThreshold", 0).set("concurrency", 20)
}

on_every_store! {
    async fn large_uploads_at_once_arrive_whole_in_bounded_memory(store: Store) {
        let (count, length) = dimensions(4, 32);
        upload_at_once(store, count, length, FEW_BYTES_MAX).await;
    }

    async fn many_uploads_at_once_arrive_whole_in_bounded_memory(store: Store) {
        let (count, length) = dimensions(64, 2);
        upload_at_once(store, count, length, MANY_BYTES_MAX).await;
    }

    async fn large_responses_at_once_are_kept_whole_in_bounded_memory(store: Store) {
        let (count, length) = dimensions(4, 32);
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
        took_at_most(&proxq, idle, FEW_BYTES_MAX).await;
    }
}

on_the_store! { Redis:
    async fn large_uploads_while_redis_is_silent_are_refused_in_bounded_memory(store: Store) {
        send_while_redis_is_silent(store, 200, |seed| post("/x").pattern(Pattern::new(seed, 2_000_000))).await;
    }

    async fn small_bodies_while_redis_is_silent_are_refused_in_bounded_memory(store: Store) {
        send_while_redis_is_silent(store, 200, |_| post("/x").body(vec![b'x'; 250_000])).await;
    }
}
