//! Idle: what proxq uses when nobody asks for anything.

use harness::{count_for, outlast};

use super::About;
use super::at_rest::Used;
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

/// How many times longer it is watched than servers are left alone elsewhere: CPU times are counted in hundredths of a
/// second, and a short span shows none.
const SPANS: u32 = 6;

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let servers = bench.proxqs(10).await?;
    bench.progress.step("both stores at once");
    for server in &servers {
        let before = bench.upstream.answered();
        Messages::connect(server.target.address).await?.expect(&post("/job", ""), 202).await?;
        bench.upstream.has_answered(before + 1).await?;
    }
    outlast(bench.effort.wait).await;
    let span = bench.effort.wait * SPANS;
    let before = servers.iter().map(Used::by).collect::<Result<Vec<_>, _>>()?;
    count_for(span).await;
    for (server, before) in servers.iter().zip(before) {
        let row = server.target.name.as_str();
        table.keep(row, Metric::ResidentMib, usage::mib(usage::resident_bytes(server.pid())?));
        Used::by(server)?.keep_since(before, span, &mut table, row);
    }
    Ok(table)
}
