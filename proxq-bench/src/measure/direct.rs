//! The direct path beside nginx, which does the same: takes a request in, sends it on over a kept connection, and streams
//! the answer back.

use super::About;
use crate::Problem;
use crate::bench::Bench;
use crate::ceiling::{Bare, BareServer};
use crate::load::Requests;
use crate::metric::Metric;
use crate::nginx::nginx;
use crate::requests::{DIRECT, post};
use crate::server::Launch;
use crate::table::Table;
use crate::target::{Target, open_loop_rate};

pub(super) const ABOUT: About = About {
    name: "direct",
    title: "requests of 1 KiB that bypass the queue, on 64 connections; latencies at half the slowest rate",
    limited_by: "system calls: two reads and two writes for each request, and the HTTP library",
    target: "≥ 0.75 of nginx' rate with the default log, p99 ≤ 1.7 of nginx'; stretch 1.0",
};

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let (_nginx, of_nginx) = nginx(bench.upstream.address(), "");
    let baseline = of_nginx.name.clone();
    let mut targets = vec![of_nginx];
    let mut servers = Vec::new();
    for (name, log) in [("proxq, default log", None), ("proxq, RUST_LOG=warn", Some("warn"))] {
        let server = bench.server(Launch { log, ..Launch::proxq(name, None, 10) }).await?;
        targets.push(server.target.clone());
        servers.push(server);
    }
    for server in bench.peers(10).await? {
        targets.push(server.target.clone());
        servers.push(server);
    }
    let bare = BareServer::start(Bare::Forward, bench.upstream.address())?;
    targets.push(bare.target.clone());
    let alone = "no proxy: the bench alone".to_owned();
    targets.push(Target { name: alone, address: bench.upstream.address(), pid: None, redis_pid: None });

    let request = [post("/direct", DIRECT)];
    let requests = Requests { bytes: &request, status: 200 };
    for round in bench.rounds() {
        for target in &targets {
            bench.progress.step(&target.name);
            target.rate(&mut table, requests, round).await?;
        }
    }
    let per_second = open_loop_rate(&table, &targets)?;
    for round in bench.rounds() {
        for target in &targets {
            bench.progress.step(&target.name);
            target.latencies(&mut table, requests, per_second, round).await?;
        }
    }
    table.compare("", Metric::Rate, &baseline, Metric::RateRatio);
    table.compare("", Metric::P99Ms, &baseline, Metric::P99Ratio);
    Ok(table)
}
