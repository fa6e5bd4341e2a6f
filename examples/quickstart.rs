//! The life of a job, with a slow API, a proxq in front of it and a client, all in this process.
//!
//! ```sh
//! cargo run --release --bin quickstart
//! ```

use std::error::Error;
use std::future::{self, IntoFuture};
use std::time::Duration;

use axum::routing::post;
use proxq_protocol::{Accepted, JobInfo};
use proxq_server::{Config, Server, StoreConfig, SyncMode, UpstreamUrl};
use tokio::net::TcpListener;

/// The time that the API needs for a report.
const REPORT_TIME: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let api = TcpListener::bind("127.0.0.1:0").await?;
    let api_url = format!("http://{}", api.local_addr()?);
    println!("1. an API that takes {REPORT_TIME:?} for a report: {api_url}");

    let data_dir = tempfile::tempdir()?;
    let config = Config {
        listen_address: "127.0.0.1:0".to_owned(),
        store: StoreConfig::Embedded { data_dir: data_dir.path().to_owned(), sync: SyncMode::Durable },
        ..Config::for_upstream(UpstreamUrl::new(&api_url)?)
    };
    let proxq = Server::bind(config).await?;
    let proxq_url = format!("http://{}", proxq.local_addr()?);
    println!("2. proxq in front of it:                     {proxq_url}");

    // The servers run until the client has ended.
    tokio::select! {
        ended = axum::serve(api, slow_api()).into_future() => ended?,
        ended = proxq.run(future::pending()) => ended?,
        done = client(&proxq_url) => done?,
    }
    Ok(())
}

/// An API with one slow endpoint.
fn slow_api() -> axum::Router {
    axum::Router::new().route(
        "/reports",
        post(|year: String| async move {
            tokio::time::sleep(REPORT_TIME).await;
            format!("the report for {year}\n")
        }),
    )
}

/// Submits a request, watches its job and fetches the response.
async fn client(proxq: &str) -> Result<(), Box<dyn Error>> {
    let http = reqwest::Client::new();

    let answer = http.post(format!("{proxq}/reports")).body("2026").send().await?;
    println!("3. POST /reports  →  {}", answer.status());
    let Accepted { job_id, .. } = answer.json().await?;
    let job = format!("{proxq}/__jobs/{job_id}");
    println!("4. the job:           {job_id}");

    let early: JobInfo = http.get(&job).send().await?.json().await?;
    println!("5. its status:        {:?}", early.status);

    let late: JobInfo = http.get(format!("{job}?wait=30s")).send().await?.json().await?;
    println!("6. after ?wait=30s:   {:?}", late.status);

    let content = http.get(format!("{job}/content")).send().await?;
    print!("7. its content:       {} {}", content.status(), content.text().await?);

    let removed = http.delete(&job).send().await?;
    println!("8. DELETE:            {} {}", removed.status(), removed.text().await?);
    Ok(())
}
