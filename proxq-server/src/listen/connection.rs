//! One client connection, from its first byte to its last; `handshake.rs` has what TLS puts before the first request.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::answer::AnswerBody;
use super::exchange::Security;
use super::handshake::{Spoken, shake_hands};
use super::linger;
use super::protocol::{Protocol, Sniffed};
use super::socket::Socket;
use super::watchdog::Watchdog;
use super::watched::Watched;
use super::{BrokenOff, DRAIN_LINGER, Surface};
use crate::config::Limits;
use crate::failure::chain;
use crate::reply::body::Body;
use crate::slots::Slot;
use crate::tasks::Tasks;

/// The smallest read buffer that the HTTP library takes.
const MIN_BUFFER_BYTES: usize = 8 * 1024;
/// Requests that an HTTP/2 connection may have under way: as many as browsers and common servers agree on.
const STREAMS_MAX: u32 = 128;
/// How much of one request's body, and of all bodies of a connection, a client may send before it is read (RFC 9113
/// §5.2): enough for 100 Mbit/s over 20 ms, and what a connection can cost in memory.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
/// How much of an answer an HTTP/2 stream keeps in memory until the client takes it.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Serves a connection until it ends, or its protocol has been switched.
pub(super) async fn run(surface: Arc<Surface>, stream: TcpStream, peer: SocketAddr, place: Slot) {
    let limits = surface.served.get().settings.limits;
    let watchdog = Watchdog::new(limits.header_read_timeout, limits.idle_timeout);
    let _member = surface.crowd.enter(&watchdog);
    let metrics = surface.metrics.clone();
    let socket = Watched::new(stream, peer, (watchdog.clone(), place, metrics), limits.idle_timeout);
    let (socket, security) = match &surface.tls {
        None => (Socket::Plain(socket), Security::None),
        // Boxed, so that the future of a plain connection stays small.
        Some(tls) => match Box::pin(shake_hands(&surface, tls, socket, &watchdog, peer)).await {
            Some(Spoken::Tls(socket)) => (socket, Security::Tls),
            Some(Spoken::Http(socket)) => (socket, Security::Missing),
            None => return,
        },
    };
    let mut socket = Sniffed::new(socket);
    let Some(protocol) = detect(&surface, &mut socket, &watchdog, peer).await else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let (surface, busy, version) = (Arc::clone(&surface), watchdog.busy(), request.version());
        let watchdog = watchdog.clone();
        async move {
            let response = surface.answer(request, (peer, security), || watchdog.open_body()).await?;
            Ok::<_, BrokenOff>(response.map(|body| AnswerBody::<Body>::new(body, busy, version)))
        }
    });
    match protocol {
        Protocol::Http1 => {
            let connection = http1_settings(limits).serve_connection(TokioIo::new(socket), service).with_upgrades();
            let mut connection = Box::pin(connection);
            let wind_down = http1::UpgradeableConnection::graceful_shutdown;
            // Wait until no request runs: the library would otherwise mark a `101` as the last answer, too. Other answers
            // are marked in `exchange.rs`.
            let wind_down_at = async {
                surface.drained_for(DRAIN_LINGER).await;
                watchdog.free().await;
            };
            let ended = drive(&surface, (&watchdog, peer), connection.as_mut(), wind_down_at, wind_down).await;
            let socket = Pin::into_inner(connection).into_parts().map(|parts| parts.io.into_inner().into_inner());
            if let (Ended::Answered, Some(socket)) = (ended, socket) {
                linger(&surface, &watchdog, socket).await;
            }
        }
        // A client that expects frames cannot read an answer in plain HTTP/1.1.
        Protocol::Http2 if security == Security::Missing => {
            tracing::debug!(%peer, "closed a connection by HTTP/2 without TLS, which is required here");
        }
        Protocol::Http2 => {
            watchdog.set_multiplexed();
            let settings = http2_settings(limits, surface.requests.clone());
            let mut connection = Box::pin(settings.serve_connection(TokioIo::new(socket), service));
            // HTTP/2 tells the client which requests are still served, so there is nothing to wait for.
            let wind_down = http2::Connection::graceful_shutdown;
            let wind_down_at = surface.drained_for(Duration::ZERO);
            drive(&surface, (&watchdog, peer), connection.as_mut(), wind_down_at, wind_down).await;
        }
    }
}

/// Finds out what is spoken on a connection; `None` if it ended before that was clear.
async fn detect(
    surface: &Surface,
    socket: &mut Sniffed<Socket>,
    watchdog: &Watchdog,
    peer: SocketAddr,
) -> Option<Protocol> {
    tokio::select! {
        protocol = socket.protocol() => protocol.inspect_err(|error| log_end(peer, error)).ok(),
        () = watchdog.overdue() => {
            tracing::debug!(%peer, "closed a connection that was overdue");
            None
        }
        () = surface.drained_for(DRAIN_LINGER) => None,
    }
}

/// Lets a connection run until it ends by itself or has to end.
///
/// Once `wind_down_at` ends, `wind_down` has the connection end with the requests that are under way.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    surface: &Surface,
    (watchdog, peer): (&Watchdog, SocketAddr),
    mut connection: Pin<&mut C>,
    wind_down_at: impl Future<Output = ()>,
    wind_down: impl FnOnce(Pin<&mut C>),
) -> Ended {
    let mut wind_down = Some(wind_down);
    let mut wind_down_at = pin!(wind_down_at);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return match ended {
                Ok(()) => Ended::Answered,
                Err(error) => {
                    log_end(peer, &error);
                    // A client that made a mistake got an answer to it, if there could be one.
                    if error.is_user() { Ended::BrokenOff } else { Ended::Answered }
                }
            },
            () = watchdog.overdue() => tracing::debug!(%peer, "closed a connection that was overdue"),
            () = surface.cut.cancelled() => tracing::debug!(%peer, "cut a connection at the end of the drain"),
            () = wind_down_at.as_mut(), if wind_down.is_some() => {
                if let Some(wind_down) = wind_down.take() {
                    wind_down(connection.as_mut());
                }
                continue;
            }
        }
        return Ended::BrokenOff;
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// By itself, with all answers sent.
    Answered,
    /// In the middle of something.
    BrokenOff,
}

/// Lets a client see its last answer, before the socket is closed.
async fn linger(surface: &Surface, watchdog: &Watchdog, mut socket: Socket) {
    watchdog.begin_linger();
    let bounds = surface.served.get().settings.discard;
    let seen = async {
        if socket.shutdown().await.is_ok() {
            linger::until_closed(socket.stream(), bounds.bytes).await;
        }
    };
    tokio::select! {
        () = seen => {}
        () = watchdog.overdue() => {}
        () = surface.drained_for(DRAIN_LINGER) => {}
    }
}

fn http1_settings(limits: Limits) -> http1::Builder {
    let mut settings = http1::Builder::new();
    settings
        .timer(TokioTimer::new())
        .header_read_timeout(None) // the watchdog tells a slow head from an idle connection
        .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER_BYTES))
        .title_case_headers(true);
    settings
}

fn http2_settings(limits: Limits, requests: Tasks) -> http2::Builder<Tasks> {
    let mut settings = http2::Builder::new(requests);
    settings
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
    settings
}

fn log_end(peer: SocketAddr, error: &(dyn std::error::Error + 'static)) {
    tracing::debug!(error = chain(error), %peer, "connection ended");
}
