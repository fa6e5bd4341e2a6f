//! Idle: what proxq uses when nobody asks for anything.

use std::time::Duration;

use harness::{Redis, count_for, outlast};

use super::About;
use crate::bench::Bench;
use crate::messages::Messages;
use crate::metric::Metric;
use crate::requests::post;
use crate::table::Table;
use crate::{Problem, usage};

pub(super) const ABOUT: About = About {
    name: "idle",
    title: "a proxq that has nothing to do, after one job",
    limited_by: "timers of the housekeeping and, on Redis, the connection that waits for work",
    target: "≤ 0.2 % of a core, ≤ 25 MiB, ≤ 4 round trips to Redis per second",
};

/// For which it is left alone before it counts as idle.
const REST: Duration = Duration::from_secs(2);
/// For which it is watched, in a full run.
const SPAN: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    // A root, since CPU times are counted in hundredths of a second and a short span shows none.
    let span = SPAN.div_f64(f64::from(bench.effort.shrink).sqrt());
    for server in bench.proxqs(10).await? {
        let row = server.target.name.as_str();
        bench.progress.step(row);
        let before = bench.upstream.answered();
        Messages::connect(server.target.address).await?.expect(&post("/job", ""), 202).await?;
        bench.upstream.has_answered(before + 1).await?;
        outlast(REST).await;
        let reads = server.redis.as_deref().map(redis_reads).transpose()?;
        let cpu = usage::cpu(server.pid())?;
        count_for(span).await;
        let used = usage::cpu(server.pid())?.saturating_sub(cpu);
        table.keep(row, Metric::CpuPercent, used.as_secs_f64() / span.as_secs_f64() * 100.0);
        table.keep(row, Metric::ResidentMib, usage::mib(usage::resident_bytes(server.pid())?));
        if let (Some(redis), Some(before)) = (&server.redis, reads) {
            // The question itself is one or two of them.
            let reads = f64::from(redis_reads(redis)?.saturating_sub(before));
            table.keep(row, Metric::RoundTrips, reads / span.as_secs_f64());
        }
    }
    Ok(table)
}

/// How often Redis has read something from its clients.
pub(super) fn redis_reads(redis: &Redis) -> Result<u32, Problem> {
    let info = redis.run(&["INFO", "stats"]).text();
    let line = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    Ok(line.ok_or("Redis counts what it reads")?.trim().parse()?)
}
