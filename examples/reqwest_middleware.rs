//! Ordinary reqwest code whose calls go through the queue: only one line, the middleware, knows about proxq.
//!
//! ```sh
//! cargo run --release --bin reqwest_middleware
//! ```

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use embedded::{Problem, behind_proxq};
use proxq_client::{Delivery, Proxq};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let api = Router::new().route("/reports", post(report));
    behind_proxq(api, |_| {}, client).await
}

/// A slow endpoint that refuses some requests.
async fn report(year: String) -> (StatusCode, String) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    if year == "1926" {
        return (StatusCode::NOT_FOUND, "no report for that year".to_owned());
    }
    (StatusCode::OK, format!("the report for {year}"))
}

async fn client(proxq: String) -> Result<(), Problem> {
    let http = ClientBuilder::new(reqwest::Client::new())
        .with(Proxq::new()) // the one line
        .build();
    for year in ["2026", "1926"] {
        println!("{}", report_for(&http, &proxq, year).await?);
    }
    Ok(())
}

/// Code that knows nothing about queues.
async fn report_for(http: &ClientWithMiddleware, api: &str, year: &'static str) -> Result<String, Problem> {
    let response = http.post(format!("{api}/reports")).body(year).send().await?;
    let way = match response.extensions().get() {
        Some(Delivery::Job { .. }) => "through the queue",
        _ => "directly",
    };
    Ok(format!("{} {way}: {}", response.status(), response.text().await?))
}
