//! Encryption at rest: what it costs a job whose request and response are large.

use std::time::Duration;

use memchr::memmem;
use tokio::time::Instant;

use super::About;
use crate::bench::Bench;
use crate::messages::Messages;
use crate::metric::Metric;
use crate::requests::{delete, get, job_id, post_head};
use crate::server::{Launch, Server, redis_without_rewrites};
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

const PLAIN: &str = "plain";
const SEALED: &str = "sealed";
/// What is done to a job, one after the other.
const STEPS: [&str; 3] = ["submitted", "completed", "content read"];

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let bytes = BYTES / u64::from(bench.effort.shrink);
    for store in ["Redis", "embedded"] {
        let mut servers = Vec::new();
        for (how, sections) in [(PLAIN, String::new()), (SEALED, bench.encryption()?)] {
            let redis = (store == "Redis").then(redis_without_rewrites);
            let server = bench.server(Launch { sections, ..Launch::proxq(how, redis, 10) }).await?;
            servers.push(server);
        }
        for round in bench.rounds().take(ROUNDS + 1) {
            let bytes = if round.is_warm_up { bytes / 10 } else { bytes };
            for server in &servers {
                let how = &server.target.name;
                bench.progress.step(&format!("{store}, {how}"));
                let spans = complete(server, bytes).await?;
                for (step, span) in STEPS.iter().zip(spans).filter(|_| !round.is_warm_up) {
                    let rate = usage::mib(bytes) / span.as_secs_f64();
                    table.keep(&format!("{store}, {step}: {how}"), Metric::MibPerSecond, rate);
                }
            }
            servers.reverse();
        }
        for step in STEPS {
            let part = format!("{store}, {step}: ");
            table.compare(&part, Metric::MibPerSecond, &(part.clone() + PLAIN), Metric::RateRatio);
        }
    }
    Ok(table)
}

/// Takes one job from its submission to the end of its content, and deletes it. Gives how long each of the [`STEPS`] took.
async fn complete(server: &Server, bytes: u64) -> Result<[Duration; 3], Problem> {
    let mut client = Messages::connect(server.target.address).await?;
    let began = Instant::now();
    client.send(&post_head(&format!("/bytes/{bytes}"), "", bytes)).await?;
    client.send_body(bytes).await?;
    let accepted = client.expect(b"", 202).await?;
    let job = format!("/__jobs/{}", job_id(accepted).ok_or("the answer to a submission has no id")?);
    let submitted = Instant::now();
    let status = client.expect(&get(&format!("{job}?wait=60s"), ""), 200).await?;
    if memmem::find(status, b"\"completed\"").is_none() {
        return Err(format!("a large job was not completed: {}", String::from_utf8_lossy(status)).into());
    }
    let completed = Instant::now();
    client.fetch(&get(&format!("{job}/content"), ""), bytes).await?;
    let read = Instant::now();
    client.expect(&delete(&job), 200).await?;
    Ok([submitted - began, completed - submitted, read - completed])
}
