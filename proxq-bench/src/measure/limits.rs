//! A rate limit that is never reached: what it costs that every attempt is counted.

use harness::Redis;

use super::About;
use super::jobs::complete;
use crate::Problem;
use crate::bench::Bench;
use crate::metric::Metric;
use crate::server::{Launch, Program};
use crate::table::Table;

pub(super) const ABOUT: About = About {
    name: "limits",
    title: "submissions and completed jobs per second with a rate limit of 100,000 a second, beside none",
    limited_by: "the choice of jobs within limits, which is made one by one",
    target: "rates within 10 % of those without",
};

const CONCURRENCY: u32 = 100;
/// More than is reached.
const LIMIT: &[&str] = &["rateLimit: 100000/s"];

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    for store in ["Redis", "embedded"] {
        let without = format!("{store}, no limit");
        let mut servers = Vec::new();
        for (name, flow) in [(without.clone(), &[][..]), (format!("{store}, rate limit"), LIMIT)] {
            let redis = (store == "Redis").then(Redis::start_tcp);
            let launch = Launch {
                name,
                program: Program::Proxq,
                redis,
                concurrency: CONCURRENCY,
                flow,
                log: None,
                operators: None,
            };
            servers.push(bench.server(launch).await?);
        }
        for round in bench.rounds() {
            for server in &servers {
                let name = &server.target.name;
                bench.progress.step(name);
                let rates = complete(bench, server, round).await?;
                if !round.is_warm_up {
                    table.keep(name, Metric::Rate, rates.submissions_per_second);
                    table.keep(name, Metric::JobRate, rates.jobs_per_second);
                    rates.cpu.keep(&mut table, name, rates.counted);
                }
            }
        }
        table.compare(store, Metric::Rate, &without, Metric::RateRatio);
        table.compare(store, Metric::JobRate, &without, Metric::JobRateRatio);
    }
    Ok(table)
}
