//! A client's socket that tells the watchdog when bytes come and go.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::watchdog::Watchdog;
use crate::metrics::ListenerMetrics;
use crate::slots::Slot;

/// How long a connection is quiet before the operating system asks whether the other end is still there, and how long
/// it waits before it asks again: a stream may have nothing to say for hours, and nobody else would notice.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A client's socket, with its place among the connections that are allowed at once; a tunnel keeps both.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    watchdog: Watchdog,
    metrics: ListenerMetrics,
    _place: Slot,
}

impl Watched {
    /// Takes a fresh socket over. After `silence_limit`, the operating system ends a connection whose other end is gone or
    /// takes nothing.
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        (watchdog, place, metrics): (Watchdog, Slot, ListenerMetrics),
        silence_limit: Duration,
    ) -> Self {
        if let Err(error) = prepare(&stream, silence_limit) {
            tracing::debug!(%error, %peer, "set options of a client's socket");
        }
        metrics.connections.inc();
        Self { stream, watchdog, metrics, _place: place }
    }

    fn note_sent(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.metrics.sent.inc_by(*bytes as u64);
        }
        self.watchdog.sent(polled);
    }

    /// Whether it ends with a reset: an answer broke off of which nothing else could tell.
    pub(super) fn is_to_be_reset(&self) -> bool {
        self.watchdog.answer_broke()
    }

    /// The socket itself.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

fn prepare(stream: &TcpStream, silence_limit: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    #[cfg(target_os = "linux")]
    {
        let millis = u32::try_from(silence_limit.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, millis)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = silence_limit;
    Ok(())
}

/// An answer that broke off must not look complete, not even to a client of HTTP/1.0.
impl Drop for Watched {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        if self.is_to_be_reset()
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "have a connection reset");
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 {
            self.metrics.received.inc_by(came as u64);
            self.watchdog.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_sent(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_to_be_reset() {
            return Poll::Ready(Ok(())); // to be reset, not closed
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
