//! The first event of a stream, through the direct path.

use tokio::time::Instant;

use super::About;
use crate::Problem;
use crate::bench::Bench;
use crate::latencies::Latencies;
use crate::messages::Messages;
use crate::requests::{DIRECT, get};
use crate::server::Launch;
use crate::table::Table;
use crate::target::Target;

pub(super) const ABOUT: About = About {
    name: "first-event",
    title: "the first event of a stream (SSE), one stream at a time, each on a new connection that is made before",
    limited_by: "one hop more, and a new connection to the upstream, since each stream keeps its own",
    target: "p50 ≤ direct + 1 ms",
};

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let server = bench.server(Launch::proxq("through proxq", None, 10)).await?;
    let direct = "direct".to_owned();
    let direct = Target { name: direct, address: bench.upstream.address(), pid: None, redis_pid: None };
    let request = get("/events", DIRECT);
    for round in bench.rounds() {
        for target in [&direct, &server.target] {
            bench.progress.step(&target.name);
            let mut latencies = Latencies::new();
            for _ in 0..round.requests / 100 {
                let mut client = Messages::connect(target.address).await?;
                let began = Instant::now();
                client.send(&request).await?;
                client.until(b"data: first\n").await?;
                latencies.record(began.elapsed())?;
            }
            if !round.is_warm_up {
                table.keep_latencies(&target.name, &latencies)?;
            }
        }
    }
    Ok(table)
}
