//! Figures for a release build, each beside what it is to be compared with, in one run on one machine:
//!
//! ```sh
//! cargo build --release && cargo run --release --bin measure
//! ```
//!
//! Durable submissions per second at 64 connections beside single synced appends on the same disk; the time from
//! submission to completion beside a direct request.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

const CONNECTIONS: usize = 64;
const BODY_BYTES: usize = 1024;
const ROUNDS: usize = 5;
const PHASE: Duration = Duration::from_secs(3);
const PICK_UPS: usize = 400;

type Problem = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let upstream_address = upstream.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(upstream));

    // Beside the binary, so that both write to the disk of the checkout.
    let folder = tempfile::tempdir_in(binary_folder()?)?;
    submissions(folder.path(), upstream_address).await?;
    pick_up(folder.path(), upstream_address).await?;
    Ok(())
}

/// Submissions per second, workers idle, beside synced appends.
async fn submissions(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    let server = Server::start(&folder.join("submissions"), upstream, "concurrency: 0")?;
    let (mut submitted, mut synced, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let syncs = synced_appends(&folder.join("appended"))?;
        let jobs = submit_for(PHASE, server.address).await?;
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

async fn submit_for(span: Duration, server: SocketAddr) -> Result<f64, Problem> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            let mut client = Client::connect(server).await?;
            let mut count = 0.0;
            while began.elapsed() < span {
                client.exchange(&post("/job", &[b'x'; BODY_BYTES]), 202).await?;
                count += 1.0;
            }
            Ok::<f64, Problem>(count)
        });
    }
    let mut total = 0.0;
    while let Some(count) = clients.join_next().await {
        total += count??;
    }
    Ok(total / began.elapsed().as_secs_f64())
}

/// From submission to completion, one job at a time, beside the same request sent to the upstream.
async fn pick_up(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    let server = Server::start(&folder.join("pick-up"), upstream, "concurrency: 10")?;
    let mut direct = Client::connect(upstream).await?;
    let mut client = Client::connect(server.address).await?;
    let (mut direct_ms, mut queued_ms, mut synced_ms) = (Vec::new(), Vec::new(), Vec::new());
    let request = post("/job", &[b'x'; BODY_BYTES]);
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

/// Sorts the figures and gives the middle one.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Of sorted figures.
fn p99(figures: &[f64]) -> f64 {
    figures[figures.len() * 99 / 100]
}

fn binary_folder() -> Result<std::path::PathBuf, Problem> {
    let own = std::env::current_exe()?;
    Ok(own.parent().ok_or("a program lies in a folder")?.to_owned())
}

/// A `proxq` process, killed when it is dropped.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path, upstream: SocketAddr, settings: &str) -> Result<Self, Problem> {
        std::fs::create_dir_all(folder)?;
        let config = folder.join("config.yaml");
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data_dir = folder.join("data");
        std::fs::write(
            &config,
            format!(
                "listenAddress: \"{address}\"\ndataDir: {:?}\n{settings}\nupstreams:\n  - prefix: /\n    url: http://{upstream}\n",
                data_dir.display().to_string()
            ),
        )?;
        let mut command = Command::new(binary_folder()?.join("proxq"));
        let process = command.arg("--config").arg(&config).stderr(Stdio::null()).spawn()?;
        let server = Self { process, address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err("proxq does not listen".into());
            }
            std::thread::yield_now();
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: proxq\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// One kept-alive connection.
struct Client {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    async fn connect(server: SocketAddr) -> Result<Self, Problem> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a request, checks the status and gives the body.
    async fn exchange(&mut self, request: &[u8], status: u16) -> Result<String, Problem> {
        self.stream.get_mut().write_all(request).await?;
        read_head(&mut self.stream, &mut self.line, &mut self.body, |line| {
            if line.contains(&status.to_string()) { Ok(()) } else { Err(line.trim().into()) }
        })
        .await?;
        Ok(String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// Reads one message: checks its first line, takes its length from its head, and reads its body.
async fn read_head(
    stream: &mut BufReader<TcpStream>,
    line: &mut String,
    body: &mut Vec<u8>,
    check_first: impl Fn(&str) -> Result<(), Problem>,
) -> Result<bool, Problem> {
    line.clear();
    if stream.read_line(line).await? == 0 {
        return Ok(false);
    }
    check_first(line)?;
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(line).await?;
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    body.resize(length, 0);
    stream.read_exact(body).await?;
    Ok(true)
}

/// An upstream that answers at once.
async fn serve(listener: TcpListener) -> Result<(), Problem> {
    let mut connections: JoinSet<Result<(), Problem>> = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(async move {
            let (mut stream, mut line, mut body) = (BufReader::new(stream), String::new(), Vec::new());
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n").into_bytes();
            answer.extend_from_slice(&[b'y'; BODY_BYTES]);
            while read_head(&mut stream, &mut line, &mut body, |_| Ok(())).await? {
                stream.get_mut().write_all(&answer).await?;
            }
            Ok(())
        });
    }
}
