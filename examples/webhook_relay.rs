//! Webhooks for a receiver that is often not available: the sender learns at once that proxq has stored the webhook, and
//! proxq delivers it when the receiver is available again.
//!
//! ```sh
//! cargo run --release --bin webhook_relay
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use embedded::{Problem, behind_proxq};
use proxq_client::{JobStatus, Proxq, ProxqClient};
use proxq_server::{Backoff, Delivery, RetryPolicy};

/// How many attempts the receiver lets time out before it accepts a webhook.
const BREAKS: usize = 2;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let tries = Arc::new(AtomicUsize::new(0));
    let api = Router::new().route("/hooks/{name}", post(receive)).with_state(Arc::clone(&tries));
    let patiently = |upstream: &mut proxq_server::Upstream| {
        upstream.timeout = Duration::from_millis(100);
        upstream.retries = RetryPolicy { max_retries: 5, backoff: Backoff::Fixed(Duration::from_millis(50)) };
        upstream.delivery = Delivery::AtLeastOnce;
    };
    behind_proxq(api, patiently, relay).await?;
    println!("the receiver was tried {} times", tries.load(Ordering::Acquire));
    Ok(())
}

/// A receiver that does not answer the first attempts in time.
async fn receive(State(tries): State<Arc<AtomicUsize>>, request: Request) -> String {
    if tries.fetch_add(1, Ordering::AcqRel) < BREAKS {
        std::future::pending::<()>().await;
    }
    format!("received {}", request.uri().path())
}

async fn relay(proxq: String) -> Result<(), Problem> {
    let http = reqwest::Client::new();
    let client = ProxqClient::new(Proxq::builder().proxq_url(&proxq).build()?, http.clone());
    let webhook = http.post(format!("{proxq}/hooks/paid")).body(r#"{"order":7}"#);
    let job = client.submit(webhook.build()?).await?;
    println!("kept as {}; the sender goes on", job.id());

    let ended = job.wait().await?;
    assert_eq!(ended.status, JobStatus::Completed);
    println!("delivered at attempt {}", ended.attempts.unwrap_or(0));
    println!("the receiver said: {}", job.content().await?.text().await?);
    Ok(())
}
