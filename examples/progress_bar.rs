//! A progress bar for calls that wait in a queue.
//!
//! ```sh
//! cargo run --release --bin progress_bar
//! ```

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use embedded::{Problem, behind_proxq};
use indicatif::{ProgressBar, ProgressStyle};
use proxq_client::{Event, Proxq};
use reqwest_middleware::ClientBuilder;
use tokio::task::JoinSet;

const FRAMES: u64 = 12;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let api = Router::new().route("/render", post(render));
    behind_proxq(api, |_| {}, client).await
}

/// Renders one frame.
async fn render(frame: String) -> String {
    let number: u64 = frame.parse().unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(100 + 60 * number)).await;
    format!("frame {frame}")
}

async fn client(proxq: String) -> Result<(), Problem> {
    let bar = ProgressBar::new(FRAMES);
    bar.set_style(ProgressStyle::with_template("{elapsed:>3} [{bar:40}] {pos}/{len} {msg}")?);
    let shown = bar.clone();
    let middleware = Proxq::builder().wait(Some(Duration::from_millis(200))).on_event(move |event| match event {
        Event::Submitted { id } => shown.set_message(format!("{id} accepted")),
        Event::Waiting { id, waited, .. } => shown.set_message(format!("{id} waits, {waited:.1?} so far")),
        Event::Done { id, .. } => {
            shown.set_message(format!("{id} done"));
            shown.inc(1);
        }
        _ => {}
    });
    let http = ClientBuilder::new(reqwest::Client::new()).with(middleware.build()?).build();

    let mut calls = JoinSet::new();
    for frame in 0..FRAMES {
        let request = http.post(format!("{proxq}/render")).body(frame.to_string());
        calls.spawn(async move { request.send().await?.error_for_status()?.text().await.map_err(Problem::from) });
    }
    let mut frames = 0;
    while let Some(frame) = calls.join_next().await {
        assert!(frame??.starts_with("frame "));
        frames += 1;
    }
    bar.finish_with_message("all done");
    println!("{frames} frames rendered, the bar at {}", bar.position());
    Ok(())
}
