//! The direct path beside nginx, which does the same: takes a request in, sends it on over a kept connection, streams the
//! answer back.

use std::net::SocketAddr;
use std::path::Path;

use harness::Nginx;

use crate::server::{Logging, Server};
use crate::wire::{load, post};
use crate::{BODY_BYTES, CONNECTIONS, PHASE, Problem, ROUNDS, median, p99};

/// One way to the upstream, and what was measured on it.
struct Way {
    name: &'static str,
    address: SocketAddr,
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    /// To nginx in the same round.
    ratios: Vec<f64>,
}

impl Way {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        let [per_second, p50_ms, p99_ms, ratios] = [const { Vec::new() }; 4];
        Self { name, address, per_second, p50_ms, p99_ms, ratios }
    }
}

/// Requests per second and their times, all ways in turn, the first round being for warmth alone.
pub(crate) async fn beside_nginx(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    let nginx = nginx(upstream);
    let start = |name: &str, logging| Server::start(&folder.join(name), upstream, "concurrency: 0", logging);
    let quiet = start("direct-warnings", Logging::Warnings)?;
    let logging = start("direct-default", Logging::Default)?;
    let mut ways = [
        Way::new("nginx, 2 workers", nginx.address()),
        Way::new("proxq, RUST_LOG=warn", quiet.address),
        Way::new("proxq, default logging", logging.address),
        Way::new("upstream without a proxy", upstream),
    ];
    let request = post("/", "X-Proxq-Mode: direct\r\n");
    for round in 0..=ROUNDS {
        let mut of_nginx = None;
        for way in &mut ways {
            let measured = load(way.address, &request, 200, PHASE).await?;
            if round == 0 {
                continue;
            }
            let times = &measured.times_ms;
            way.per_second.push(measured.per_second);
            way.p50_ms.push(times[times.len() / 2]);
            way.p99_ms.push(p99(times));
            way.ratios.push(measured.per_second / *of_nginx.get_or_insert(measured.per_second));
        }
    }
    println!("direct path, {CONNECTIONS} connections, {BODY_BYTES} bytes each way, medians of {ROUNDS} rounds");
    println!("{:<26} {:>12} {:>8} {:>8} {:>9}", "", "per second", "p50 ms", "p99 ms", "to nginx");
    for Way { name, per_second, p50_ms, p99_ms, ratios, .. } in &mut ways {
        let (per_second, ratio) = (median(per_second), median(ratios));
        println!("{name:<26} {per_second:>12.0} {:>8.2} {:>8.2} {ratio:>9.2}", median(p50_ms), median(p99_ms));
    }
    Ok(())
}

/// One that forwards everything, and closes no connection while it is measured.
fn nginx(upstream: SocketAddr) -> Nginx {
    let pool = format!(
        "upstream measured {{ server {upstream}; keepalive {CONNECTIONS}; keepalive_requests 100000000; }}
         keepalive_requests 100000000;"
    );
    let server = "location / {
            proxy_pass http://measured;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_buffering off;
        }";
    Nginx::builder(server).http(&pool).workers(2).start()
}
