//! The queue: what a durable submission costs, and how soon a job is done.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use tokio::time::Instant;

use crate::server::{Logging, Server};
use crate::wire::{Client, load, post};
use crate::{BODY_BYTES, CONNECTIONS, PHASE, Problem, ROUNDS, median, p99};

/// How many jobs are followed from submission to completion.
const PICK_UPS: usize = 400;

/// Submissions per second, workers idle, beside synced appends.
pub(crate) async fn submissions(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    let server = Server::start(&folder.join("submissions"), upstream, "concurrency: 0", Logging::Default)?;
    let (mut submitted, mut synced, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let syncs = synced_appends(&folder.join("appended"))?;
        let jobs = load(server.address, &post("/job", ""), 202, PHASE).await?.per_second;
        synced.push(syncs);
        submitted.push(jobs);
        ratios.push(jobs / syncs);
    }
    println!("fdatasync of 1 KiB appended, per second:         {:.0}", median(&mut synced));
    println!("submissions of 1 KiB, {CONNECTIONS} connections, per second: {:.0}", median(&mut submitted));
    println!("ratio:                                           {:.2}", median(&mut ratios));
    Ok(())
}

fn synced_appends(path: &Path) -> Result<f64, Problem> {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    let block = [0x5a; BODY_BYTES];
    let began = Instant::now();
    let mut count = 0.0;
    while began.elapsed() < PHASE {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / began.elapsed().as_secs_f64())
}

/// From submission to completion, one job at a time, beside the same request sent to the upstream.
pub(crate) async fn pick_up(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    let server = Server::start(&folder.join("pick-up"), upstream, "concurrency: 10", Logging::Default)?;
    let mut direct = Client::connect(upstream).await?;
    let mut client = Client::connect(server.address).await?;
    let (mut direct_ms, mut queued_ms, mut synced_ms) = (Vec::new(), Vec::new(), Vec::new());
    let request = post("/job", "");
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("appended"))?;
    for _ in 0..PICK_UPS {
        let began = Instant::now();
        direct.exchange(&request, 200).await?;
        direct_ms.push(began.elapsed().as_secs_f64() * 1e3);

        let began = Instant::now();
        let accepted = client.exchange(&request, 202).await?;
        let id = accepted.split('"').nth(3).ok_or("a submission's answer has an id")?;
        let waiting = format!("GET /__jobs/{id}?wait=10s HTTP/1.1\r\nHost: proxq\r\n\r\n");
        let status = client.exchange(waiting.as_bytes(), 200).await?;
        queued_ms.push(began.elapsed().as_secs_f64() * 1e3);
        if !status.contains("completed") {
            return Err(format!("not completed: {status}").into());
        }

        let began = Instant::now();
        file.write_all(&[0x5a; BODY_BYTES])?;
        file.sync_data()?;
        synced_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("one fdatasync, ms:              p50 {:.2}", median(&mut synced_ms));
    println!("direct request, ms:             p50 {:.2}  p99 {:.2}", median(&mut direct_ms), p99(&direct_ms));
    println!("submit → completed, idle, ms:   p50 {:.2}  p99 {:.2}", median(&mut queued_ms), p99(&queued_ms));
    Ok(())
}
