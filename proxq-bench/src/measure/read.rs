//! Reads: `GET` of the status and of the content of completed jobs.

use super::About;
use crate::Problem;
use crate::bench::Bench;
use crate::ceiling::{Access, redis_benchmark};
use crate::load::Requests;
use crate::messages::Messages;
use crate::metric::Metric;
use crate::requests::{get, job_id, post};
use crate::server::Server;
use crate::table::Table;
use crate::target::Target;

pub(super) const ABOUT: About = About {
    name: "read",
    title: "GET of status and content (1 KiB) of completed jobs, on 64 connections",
    limited_by: "one read of the store, and the HTTP work around it",
    target: "≥ 0.4 of redis-benchmark; embedded at least as fast as Redis",
};

/// How many jobs are read in turn.
const JOBS: usize = 100;
const REDIS_BENCHMARK: &str = "redis-benchmark, HGETALL of a job";

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let servers = bench.queues(10).await?;
    let mut rows = Vec::new();
    for server in &servers {
        let ids = completed(bench, server, "").await?;
        for (what, below) in [("status", ""), ("content", "/content")] {
            let requests: Vec<_> = ids.iter().map(|id| get(&format!("/__jobs/{id}{below}"), "")).collect();
            let name = format!("{}: {what}", server.target.name);
            rows.push((Target { name, ..server.target.clone() }, requests));
        }
    }
    let redis = servers[0].redis.as_deref().ok_or("the first server is on Redis")?;
    let key = redis.keys("asynq:{*}:t:*").into_iter().next().ok_or("a job is a hash")?;
    let command = ["HGETALL", &key].map(|word| word.as_bytes().to_vec());
    for round in bench.rounds() {
        for (target, requests) in &rows {
            bench.progress.step(&target.name);
            target.rate(&mut table, Requests { bytes: requests, status: 200 }, round).await?;
        }
        bench.progress.step(REDIS_BENCHMARK);
        let redis_rate = redis_benchmark(redis, Access::Reads, &command, round.requests).await?;
        if !round.is_warm_up {
            table.keep(REDIS_BENCHMARK, Metric::Rate, redis_rate);
        }
    }
    table.compare("", Metric::Rate, REDIS_BENCHMARK, Metric::OfRedis);
    Ok(table)
}

/// The ids of some jobs whose content is there, submitted and read with these header lines.
pub(super) async fn completed(bench: &Bench, server: &Server, headers: &str) -> Result<Vec<String>, Problem> {
    let mut client = Messages::connect(server.target.address).await?;
    let mut ids = Vec::new();
    for _ in 0..JOBS {
        let accepted = client.expect(&post("/job", headers), 202).await?;
        ids.push(job_id(accepted).ok_or("the answer to a submission has no id")?.to_owned());
    }
    bench.progress.step("completes the jobs that are read");
    for id in &ids {
        // Some servers can only be asked again and again.
        let request = get(&format!("/__jobs/{id}/content"), headers);
        harness::eventually("a job is completed", async || {
            client.exchange(&request).await.is_ok_and(|(status, _)| status == 200)
        })
        .await;
    }
    Ok(ids)
}
