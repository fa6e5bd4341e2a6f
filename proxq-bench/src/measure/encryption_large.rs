//! Encryption at rest: what it costs a job whose request and response are large.

use harness::Redis;
use memchr::memmem;
use tokio::time::Instant;

use super::About;
use crate::bench::{Bench, Round};
use crate::messages::Messages;
use crate::metric::Metric;
use crate::requests::{get, job_id, post_head};
use crate::server::{Launch, Server};
use crate::table::Table;
use crate::{Problem, usage};

pub(super) const ABOUT: About = About {
    name: "encryption-large",
    title: "a job with 1 GiB (quick: 100 MiB) as its request and as its response, sealed beside plain: submitted, forwarded and stored, and its content read",
    limited_by: "the store; sealed, AES-256-GCM on one core",
    target: "≥ 0.6 of plain",
};

/// Length of both bodies in a full run.
const BYTES: u64 = 1 << 30;
/// Rounds of a full run: four times the bytes pass in each.
const ROUNDS: usize = 3;

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let bytes = BYTES / u64::from(bench.effort.shrink);
    for store in ["Redis", "embedded"] {
        let mut servers = Vec::new();
        for (how, sections) in [("plain", String::new()), ("sealed", bench.encryption()?)] {
            let redis = (store == "Redis").then(Redis::start_tcp);
            if let Some(redis) = &redis {
                // It would take a core, and come at any time.
                redis.run(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]);
            }
            servers
                .push(bench.server(Launch { sections, ..Launch::proxq(format!("{store}, {how}"), redis, 10) }).await?);
        }
        let baseline = servers[0].target.name.clone();
        for round in bench.rounds().take(ROUNDS + 1) {
            let bytes = if round.is_warm_up { bytes / 10 } else { bytes };
            for server in &servers {
                bench.progress.step(&server.target.name);
                complete(server, bytes, round, &mut table).await?;
            }
            servers.reverse();
        }
        for (metric, ratio) in [
            (Metric::SubmitMibPerSecond, Metric::SubmitMibRatio),
            (Metric::JobMibPerSecond, Metric::JobMibRatio),
            (Metric::MibPerSecond, Metric::MibRatio),
        ] {
            table.compare(store, metric, &baseline, ratio);
        }
    }
    Ok(table)
}

/// Takes one job from its submission to the end of its content, and deletes it.
async fn complete(server: &Server, bytes: u64, round: Round, table: &mut Table) -> Result<(), Problem> {
    let mut client = Messages::connect(server.target.address).await?;
    let began = Instant::now();
    client.send(&post_head(&format!("/bytes/{bytes}"), bytes)).await?;
    client.send_body(bytes).await?;
    let accepted = client.expect(b"", 202).await?;
    let job = format!("/__jobs/{}", job_id(accepted).ok_or("the answer to a submission has no id")?);
    let submitted = Instant::now();
    let status = client.expect(&get(&format!("{job}?wait=60s"), ""), 200).await?;
    if memmem::find(status, b"\"completed\"").is_none() {
        return Err(format!("a large job was not completed: {}", String::from_utf8_lossy(status)).into());
    }
    let completed = Instant::now();
    client.send(&get(&format!("{job}/content"), "")).await?;
    let head = client.head().await?.ok_or("the connection ended before the content")?;
    if head.body_bytes != bytes {
        return Err(format!("a content of {} bytes in place of {bytes}", head.body_bytes).into());
    }
    client.discard(head).await?;
    let read = Instant::now();
    client.expect(format!("DELETE {job} HTTP/1.1\r\nHost: proxq\r\n\r\n").as_bytes(), 200).await?;
    if !round.is_warm_up {
        for (metric, span) in [
            (Metric::SubmitMibPerSecond, submitted - began),
            (Metric::JobMibPerSecond, completed - submitted),
            (Metric::MibPerSecond, read - completed),
        ] {
            table.keep(&server.target.name, metric, usage::mib(bytes) / span.as_secs_f64());
        }
    }
    Ok(())
}
