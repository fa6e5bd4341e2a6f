//! A long queue in Redis: what a million waiting jobs cost the rates, and the memory of proxq.
//!
//! Two things that are Redis's affair are kept out: that fresh memory must be had from the system (the memory is touched
//! first; `MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1` in the environment makes a Redis on the system's jemalloc keep
//! it), and that its table of keys doubles at 2²⁰ of them (there are some more, and a pause for the move). With both,
//! rates at the very million were a fifth to a third lower.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use harness::{Redis, count_for, eventually, outlast};
use tokio::time::Instant;

use crate::server::{Logging, Server};
use crate::wire::{load, post};
use crate::{BODY_BYTES, CONNECTIONS, PHASE, Problem, ROUNDS, median};

/// How many jobs wait: a million, and enough to be past 2²⁰.
const BACKLOG: i64 = 1_100_000;
/// How many jobs the rounds add.
const ADDED: i64 = 500_000;
/// Jobs that a worker forwards at once.
const CONCURRENCY: usize = 100;

const PENDING: &str = "asynq:{default}:pending";
const COMPLETED: &str = "asynq:{default}:completed";

struct Rig {
    redis: Arc<Redis>,
    front: Server,
    worker_settings: String,
    upstream: SocketAddr,
    request: Vec<u8>,
}

/// Rates of one state of the queue, each a median.
struct Rates {
    submissions: f64,
    jobs: f64,
    front_kib: u64,
    worker_kib: u64,
}

/// Submissions and completed jobs per second on an empty queue and on a long one, in turn on one Redis.
pub(crate) async fn beside_an_empty_queue(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    let redis = Redis::start();
    // A rewrite of the append-only file takes a core for as long as it lasts, and comes more often the more is written.
    redis.run(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]);
    let settings =
        |concurrency: usize| format!("concurrency: {concurrency}\nredis:\n  url: unix://{}", redis.socket().display());
    let front = Server::start(&folder.join("backlog-front"), upstream, &settings(0), Logging::Warnings)?;
    let worker_settings = settings(CONCURRENCY);
    let rig = Rig { redis, front, worker_settings, upstream, request: post("/job", "") };

    rig.fill(BACKLOG + ADDED).await?;
    let empty = rig.rates(folder, true).await?;
    rig.fill(BACKLOG).await?;
    outlast(10 * PHASE).await; // whatever the fill set in motion in Redis is not measured
    let waiting = rig.count("LLEN", PENDING);
    let long = rig.rates(folder, false).await?;

    println!("redis, {CONNECTIONS} connections, {BODY_BYTES} bytes each way, medians of {ROUNDS} rounds");
    println!(
        "{:<24} {:>12} {:>10} {:>11} {:>12}",
        "waiting jobs", "submissions/s", "jobs/s", "front KiB", "worker KiB"
    );
    for (name, rates) in [("below 200,000".to_owned(), &empty), (format!("above {waiting}"), &long)] {
        let Rates { submissions, jobs, front_kib, worker_kib } = rates;
        println!("{name:<24} {submissions:>12.0} {jobs:>10.0} {front_kib:>11} {worker_kib:>12}");
    }
    println!("{:<24} {:>12.2} {:>10.2}", "ratio", long.submissions / empty.submissions, long.jobs / empty.jobs);
    Ok(())
}

impl Rig {
    async fn fill(&self, waiting: i64) -> Result<(), Problem> {
        while self.count("LLEN", PENDING) < waiting {
            load(self.front.address, &self.request, 202, PHASE).await?;
        }
        Ok(())
    }

    /// Submits for a while, then works for a while, in every round; on an empty queue, if so wanted.
    async fn rates(&self, folder: &Path, emptied: bool) -> Result<Rates, Problem> {
        let (mut submissions, mut jobs) = (Vec::new(), Vec::new());
        let mut worker_kib = 0;
        for _ in 0..ROUNDS {
            if emptied {
                self.redis.run(&["FLUSHALL"]);
            }
            submissions.push(load(self.front.address, &self.request, 202, PHASE).await?.per_second);
            let folder = folder.join("backlog-worker");
            let worker = Server::start(&folder, self.upstream, &self.worker_settings, Logging::Warnings)?;
            // What it takes to start is not measured.
            let before = self.count("ZCARD", COMPLETED);
            eventually("the worker has begun", async || self.count("ZCARD", COMPLETED) > before).await;
            let (begun, before) = (Instant::now(), self.count("ZCARD", COMPLETED));
            count_for(PHASE).await;
            let done = self.count("ZCARD", COMPLETED) - before;
            jobs.push(f64::from(i32::try_from(done)?) / begun.elapsed().as_secs_f64());
            worker_kib = worker.resident_kib()?;
        }
        let front_kib = self.front.resident_kib()?;
        Ok(Rates { submissions: median(&mut submissions), jobs: median(&mut jobs), front_kib, worker_kib })
    }

    fn count(&self, command: &str, key: &str) -> i64 {
        self.redis.run(&[command, key]).number()
    }
}
