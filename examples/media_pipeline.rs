//! An upload that takes long to process: proxq queues the whole upload, and the result comes back as a stream.
//!
//! ```sh
//! cargo run --release --bin media_pipeline
//! ```

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use embedded::{Problem, behind_proxq};
use proxq_client::{Proxq, ProxqOptions};
use reqwest_middleware::ClientBuilder;

/// Larger than the default of `directProxyThreshold`, above which a body bypasses the queue.
const UPLOAD_BYTES: usize = 16 << 20;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let api = Router::new().route("/process", post(process)).layer(DefaultBodyLimit::max(UPLOAD_BYTES));
    let large = |upstream: &mut proxq_server::Upstream| {
        upstream.max_body_size = 1 << 30;
        upstream.direct_proxy_threshold = None; // no body bypasses the queue because of its size
    };
    behind_proxq(api, large, client).await
}

/// Turns a picture into its negative.
async fn process(picture: Bytes) -> Vec<u8> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    picture.iter().map(|byte| !byte).collect()
}

async fn client(proxq: String) -> Result<(), Problem> {
    let http = ClientBuilder::new(reqwest::Client::new()).with(Proxq::new()).build();
    let picture = vec![0x0f; UPLOAD_BYTES];
    // The upstream may take half an hour. The whole call, with its time in the queue, may take an hour.
    let patience = ProxqOptions::new().upstream_timeout(Duration::from_mins(30)).max_wait(Duration::from_hours(1));
    let upload = http.post(format!("{proxq}/process")).body(picture).with_extension(patience);
    let mut result = upload.send().await?.error_for_status()?;

    // The result is read in pieces, as for writing it to a file. Neither end holds all of it in memory.
    let (mut bytes, mut pieces) = (0, 0);
    while let Some(piece) = result.chunk().await? {
        assert!(piece.iter().all(|byte| *byte == 0xf0));
        bytes += piece.len();
        pieces += 1;
    }
    assert!(pieces > 1, "a stream has more than one piece");
    println!("{bytes} bytes up, {bytes} bytes down");
    Ok(())
}
