//! One client connection, from its first byte to its last.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Surface;
use super::watchdog::{BusyBody, Watchdog, Watched};
use crate::failure::chain;

/// How long an idle connection stays open while the server drains, so that a request that is on its way is still
/// served, with `Connection: close`, rather than met by a reset.
const DRAIN_LINGER: Duration = Duration::from_secs(1);
/// The smallest read buffer that the HTTP library takes.
const MIN_BUFFER_BYTES: usize = 8 * 1024;

/// Serves a connection until it ends.
pub(super) async fn run(surface: Arc<Surface>, stream: TcpStream, peer: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "set TCP_NODELAY");
    }
    let limits = surface.config.limits;
    let watchdog = Watchdog::new(limits.header_read_timeout, limits.idle_timeout);
    let service = service_fn(|request| {
        let (surface, busy) = (Arc::clone(&surface), watchdog.busy());
        async move {
            let response = surface.answer(request, peer).await?;
            Ok::<_, super::BrokenOff>(response.map(|body| BusyBody::<Body>::new(body, busy)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None) // the watchdog tells a slow head from an idle connection
        .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER_BYTES))
        .title_case_headers(true)
        .serve_connection(TokioIo::new(Watched::new(stream, watchdog.clone())), service);
    let mut connection = pin!(connection);
    let lingered = async {
        surface.draining.cancelled().await;
        tokio::time::sleep(DRAIN_LINGER).await;
    };
    tokio::select! {
        ended = connection.as_mut() => return log_end(ended, peer),
        () = watchdog.overdue() => return tracing::debug!(%peer, "closed a connection that was silent for too long"),
        () = surface.cut.cancelled() => return tracing::debug!(%peer, "cut a connection at the end of the drain"),
        () = lingered => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection => log_end(ended, peer),
        () = surface.cut.cancelled() => tracing::debug!(%peer, "cut a connection at the end of the drain"),
    }
}

fn log_end(ended: hyper::Result<()>, peer: SocketAddr) {
    if let Err(error) = ended {
        tracing::debug!(error = chain(&error), %peer, "connection ended");
    }
}
