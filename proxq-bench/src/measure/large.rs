//! A large response through the direct path, beside nginx.

use tokio::time::Instant;

use super::About;
use crate::bench::{Bench, Round};
use crate::messages::Messages;
use crate::metric::Metric;
use crate::nginx::nginx;
use crate::requests::{DIRECT, get};
use crate::server::Launch;
use crate::table::Table;
use crate::target::Target;
use crate::{Problem, usage};

pub(super) const ABOUT: About = About {
    name: "large",
    title: "one response of 1 GiB (quick: 100 MiB) at a time that bypasses the queue",
    limited_by: "copies between the kernel and the process, two for each byte",
    target: "≥ 0.9 of nginx, ≤ 32 MiB above idle",
};

/// With its usual 4 KiB, nginx reads and writes sixteen times as often.
const NGINX_BUFFERS: &str = "proxy_buffer_size 64k; proxy_buffers 8 64k;";

/// Length of the response in a full run.
const BYTES: u64 = 1 << 30;

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let (_nginx, of_nginx) = nginx(bench.upstream.address(), NGINX_BUFFERS);
    let server = bench.server(Launch::proxq("proxq", None, 10)).await?;
    let alone = "no proxy: the bench alone".to_owned();
    let alone = Target { name: alone, address: bench.upstream.address(), pid: None, redis_pid: None };
    for round in bench.rounds() {
        for target in [&of_nginx, &server.target, &alone] {
            bench.progress.step(&target.name);
            let bytes = BYTES / u64::from(bench.effort.shrink);
            fetch(target, bytes, round, &mut table).await?;
        }
    }
    table.compare("", Metric::MibPerSecond, &of_nginx.name, Metric::RateRatio);
    Ok(table)
}

async fn fetch(target: &Target, bytes: u64, round: Round, table: &mut Table) -> Result<(), Problem> {
    let mut client = Messages::connect(target.address).await?;
    // nginx' workers share the work, so the size of its first process says nothing.
    let pid = target.pid.filter(|_| target.name != "nginx");
    if let Some(pid) = pid {
        usage::reset_peak(pid)?;
    }
    let idle = pid.map(usage::resident_bytes).transpose()?;
    let began = Instant::now();
    client.fetch(&get(&format!("/bytes/{bytes}"), DIRECT), bytes).await?;
    let elapsed = began.elapsed();
    if round.is_warm_up {
        return Ok(());
    }
    table.keep(&target.name, Metric::MibPerSecond, usage::mib(bytes) / elapsed.as_secs_f64());
    if let Some((pid, idle)) = pid.zip(idle) {
        table.keep(&target.name, Metric::PeakMib, usage::mib(usage::peak_bytes(pid)?.saturating_sub(idle)));
    }
    Ok(())
}
