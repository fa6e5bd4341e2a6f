//! A job by the explicit API of `proxq-client`: the program submits a request, follows its job and fetches the response.
//!
//! ```sh
//! cargo run --release --bin submit_and_poll
//! ```

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use embedded::{Problem, behind_proxq};
use proxq_client::{Proxq, ProxqClient};

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let api = Router::new().route("/reports", post(report));
    behind_proxq(api, |_| {}, client).await
}

/// A slow endpoint.
async fn report(year: String) -> String {
    tokio::time::sleep(Duration::from_millis(300)).await;
    format!("the report for {year}")
}

async fn client(proxq: String) -> Result<(), Problem> {
    let http = reqwest::Client::new();
    let client = ProxqClient::new(Proxq::builder().proxq_url(&proxq).build()?, http.clone());

    let job = client.submit(http.post(format!("{proxq}/reports")).body("2026").build()?).await?;
    println!("submitted: {}", job.id());

    let mut events = job.events().await?;
    while let Some(info) = events.next().await? {
        println!("now:       {:?}", info.status);
    }

    // Another program could do this on another day: it needs only the id.
    let job = client.attach(job.id())?;
    println!("response:  {}", job.content().await?.text().await?);
    job.cancel().await?;
    println!("removed");
    Ok(())
}
