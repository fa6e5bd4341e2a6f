//! A call of the OpenAI SDK, which goes through `proxq-openai` and `proxq-client`.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::audio::{CreateSpeechRequest, SpeechModel};
use tokio::time::Instant;

use super::About;
use crate::bench::{Bench, Round};
use crate::latencies::Latencies;
use crate::table::Table;
use crate::{BODY_BYTES, Problem};

pub(super) const ABOUT: About = About {
    name: "sdk",
    title: "one call of the OpenAI SDK at a time, 1 KiB each way, beside the same call without proxq",
    limited_by: "what limits pick-up, and the SDK's own work, which is done for two requests",
    target: "p50 ≤ direct + 3 ms",
};

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut table = Table::new(ABOUT);
    // Nothing here speaks TLS, but reqwest wants to know who would.
    let _someone_did_already = rustls::crypto::ring::default_provider().install_default();
    let config = OpenAIConfig::new().with_api_base(format!("http://{}/v1", bench.upstream.address()));
    let config = config.with_api_key("sk-measure");
    let servers = bench.proxqs(10).await?;
    let mut clients = vec![("direct", Client::with_config(config.clone()))];
    for server in &servers {
        let client = proxq_openai::client(format!("http://{}", server.target.address), config.clone())?;
        clients.push((server.target.name.as_str(), client));
    }
    for round in bench.rounds() {
        for (row, client) in &clients {
            bench.progress.step(row);
            let latencies = calls(client, round).await?;
            if !round.is_warm_up {
                table.keep_latencies(row, &latencies)?;
            }
        }
    }
    Ok(table)
}

/// Calls of the kind whose answer may be any bytes, one after the other.
async fn calls(client: &Client<OpenAIConfig>, round: Round) -> Result<Latencies, Problem> {
    let mut latencies = Latencies::new();
    for _ in 0..round.requests / 100 {
        let request = CreateSpeechRequest {
            input: "x".repeat(BODY_BYTES),
            model: SpeechModel::Other("gpt-4o-mini-tts".to_owned()),
            ..CreateSpeechRequest::default()
        };
        let began = Instant::now();
        let spoken = client.audio().speech().create(request).await?;
        latencies.record(began.elapsed())?;
        if spoken.bytes.len() != BODY_BYTES {
            return Err(format!("a body of {} bytes", spoken.bytes.len()).into());
        }
    }
    Ok(latencies)
}
