//! A long queue in Redis: what a million waiting jobs cost the rates, and the memory of proxq.

use super::About;
use super::jobs::complete;
use crate::bench::Bench;
use crate::load::{Limit, Requests, closed};
use crate::metric::Metric;
use crate::requests::post;
use crate::server::{Launch, redis_without_rewrites};
use crate::table::Table;
use crate::{Problem, usage};

pub(super) const ABOUT: About = About {
    name: "backlog",
    title: "submissions and completed jobs per second on Redis with many jobs waiting, beside a short queue",
    limited_by: "Redis alone, whose table of keys grows: proxq keeps nothing for a waiting job",
    target: "rates within 10 % of those on a short queue; memory does not depend on the queue",
};

/// Waiting jobs in a full run: a million, and enough to be past 2²⁰, where Redis's table of keys doubles.
const BACKLOG: u32 = 1_100_000;
const CONCURRENCY: u32 = 100;
const SHORT: &str = "short queue";

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let redis = redis_without_rewrites();
    // Squared, so that a quick run fills the queue in seconds.
    let backlog = BACKLOG / bench.effort.shrink.pow(2);
    let long = format!("{backlog} jobs waiting");
    let server = bench.server(Launch::proxq(SHORT, Some(redis), CONCURRENCY)).await?;
    for row in [SHORT, long.as_str()] {
        bench.progress.step(row);
        if row != SHORT {
            let _held = bench.upstream.hold();
            let request = [post("/job", "")];
            let requests = Requests { bytes: &request, status: 202 };
            closed(server.target.address, requests, Limit::Count(backlog)).await?;
        }
        for round in bench.rounds() {
            let rates = complete(bench, &server, "", round).await?;
            if !round.is_warm_up {
                table.keep(row, Metric::Rate, rates.submissions_per_second);
                table.keep(row, Metric::JobRate, rates.jobs_per_second);
                table.keep(row, Metric::ResidentMib, usage::mib(usage::resident_bytes(server.pid())?));
            }
        }
    }
    table.compare("", Metric::Rate, SHORT, Metric::RateRatio);
    table.compare("", Metric::JobRate, SHORT, Metric::JobRateRatio);
    Ok(table)
}
