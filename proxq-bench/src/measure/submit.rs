//! Submissions: how many jobs a second are accepted, and after how long.

use super::About;
use crate::Problem;
use crate::bench::Bench;
use crate::ceiling::{Access, Bare, BareServer, RANDOM, SqliteLoop, redis_benchmark, submit_command};
use crate::load::{CONNECTIONS, Requests};
use crate::metric::Metric;
use crate::requests::post;
use crate::table::Table;
use crate::target::open_loop_rate;

pub(super) const ABOUT: About = About {
    name: "submit",
    title: "submissions of 1 KiB on 64 connections, 100 workers busy with held attempts; latencies at half the slowest rate",
    limited_by: "one commit (Redis: one script call; embedded: one synced group of inserts), and the HTTP work around it",
    target: "≥ 0.35 of redis-benchmark; embedded ≥ 0.6 of SQLite; ≤ 25 µs of CPU each; p99 ≤ 3 × p50",
};

/// Attempts that are held at the upstream, so that nothing but submissions goes on.
const CONCURRENCY: u32 = 100;

const REDIS_BENCHMARK: &str = "redis-benchmark, same script";
const SQLITE_LOOP: &str = "SQLite, same statements, groups of 64";

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let servers = bench.queues(CONCURRENCY).await?;
    let [on_redis, embedded, ..] = &servers[..] else { return Err("proxq runs on both stores".into()) };
    let _held = bench.upstream.hold();
    let redis = on_redis.redis.as_deref().ok_or("the first server is on Redis")?;
    let script = submit_command(on_redis, RANDOM).await?;
    let mut sqlite = SqliteLoop::like(embedded, bench.folder(), CONNECTIONS).await?;
    let bare = BareServer::start(Bare::Accept, bench.upstream.address())?;

    let request = [post("/job", "")];
    let requests = Requests { bytes: &request, status: 202 };
    for round in bench.rounds() {
        for target in servers.iter().map(|server| &server.target).chain([&bare.target]) {
            bench.progress.step(&target.name);
            target.rate(&mut table, requests, round).await?;
        }
        bench.progress.step(REDIS_BENCHMARK);
        let redis_rate = redis_benchmark(redis, Access::Writes, &script, round.requests).await?;
        bench.progress.step(SQLITE_LOOP);
        let sqlite_rate = sqlite.submissions(round.phase)?;
        if !round.is_warm_up {
            table.keep(REDIS_BENCHMARK, Metric::Rate, redis_rate);
            table.keep(SQLITE_LOOP, Metric::Rate, sqlite_rate);
        }
    }
    table.compare("Redis", Metric::Rate, REDIS_BENCHMARK, Metric::OfRedis);
    table.compare("embedded", Metric::Rate, SQLITE_LOOP, Metric::OfSqlite);
    let per_second = open_loop_rate(&table, servers.iter().map(|server| &server.target))?;
    for round in bench.rounds() {
        for server in &servers {
            bench.progress.step(&server.target.name);
            server.target.latencies(&mut table, requests, per_second, round).await?;
        }
    }
    Ok(table)
}
