//! Jobs: how many a second are forwarded and completed.

use tokio::time::Instant;

use super::About;
use crate::Problem;
use crate::bench::{Bench, Round};
use crate::ceiling::{Access, RANDOM, SqliteLoop, redis_benchmark, submit_command};
use crate::load::{Limit, Requests, closed};
use crate::metric::Metric;
use crate::requests::post;
use crate::server::Server;
use crate::table::Table;
use crate::target::Cpu;

pub(super) const ABOUT: About = About {
    name: "jobs",
    title: "waiting jobs of 1 KiB completed, concurrency 100, an upstream that answers 1 KiB at once",
    limited_by: "two commits each (lease and settle; embedded: groups of both), and an exchange with the upstream",
    target: "≥ 0.12 of redis-benchmark (stretch 0.2); embedded ≥ 0.6 of SQLite; ≤ 40 µs of CPU each, and ≤ 40 µs of Redis",
};

/// Attempts at once.
const CONCURRENCY: u32 = 100;
/// Of the waiting jobs, one in so many is left out at the beginning and at the end, where not all workers are busy.
const LEFT_OUT: u32 = 20;

const REDIS_BENCHMARK: &str = "redis-benchmark, script of a submission";
const SQLITE_LOOP: &str = "SQLite, same statements, groups of 100";

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let servers = bench.queues(CONCURRENCY).await?;
    let [on_redis, embedded, ..] = &servers[..] else { return Err("proxq runs on both stores".into()) };
    let redis = on_redis.redis.as_deref().ok_or("the first server is on Redis")?;
    let before = bench.upstream.answered();
    let script = submit_command(on_redis, RANDOM).await?;
    let mut sqlite = SqliteLoop::like(embedded, bench.folder(), CONCURRENCY).await?;
    // These two jobs are not to be counted as others.
    bench.upstream.has_answered(before + 2).await?;
    for round in bench.rounds() {
        for server in &servers {
            bench.progress.step(&server.target.name);
            let rates = complete(bench, server, "", round).await?;
            if !round.is_warm_up {
                table.keep(&server.target.name, Metric::Rate, rates.jobs_per_second);
                rates.cpu.keep(&mut table, &server.target.name, rates.counted);
            }
        }
        bench.progress.step(REDIS_BENCHMARK);
        let redis_rate = redis_benchmark(redis, Access::Writes, &script, round.requests).await?;
        bench.progress.step(SQLITE_LOOP);
        let sqlite_rate = sqlite.completions(round.phase)?;
        if !round.is_warm_up {
            table.keep(REDIS_BENCHMARK, Metric::Rate, redis_rate);
            table.keep(SQLITE_LOOP, Metric::Rate, sqlite_rate);
        }
    }
    table.compare("Redis", Metric::Rate, REDIS_BENCHMARK, Metric::OfRedis);
    table.compare("embedded", Metric::Rate, SQLITE_LOOP, Metric::OfSqlite);
    Ok(table)
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) submissions_per_second: f64,
    pub(super) jobs_per_second: f64,
    /// Jobs that were counted, and the CPU time that they took.
    pub(super) counted: u32,
    pub(super) cpu: Cpu,
}

/// Lets jobs pile up while the upstream holds its answers back, and measures how as many are worked off after that.
///
/// The upstream's answers are what is counted. Nobody but this server may send it requests. `headers` are header lines of
/// the submissions.
pub(super) async fn complete(bench: &Bench, server: &Server, headers: &str, round: Round) -> Result<Rates, Problem> {
    let held = bench.upstream.hold();
    let before = bench.upstream.answered();
    let request = [post("/job", headers)];
    let requests = Requests { bytes: &request, status: 202 };
    let submitted = closed(server.target.address, requests, Limit::Count(round.requests)).await?;
    let edge = round.requests / LEFT_OUT;
    let counted = round.requests - 2 * edge;
    drop(held);
    bench.upstream.has_answered(before + u64::from(edge)).await?;
    let (began, cpu) = (Instant::now(), server.target.cpu()?);
    bench.upstream.has_answered(before + u64::from(edge + counted)).await?;
    let (elapsed, cpu) = (began.elapsed(), server.target.cpu()?.since(cpu));
    bench.upstream.has_answered(before + u64::from(round.requests)).await?;
    Ok(Rates {
        submissions_per_second: submitted.per_second(),
        jobs_per_second: f64::from(counted) / elapsed.as_secs_f64(),
        counted,
        cpu,
    })
}
