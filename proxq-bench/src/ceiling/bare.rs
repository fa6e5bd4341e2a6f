//! Bare servers: hyper with nothing of proxq's added, each a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Problem;
use crate::target::Target;

/// What a bare server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bare {
    /// Reads a request, and answers `202` as proxq does.
    Accept,
    /// Sends a request on to the upstream, and streams the answer back.
    Forward,
}

/// A bare server in a process of its own. Killed when dropped.
#[derive(Debug)]
pub(crate) struct BareServer {
    process: Child,
    pub(crate) target: Target,
}

impl BareServer {
    /// Starts this program again, as a bare server.
    pub(crate) fn start(kind: Bare, upstream: SocketAddr) -> Result<Self, Problem> {
        let name = kind.to_possible_value().ok_or("every kind has a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--bare", name.get_name(), "--upstream", &upstream.to_string()]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("standard output is a pipe")?;
        let mut server = Self {
            target: Target {
                name: match kind {
                    Bare::Accept => "bare hyper server".to_owned(),
                    Bare::Forward => "bare hyper proxy".to_owned(),
                },
                address: upstream,
                pid: Some(process.id()),
                redis_pid: None,
            },
            process,
        };
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        server.target.address = address.trim().parse()?;
        Ok(server)
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until the process is killed. The first line of output is the address.
pub(crate) async fn serve(kind: Bare, upstream: SocketAddr) -> Result<(), Problem> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            Some(_ended) = connections.join_next() => continue,
        };
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        let server = hyper::server::conn::http1::Builder::new();
        let client = client.clone();
        connections.spawn(async move {
            // A connection that breaks off does so for its client as well.
            let _broken = match kind {
                Bare::Accept => server.serve_connection(stream, service_fn(accept)).await,
                Bare::Forward => {
                    let service = service_fn(|request| forward(&client, request, upstream));
                    server.serve_connection(stream, service).await
                }
            };
        });
    }
}

async fn accept(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    let mut response = Response::new(Full::from(r#"{"jobId":"00000000-0000-4000-8000-000000000000"}"#));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A failure ends the connection, as an error of the service does.
async fn forward(
    client: &Client<HttpConnector, Incoming>,
    mut request: Request<Incoming>,
    upstream: SocketAddr,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let path = request.uri().path();
    let uri = Uri::try_from(format!("http://{upstream}{path}")).expect("a path of a request, after an address");
    *request.uri_mut() = uri;
    client.request(request).await
}
