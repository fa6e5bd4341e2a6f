//! What a server uses while nothing happens: CPU, and its talk with Redis.

use std::time::Duration;

use harness::Redis;

use crate::metric::Metric;
use crate::server::Server;
use crate::table::Table;
use crate::{Problem, usage};

/// What a server has used since it started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) cpu: Duration,
    pub(super) redis_reads: Option<u32>,
}

impl Used {
    pub(super) fn by(server: &Server) -> Result<Self, Problem> {
        let redis_reads = server.redis.as_deref().map(redis_reads).transpose()?;
        Ok(Self { cpu: usage::cpu(server.pid())?, redis_reads })
    }

    /// Keeps what was used in a span, since an earlier moment.
    pub(super) fn keep_since(self, before: Self, span: Duration, table: &mut Table, row: &str) {
        let cpu = self.cpu.saturating_sub(before.cpu);
        table.keep(row, Metric::CpuPercent, cpu.as_secs_f64() / span.as_secs_f64() * 100.0);
        if let Some((now, before)) = self.redis_reads.zip(before.redis_reads) {
            // The question itself is one or two of them.
            table.keep(row, Metric::RoundTrips, f64::from(now.saturating_sub(before)) / span.as_secs_f64());
        }
    }
}

/// How often Redis has read something from its clients.
fn redis_reads(redis: &Redis) -> Result<u32, Problem> {
    let info = redis.run(&["INFO", "stats"]).text();
    let line = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    Ok(line.ok_or("Redis counts what it reads")?.trim().parse()?)
}
