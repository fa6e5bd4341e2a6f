//! What a load is sent to, and how one row of a table comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::bench::Round;
use crate::load::{Requests, closed, open};
use crate::metric::Metric;
use crate::table::Table;
use crate::{Problem, usage};

/// The share of the slowest row's highest rate at which latencies are measured: a load that every row can take.
const OPEN_LOOP_SHARE: f64 = 0.5;

/// A server under load, with the processes that work for it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Of its rows.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// None for what the bench itself serves.
    pub(crate) pid: Option<u32>,
    pub(crate) redis_pid: Option<u32>,
}

/// CPU time that a server and its Redis have used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) server: Option<Duration>,
    pub(crate) redis: Option<Duration>,
}

impl Target {
    pub(crate) fn cpu(&self) -> Result<Cpu, Problem> {
        let of = |pid: Option<u32>| pid.map(usage::cpu).transpose();
        Ok(Cpu { server: of(self.pid)?, redis: of(self.redis_pid)? })
    }

    /// The highest rate, and the CPU time of a request, in one round.
    pub(crate) async fn rate(&self, table: &mut Table, requests: Requests<'_>, round: Round) -> Result<(), Problem> {
        let before = self.cpu()?;
        let load = closed(self.address, requests, round.limit()).await?;
        let used = self.cpu()?.since(before);
        if !round.is_warm_up {
            table.keep(&self.name, Metric::Rate, load.per_second());
            used.keep(table, &self.name, load.requests);
        }
        Ok(())
    }

    /// The latencies at a rate that is fixed, in one round.
    pub(crate) async fn latencies(
        &self,
        table: &mut Table,
        requests: Requests<'_>,
        per_second: f64,
        round: Round,
    ) -> Result<(), Problem> {
        let load = open(self.address, requests, per_second, round.phase).await?;
        if !round.is_warm_up {
            table.keep(&self.name, Metric::ArrivalRate, load.per_second());
            table.keep_latencies(&self.name, &load.latencies)?;
        }
        Ok(())
    }
}

impl Cpu {
    /// What was used since an earlier moment.
    pub(crate) fn since(self, before: Self) -> Self {
        let between = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        Self { server: between(self.server, before.server), redis: between(self.redis, before.redis) }
    }

    /// Keeps what was used as the cost of each of so many operations.
    pub(crate) fn keep(self, table: &mut Table, row: &str, operations: u32) {
        for (metric, used) in [(Metric::CpuMicros, self.server), (Metric::RedisCpuMicros, self.redis)] {
            if let Some(used) = used {
                table.keep(row, metric, used.as_secs_f64() * 1e6 / f64::from(operations));
            }
        }
    }
}

/// The rate at which the latencies of these targets are measured, once their highest rates are known.
pub(crate) fn open_loop_rate<'a>(table: &Table, targets: impl IntoIterator<Item = &'a Target>) -> Result<f64, Problem> {
    let rates = targets.into_iter().filter_map(|target| table.median(&target.name, Metric::Rate));
    let slowest = rates.min_by(f64::total_cmp).ok_or("no rate was measured")?;
    Ok(slowest * OPEN_LOOP_SHARE)
}
