//! Memory of many large uploads at once.

use std::net::SocketAddr;
use std::time::Duration;

use harness::outlast;
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::About;
use crate::bench::Bench;
use crate::messages::Messages;
use crate::metric::Metric;
use crate::requests::post_head;
use crate::server::Server;
use crate::table::Table;
use crate::{Problem, usage};

pub(super) const ABOUT: About = About {
    name: "uploads",
    title: "memory of proxq beyond that of an idle one: the peak while uploads are queued and forwarded, and 5 s (quick: 1 s) later",
    limited_by: "chunks on their way to the store, one or two for each upload, and what the allocator gives back",
    target: "≤ 48 MiB for 20 × 100 MiB, ≤ 96 MiB for 300 × 4 MiB and 200 × 2 MB; 5 s later ≤ 10 MiB",
};

/// Uploads at once.
#[derive(Clone, Copy, Debug)]
struct Uploads {
    count: u32,
    bytes: u64,
}

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    let count = |full: u32| full.div_ceil(bench.effort.shrink);
    for uploads in [Uploads { count: count(20), bytes: 100 << 20 }, Uploads { count: count(300), bytes: 4 << 20 }] {
        // Each upload is measured on a process that has done nothing yet.
        for server in bench.proxqs(10).await? {
            let row = format!("{}: {} × {} MiB", server.target.name, uploads.count, uploads.bytes >> 20);
            bench.progress.step(&row);
            let before = bench.upstream.answered();
            let memory = Memory::of(&server).await?;
            let (accepted, refused) = answers(uploads.send(server.target.address)).await?;
            bench.upstream.has_answered(before + u64::from(accepted)).await?;
            table.keep(&row, Metric::Refused, f64::from(refused));
            memory.keep(&mut table, &row, &server, bench.effort.wait).await?;
        }
    }
    let away = Uploads { count: count(200), bytes: 2_000_000 };
    for server in bench.proxqs(10).await? {
        let Some(redis) = &server.redis else { continue };
        let row = format!("{}: {} × 2 MB, Redis stopped", server.target.name, away.count);
        bench.progress.step(&row);
        let memory = Memory::of(&server).await?;
        redis.signal(Signal::STOP);
        let sending = away.send(server.target.address);
        outlast(bench.effort.wait).await;
        redis.signal(Signal::CONT);
        let (_, refused) = answers(sending).await?;
        table.keep(&row, Metric::Refused, f64::from(refused));
        memory.keep(&mut table, &row, &server, bench.effort.wait).await?;
    }
    Ok(table)
}

impl Uploads {
    /// Begins all of them. Each gives its answer.
    fn send(self, server: SocketAddr) -> JoinSet<Result<(u16, String), Problem>> {
        let mut running = JoinSet::new();
        for _ in 0..self.count {
            running.spawn(async move {
                let mut client = Messages::connect(server).await?;
                client.send(&post_head("/job", "", self.bytes)).await?;
                client.send_body(self.bytes).await?;
                let (status, body) = client.exchange(b"").await?;
                Ok((status, String::from_utf8_lossy(body).into_owned()))
            });
        }
        running
    }
}

/// How many uploads were accepted, and how many were refused because the store did not answer in time.
async fn answers(sending: JoinSet<Result<(u16, String), Problem>>) -> Result<(u32, u32), Problem> {
    let (mut accepted, mut refused) = (0, 0);
    for answer in sending.join_all().await {
        match answer? {
            (202, _) => accepted += 1,
            (503, _) => refused += 1,
            (status, body) => return Err(format!("an upload was answered with {status}: {body}").into()),
        }
    }
    Ok((accepted, refused))
}

/// The memory of a process before it does anything, in bytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    idle: u64,
}

impl Memory {
    async fn of(server: &Server) -> Result<Self, Problem> {
        // One job, so that what every job needs is there already.
        let answers = Uploads { count: 1, bytes: 1024 }.send(server.target.address).join_all().await;
        answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        usage::reset_peak(server.pid())?;
        Ok(Self { idle: usage::resident_bytes(server.pid())? })
    }

    async fn keep(self, table: &mut Table, row: &str, server: &Server, rest: Duration) -> Result<(), Problem> {
        let peak = usage::peak_bytes(server.pid())?;
        outlast(rest).await;
        let after = usage::resident_bytes(server.pid())?;
        for (metric, bytes) in [(Metric::PeakMib, peak), (Metric::AfterMib, after)] {
            table.keep(row, metric, usage::mib(bytes.saturating_sub(self.idle)));
        }
        Ok(())
    }
}
