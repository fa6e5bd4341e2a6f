//! Figures for a release build, each beside what it is to be compared with, in one run on one machine:
//!
//! ```sh
//! cargo build --release && cargo run --release --bin measure
//! ```
//!
//! - `submissions`: durable submissions per second at 64 connections, beside single synced appends on the same disk;
//! - `pick-up`: the time from submission to completion, beside a direct request;
//! - `client`: a call of the OpenAI SDK through the queue on either store, beside a direct one;
//! - `direct`: requests per second and their times through the direct path, beside the same through nginx;
//! - `backlog`: rates and memory on Redis with a million jobs waiting, beside an empty queue; takes minutes and 3 GB of memory.
//!
//! Arguments choose among them. The clients and the upstream are in this process, on raw sockets.

mod backlog;
mod client;
mod direct;
mod queue;
mod server;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Connections of the clients, each with one request under way.
const CONNECTIONS: usize = 64;
/// Length of every request's body, and of every response's.
const BODY_BYTES: usize = 1024;
/// How often everything is measured in turn; the figures are medians.
const ROUNDS: usize = 5;
/// How long each is measured at a time.
const PHASE: Duration = Duration::from_secs(3);

type Problem = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let upstream_address = upstream.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(wire::serve(upstream));

    // Beside the binary, so that all write to the disk of the checkout.
    let folder = tempfile::tempdir_in(binary_folder()?)?;
    if wanted("submissions") {
        queue::submissions(folder.path(), upstream_address).await?;
    }
    if wanted("pick-up") {
        queue::pick_up(folder.path(), upstream_address).await?;
    }
    if wanted("client") {
        client::calls(folder.path(), upstream_address).await?;
    }
    if wanted("direct") {
        direct::beside_nginx(folder.path(), upstream_address).await?;
    }
    if wanted("backlog") {
        backlog::beside_an_empty_queue(folder.path(), upstream_address).await?;
    }
    Ok(())
}

/// Sorts the figures and gives the middle one.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Of sorted figures.
fn p99(figures: &[f64]) -> f64 {
    figures[figures.len() * 99 / 100]
}

fn binary_folder() -> Result<PathBuf, Problem> {
    let own = std::env::current_exe()?;
    Ok(own.parent().ok_or("a program lies in a folder")?.to_owned())
}
