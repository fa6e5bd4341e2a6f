//! Pick-up: how long one job takes from its submission to its completion, when nothing else goes on.

use tokio::time::Instant;

use super::About;
use crate::Problem;
use crate::bench::Bench;
use crate::latencies::Latencies;
use crate::messages::Messages;
use crate::requests::{get, job_id, post};
use crate::table::Table;

pub(super) const ABOUT: About = About {
    name: "pick-up",
    title: "submit, then wait until the job is completed, one at a time, beside one direct request to the same upstream",
    limited_by: "three commits in a row (submit, lease, settle), two requests of the client and one of the worker",
    target: "p50 ≤ direct + 2 ms, p99 ≤ direct + 10 ms",
};

const DIRECT: &str = "direct request";

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let servers = bench.proxqs(10).await?;
    let request = post("/job", "");
    let mut direct = Messages::connect(bench.upstream.address()).await?;
    for round in bench.rounds() {
        let jobs = round.requests / 100;
        bench.progress.step(DIRECT);
        let mut latencies = Latencies::new();
        for _ in 0..jobs {
            let began = Instant::now();
            direct.expect(&request, 200).await?;
            latencies.record(began.elapsed())?;
        }
        if !round.is_warm_up {
            table.keep_latencies(DIRECT, &latencies)?;
        }
        for server in &servers {
            bench.progress.step(&server.target.name);
            let mut client = Messages::connect(server.target.address).await?;
            let mut latencies = Latencies::new();
            for _ in 0..jobs {
                let began = Instant::now();
                let accepted = client.expect(&request, 202).await?;
                let id = job_id(accepted).ok_or("the answer to a submission has no id")?;
                let wait = get(&format!("/__jobs/{id}?wait=10s"), "");
                let status = client.expect(&wait, 200).await?;
                let is_completed = str::from_utf8(status)?.contains("\"completed\"");
                latencies.record(began.elapsed())?;
                if !is_completed {
                    return Err("a job was not completed within 10 s".into());
                }
            }
            if !round.is_warm_up {
                table.keep_latencies(&server.target.name, &latencies)?;
            }
        }
    }
    Ok(table)
}
