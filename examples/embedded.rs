//! The servers that the client examples share: an API and a proxq in front of it, both in this process.

use std::error::Error;
use std::future::{self, IntoFuture};

use axum::Router;
use proxq_server::{Config, Server, StoreConfig, SyncMode, Upstream, UpstreamUrl};
use tokio::net::TcpListener;

/// Any error of an example.
pub type Problem = Box<dyn Error + Send + Sync>;

/// Runs a client with the URL of a proxq in front of this API. The servers run until the client has ended.
///
/// # Errors
/// Fails if the client fails, or if one of the servers cannot be started.
pub async fn behind_proxq(
    api: Router,
    configure: impl FnOnce(&mut Upstream),
    client: impl AsyncFnOnce(String) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api_url = format!("http://{}", listener.local_addr()?);
    let data_dir = tempfile::tempdir()?;
    let mut config = Config {
        listen_address: "127.0.0.1:0".to_owned(),
        store: StoreConfig::Embedded { data_dir: data_dir.path().to_owned(), sync: SyncMode::Durable },
        ..Config::for_upstream(UpstreamUrl::new(&api_url)?)
    };
    configure(&mut config.upstreams[0]);
    let proxq = Server::bind(config).await?;
    let proxq_url = format!("http://{}", proxq.local_addr()?);
    tokio::select! {
        ended = axum::serve(listener, api).into_future() => ended?,
        ended = proxq.run(future::pending()) => ended?,
        done = client(proxq_url) => done?,
    }
    Ok(())
}
