//! What operators ask for while a million jobs wait: the overview, metrics, and pages of the list.

use std::net::SocketAddr;
use std::sync::Arc;

use harness::Redis;
use tokio::time::Instant;

use super::About;
use crate::Problem;
use crate::bench::Bench;
use crate::latencies::Latencies;
use crate::load::{Limit, Requests, closed};
use crate::messages::Messages;
use crate::requests::post;
use crate::server::{Launch, Server, free_address};
use crate::table::Table;

pub(super) const ABOUT: About = About {
    name: "operators",
    title: "answers of the listener for operators with a million jobs waiting, one after the other",
    limited_by: "a few reads of the store, whatever the number of jobs",
    target: "p99 ≤ 50 ms, also for the thousandth page",
};

/// Waiting jobs in a full run.
const BACKLOG: u32 = 1_000_000;
/// How many pages lie before the one that is far in.
const PAGES: u32 = 1000;
/// How often each is asked for in a round.
const QUESTIONS: u32 = 50;

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let backlog = BACKLOG / bench.effort.shrink.pow(2);
    for (store, redis) in [("Redis", Some(Redis::start_tcp())), ("embedded", None)] {
        bench.progress.step(store);
        let (server, operators) = filled(bench, store, redis, backlog).await?;
        let far = page_after(operators, PAGES / bench.effort.shrink).await?;
        let questions = [
            ("overview", "/api/v1/overview".to_owned()),
            ("metrics", "/metrics".to_owned()),
            ("first page", "/api/v1/jobs".to_owned()),
            ("far page", far),
        ];
        for round in bench.rounds() {
            for (what, target) in &questions {
                let latencies = ask(operators, target).await?;
                if !round.is_warm_up {
                    table.keep_latencies(&format!("{store}: {what}"), &latencies)?;
                }
            }
        }
        drop(server);
    }
    Ok(table)
}

/// A server with so many jobs that wait, and its listener for operators.
async fn filled(
    bench: &Bench,
    store: &str,
    redis: Option<Arc<Redis>>,
    backlog: u32,
) -> Result<(Server, SocketAddr), Problem> {
    let operators = free_address()?;
    let proxq = Launch::proxq(store, redis, 0); // nobody works on them
    let launch = Launch { log: Some("warn"), operators: Some(operators), ..proxq };
    let server = bench.server(launch).await?;
    let request = [post("/job", "")];
    let requests = Requests { bytes: &request, status: 202 };
    closed(server.target.address, requests, Limit::Count(backlog)).await?;
    Ok((server, operators))
}

/// A request as operators send it, who name the host.
fn question(operators: SocketAddr, target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {operators}\r\n\r\n").into_bytes()
}

async fn ask(operators: SocketAddr, target: &str) -> Result<Latencies, Problem> {
    let mut client = Messages::connect(operators).await?;
    let (mut latencies, question) = (Latencies::new(), question(operators, target));
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        client.expect(&question, 200).await?;
        latencies.record(began.elapsed())?;
    }
    Ok(latencies)
}

/// The target of the page behind so many others.
async fn page_after(operators: SocketAddr, pages: u32) -> Result<String, Problem> {
    let mut client = Messages::connect(operators).await?;
    let mut target = "/api/v1/jobs".to_owned();
    for _ in 0..pages {
        let page = client.expect(&question(operators, &target), 200).await?;
        let (_, rest) = str::from_utf8(page)?.split_once("\"next\":\"").ok_or("there are too few jobs")?;
        let cursor = rest.split('"').next().unwrap_or_default();
        target = format!("/api/v1/jobs?cursor={cursor}");
    }
    Ok(target)
}
