//! What `proxq-client` adds to a call.

use std::net::SocketAddr;
use std::path::Path;

use proxq_client::Proxq;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::time::Instant;

use crate::server::{Logging, Server};
use crate::{BODY_BYTES, Problem, median, p99};

/// Calls of each kind, in turn.
const CALLS: usize = 2000;

/// Calls to an upstream that answers at once: directly, and through proxq, one at a time.
pub(crate) async fn calls(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    // Nothing here speaks TLS, but reqwest wants to know who would.
    let _someone_did_already = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start(&folder.join("client"), upstream, "concurrency: 10", Logging::Default)?;
    let direct = ClientBuilder::new(reqwest::Client::builder().build()?).build();
    let proxq = Proxq::builder().proxq_url(format!("http://{}", server.address)).build()?;
    let queued = ClientBuilder::new(reqwest::Client::builder().build()?).with(proxq).build();
    let (mut direct_ms, mut queued_ms) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        direct_ms.push(call(&direct, upstream).await?);
        queued_ms.push(call(&queued, server.address).await?);
    }
    let (direct_p50, queued_p50) = (median(&mut direct_ms), median(&mut queued_ms));
    println!("reqwest, direct, ms:            p50 {direct_p50:.2}  p99 {:.2}", p99(&direct_ms));
    println!("reqwest, through proxq, ms:     p50 {queued_p50:.2}  p99 {:.2}", p99(&queued_ms));
    println!("what proxq adds, ms:            p50 {:.2}", queued_p50 - direct_p50);
    Ok(())
}

/// One call to its end; gives its time in milliseconds.
async fn call(http: &ClientWithMiddleware, server: SocketAddr) -> Result<f64, Problem> {
    let began = Instant::now();
    let response = http.post(format!("http://{server}/job")).body(vec![b'x'; BODY_BYTES]).send().await?;
    let body = response.error_for_status()?.bytes().await?;
    if body.len() != BODY_BYTES {
        return Err(format!("a body of {} bytes", body.len()).into());
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
