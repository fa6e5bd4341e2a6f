//! The bench of proxq: measures it beside what it is compared with, in one run on one machine.
//!
//! [`measure`] has the measures. A measure starts servers ([`server`]), sends them load ([`load`]) in rounds in which each
//! has its turn, and fills a [`table`]. A [`ceiling`] says what could be reached at best. The clients and the upstream are
//! in this process, on raw sockets. `docs/performance.md` says how figures are to be read.

mod bench;
mod ceiling;
mod cli;
mod latencies;
mod load;
mod measure;
mod messages;
mod metric;
mod nginx;
mod plot;
mod progress;
mod report;
mod requests;
mod server;
mod table;
mod target;
mod upstream;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::bench::{Bench, Effort};
use crate::cli::Cli;
use crate::measure::Measure;
use crate::progress::Progress;
use crate::report::Machine;

/// Length of every request's body, and of every response's, unless it is another length that is measured.
const BODY_BYTES: usize = 1024;

/// How everything is set that is measured.
const SETTINGS: &str = "nginx: a worker for each core, kept connections on both sides, no buffering, no log, 64 KiB buffers in `large`. Redis: \
                        appendonly yes, appendfsync everysec, no snapshots, TCP on loopback. proxq and peers: defaults.";

/// Why something could not be measured.
type Problem = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("proxq-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Problem> {
    if let (Some(kind), Some(upstream)) = (cli.bare, cli.upstream) {
        return ceiling::serve(kind, upstream).await;
    }
    let effort = if cli.quick { Effort::QUICK } else { Effort::FULL };
    let measures = if cli.measures.is_empty() { Measure::value_variants().to_vec() } else { cli.measures };
    let folder = results_folder()?;
    let machine = Machine::here();
    println!("{}\n{}\n", machine.describe(), SETTINGS);
    let bench = Bench::start(effort, cli.peers, Progress::new(measures.len()), &folder).await?;
    let mut tables = Vec::new();
    let mut failed = Vec::new();
    for measure in measures {
        let name = measure.about().name;
        bench.progress.begin(name);
        match measure.run(&bench).await {
            Ok(table) => {
                bench.progress.end(&table.to_string());
                tables.push(table);
            }
            Err(problem) => {
                bench.progress.end(&format!("{name}: not measured: {problem}\n"));
                failed.push(name);
            }
        }
    }
    bench.progress.finish();
    report::write(&folder, &machine, effort, &tables)?;
    println!("results.json and plots are in {}", folder.display());
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", ")).into()) }
}

/// `bench` in the folder of all build results, which is on the disk of the checkout.
fn results_folder() -> Result<PathBuf, Problem> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("the program is in target/PROFILE")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
