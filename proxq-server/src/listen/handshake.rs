//! The beginning of a connection to a listener that speaks TLS: the handshake, or the finding that the client does not speak it.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::linger;
use super::socket::Socket;
use super::watchdog::Watchdog;
use super::watched::Watched;
use super::{DRAIN_LINGER, Surface};
use crate::tls::ListenerTls;

/// How much a client whose handshake failed may go on sending, so that it sees why: more than any handshake has.
const DISCARD_BYTES_MAX: u64 = 64 * 1024;

/// What a client speaks to a listener for TLS.
#[derive(Debug)]
pub(super) enum Spoken {
    /// TLS; the handshake is done.
    Tls(Socket),
    /// HTTP without TLS, of which nothing was read.
    Http(Socket),
}

/// Shakes hands. `None` where the connection has ended meanwhile. It takes no longer than a request's head may.
pub(super) async fn shake_hands(
    surface: &Surface,
    tls: &ListenerTls,
    socket: Watched,
    watchdog: &Watchdog,
    peer: SocketAddr,
) -> Option<Spoken> {
    tokio::select! {
        spoken = begin(tls, socket, peer) => {
            if matches!(spoken, Some(Spoken::Tls(_))) {
                watchdog.begin_requests();
            }
            spoken
        }
        () = watchdog.overdue() => {
            tracing::debug!(%peer, "closed a connection whose TLS handshake was overdue");
            None
        }
        () = surface.drained_for(DRAIN_LINGER) => None,
    }
}

async fn begin(tls: &ListenerTls, socket: Watched, peer: SocketAddr) -> Option<Spoken> {
    match first_byte(&socket).await {
        Err(error) => {
            tracing::debug!(%error, %peer, "connection ended before a TLS handshake");
            return None;
        }
        // No record of TLS begins with a letter; every request does, that of HTTP/2 with prior knowledge included.
        Ok(byte) if byte.is_ascii_alphabetic() => return Some(Spoken::Http(Socket::Plain(socket))),
        Ok(_) => {}
    }
    match TlsAcceptor::from(tls.config()).accept(socket).into_fallible().await {
        Ok(stream) => Some(Spoken::Tls(Socket::Tls(Box::new(stream)))),
        Err((error, mut socket)) => {
            tracing::debug!(%error, %peer, "a TLS handshake failed");
            // The alert that says why is on its way.
            if socket.shutdown().await.is_ok() {
                linger::until_closed(socket.stream(), DISCARD_BYTES_MAX).await;
            }
            None
        }
    }
}

/// The first byte that comes, which stays to be read.
async fn first_byte(socket: &Watched) -> io::Result<u8> {
    let mut first = [0];
    match socket.stream().peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}
