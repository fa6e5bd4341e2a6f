//! Long-polls: clients that wait for jobs, thousands at once.

use harness::{count_for, within};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::About;
use super::at_rest::Used;
use crate::bench::Bench;
use crate::messages::Messages;
use crate::metric::Metric;
use crate::requests::{get, job_id, post};
use crate::table::Table;
use crate::{Problem, usage};

pub(super) const ABOUT: About = About {
    name: "long-polls",
    title: "clients that wait for the same running job, each on a connection of its own, for 5 s (quick: 1 s)",
    limited_by: "two buffers of 8 KiB for each connection, which are hyper's",
    target: "≤ 24 KiB each, and no more round trips to Redis than of an idle proxq",
};

/// Clients at once in a full run, if there are enough files for them.
const CLIENTS: u32 = 10_000;
/// Of the files that a process may have open, those that are not for clients. proxq counts two for each of them.
const OTHER_FILES: u64 = 1_000;

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let (clients, span) = (clients(bench)?, bench.effort.wait);
    for server in bench.proxqs(10).await? {
        let row = format!("{}: {clients} clients", server.target.name);
        bench.progress.step(&row);
        let held = bench.upstream.hold();
        let mut first = Messages::connect(server.target.address).await?;
        let id =
            job_id(first.expect(&post("/job", ""), 202).await?).ok_or("a submission's answer has an id")?.to_owned();
        let wait = get(&format!("/__jobs/{id}?wait=60s"), "");
        let before = usage::resident_bytes(server.pid())?;
        let mut waiting = Vec::new();
        for _ in 0..clients {
            let mut client = Messages::connect(server.target.address).await?;
            client.send(&wait).await?;
            waiting.push(client);
        }
        let used = Used::by(&server)?;
        count_for(span).await;
        let grown = usage::resident_bytes(server.pid())?.saturating_sub(before);
        table.keep(&row, Metric::KibEach, usage::mib(grown) * 1024.0 / f64::from(clients));
        Used::by(&server)?.keep_since(used, span, &mut table, &row);
        drop(held);
        within("every client learns that the job is completed", async {
            for client in &mut waiting {
                let answer = client.head().await?.ok_or("the connection ended before the answer")?;
                let status = client.body(answer).await?;
                if !str::from_utf8(status)?.contains("\"completed\"") {
                    return Err(format!("not completed: {}", String::from_utf8_lossy(status)).into());
                }
            }
            Ok::<_, Problem>(())
        })
        .await?;
    }
    Ok(table)
}

/// How many clients there are files for, here and in proxq. Raises this process's own limit to what it may be.
fn clients(bench: &Bench) -> Result<u32, Problem> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let wanted = CLIENTS / bench.effort.shrink;
    let Some(files) = maximum.or(current) else { return Ok(wanted) };
    Ok(wanted.min(u32::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(u32::MAX)))
}
