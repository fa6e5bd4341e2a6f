//! An app with proxq inside: it offers its slow endpoint as jobs, and stops proxq and the endpoint in order.
//!
//! ```sh
//! cargo run --release --bin embed_the_server
//! ```

use std::future::IntoFuture;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use embedded::Problem;
use proxq_client::{JobStatus, Proxq, ProxqClient};
use proxq_server::{Config, Server, StoreConfig, SyncMode, UpstreamUrl};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let app = TcpListener::bind("127.0.0.1:0").await?;
    let front = TcpListener::bind("127.0.0.1:0").await?;
    let proxq_url = format!("http://{}", front.local_addr()?);

    let data_dir = tempfile::tempdir()?; // a real program uses the folder of its data
    let config = Config {
        store: StoreConfig::Embedded { data_dir: data_dir.path().to_owned(), sync: SyncMode::Durable },
        ..Config::for_upstream(UpstreamUrl::new(&format!("http://{}", app.local_addr()?))?)
    };
    let proxq = Server::on(front, config).await?;

    // A real program stops on a signal. `proxq_server::shutdown::StopRequests` waits for one.
    let (stop_proxq, proxq_is_to_stop) = oneshot::channel::<()>();
    let (stop_app, app_is_to_stop) = oneshot::channel::<()>();
    let app = axum::serve(app, Router::new().route("/reports", post(report))).with_graceful_shutdown(async {
        let _sent_or_dropped = app_is_to_stop.await;
    });
    let serve_app = async {
        app.into_future().await?;
        println!("the app has stopped");
        Ok::<(), Problem>(())
    };
    let serve_proxq = async {
        let asked_to_stop = async {
            let _sent_or_dropped = proxq_is_to_stop.await;
        };
        proxq.run(asked_to_stop).await?;
        println!("proxq has stopped");
        drop(stop_app); // after proxq, which forwards to it
        Ok(())
    };
    let work = async {
        client(&proxq_url).await?;
        println!("asked to stop");
        drop(stop_proxq);
        Ok(())
    };
    tokio::try_join!(serve_app, serve_proxq, work)?;
    Ok(())
}

/// The app's slow endpoint.
async fn report(year: String) -> String {
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("written: {year}");
    format!("the report for {year}")
}

/// Uses the app through jobs. The last job still runs when this returns.
async fn client(proxq_url: &str) -> Result<(), Problem> {
    let http = reqwest::Client::new();
    let client = ProxqClient::new(Proxq::builder().proxq_url(proxq_url).build()?, http.clone());
    let request = |year| http.post(format!("{proxq_url}/reports")).body(year).build();

    let job = client.submit(request("2026")?).await?;
    println!("submitted: {}", job.id());
    println!("fetched: {}", job.content().await?.text().await?);

    let job = client.submit(request("2027")?).await?;
    let mut events = job.events().await?;
    while let Some(info) = events.next().await? {
        if info.status == JobStatus::Running {
            break;
        }
    }
    Ok(())
}
