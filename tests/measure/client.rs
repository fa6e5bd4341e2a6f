//! What proxq adds to a call of the OpenAI SDK, which goes through `proxq-openai` and `proxq-client`.

use std::net::SocketAddr;
use std::path::Path;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::audio::{CreateSpeechRequest, SpeechModel};
use harness::Redis;
use tokio::time::Instant;

use crate::server::{Logging, Server};
use crate::{BODY_BYTES, Problem, median, p99};

/// Calls of each kind, in turn.
const CALLS: usize = 2000;
/// Calls of each kind before those that count, which open the connections.
const WARM_UP: usize = 50;

/// Calls to an upstream that answers at once: directly, and through proxq on either store, one at a time.
pub(crate) async fn calls(folder: &Path, upstream: SocketAddr) -> Result<(), Problem> {
    // Nothing here speaks TLS, but reqwest wants to know who would.
    let _someone_did_already = rustls::crypto::ring::default_provider().install_default();
    let redis = Redis::start();
    let in_redis = format!("concurrency: 10\nredis:\n  url: unix://{}", redis.socket().display());
    for (store, settings) in [("embedded", "concurrency: 10"), ("redis", in_redis.as_str())] {
        let server = Server::start(&folder.join(format!("client-{store}")), upstream, settings, Logging::Default)?;
        beside_direct(store, &server, upstream).await?;
    }
    Ok(())
}

async fn beside_direct(store: &str, server: &Server, upstream: SocketAddr) -> Result<(), Problem> {
    let config = OpenAIConfig::new().with_api_base(format!("http://{upstream}/v1")).with_api_key("sk-measure");
    let queued = proxq_openai::client(format!("http://{}", server.address), config.clone())?;
    let direct = Client::with_config(config);
    for _ in 0..WARM_UP {
        call(&direct).await?;
        call(&queued).await?;
    }
    let (mut direct_ms, mut queued_ms) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        direct_ms.push(call(&direct).await?);
        queued_ms.push(call(&queued).await?);
    }
    let (direct_p50, queued_p50) = (median(&mut direct_ms), median(&mut queued_ms));
    println!("{store}: SDK call, direct, ms:        p50 {direct_p50:.2}  p99 {:.2}", p99(&direct_ms));
    println!("{store}: SDK call, through proxq, ms: p50 {queued_p50:.2}  p99 {:.2}", p99(&queued_ms));
    println!("{store}: what proxq adds, ms:         p50 {:.2}", queued_p50 - direct_p50);
    Ok(())
}

/// One call to its end, of the kind whose answer may be any bytes; gives its time in milliseconds.
async fn call(client: &Client<OpenAIConfig>) -> Result<f64, Problem> {
    let request = CreateSpeechRequest {
        input: "x".repeat(BODY_BYTES),
        model: SpeechModel::Other("gpt-4o-mini-tts".to_owned()),
        ..CreateSpeechRequest::default()
    };
    let began = Instant::now();
    let spoken = client.audio().speech().create(request).await?;
    let took = began.elapsed();
    if spoken.bytes.len() != BODY_BYTES {
        return Err(format!("a body of {} bytes", spoken.bytes.len()).into());
    }
    Ok(took.as_secs_f64() * 1e3)
}
