//! A client's socket: finds out which protocol is spoken on it, and tells the watchdog when bytes come and go.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::watchdog::Watchdog;
use crate::slots::Slot;

/// What a client that knows that HTTP/2 is spoken here begins with (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a connection is quiet before the operating system asks whether the other end is still there, and how long
/// it waits before it asks again: a stream may have nothing to say for hours, and nobody else would notice.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A client's socket, with its place among the connections that are allowed at once; a tunnel keeps both.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    watchdog: Watchdog,
    /// Bytes that were read to find out the protocol.
    first: [u8; HTTP2_PREFACE.len()],
    /// How many of them there are, and how many were read again.
    filled: usize,
    given: usize,
    _place: Slot,
}

impl Watched {
    /// Takes a fresh socket over. `silence_limit` is how long an end that is gone, or takes nothing, is borne with.
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        watchdog: Watchdog,
        place: Slot,
        silence_limit: Duration,
    ) -> Self {
        if let Err(error) = prepare(&stream, silence_limit) {
            tracing::debug!(%error, %peer, "set options of a client's socket");
        }
        Self { stream, watchdog, first: [0; HTTP2_PREFACE.len()], filled: 0, given: 0, _place: place }
    }

    /// The socket itself.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads as much as it takes to know the protocol; what was read is read again afterwards.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        while HTTP2_PREFACE.starts_with(&self.first[..self.filled]) {
            if self.filled == HTTP2_PREFACE.len() {
                return Ok(Protocol::Http2);
            }
            let count = self.stream.read(&mut self.first[self.filled..]).await?;
            if count == 0 {
                break; // whatever it is, it is not HTTP/2
            }
            self.watchdog.bytes_came();
            self.filled += count;
        }
        Ok(Protocol::Http1)
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
        if self.watchdog.answer_broke()
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "have a connection reset");
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.given < self.filled {
            let count = buf.remaining().min(self.filled - self.given);
            buf.put_slice(&self.first[self.given..self.given + count]);
            self.given += count;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watchdog.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watchdog.sent(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watchdog.sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watchdog.answer_broke() {
            return Poll::Ready(Ok(())); // to be reset, not closed
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::slots::Slots;

    /// What is made of a connection on which these pieces come one after the other, and what is read of it afterwards.
    async fn spoken(pieces: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let limit = Duration::from_mins(1);
        let place = Slots::new(1).take();
        let mut watched = Watched::new(stream, peer, Watchdog::new(limit, limit), place, limit);
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (protocol, ()) = tokio::join!(watched.protocol(), send);
        let mut read = Vec::new();
        watched.read_to_end(&mut read).await.unwrap();
        (protocol.unwrap(), read)
    }

    #[tokio::test]
    async fn the_protocol_is_known_by_its_first_bytes_and_none_is_lost() {
        let preface = &HTTP2_PREFACE[..];
        for (pieces, protocol) in [
            (&[&b"GET / HTTP/1.1\r\n\r\n"[..]][..], Protocol::Http1),
            (&[b"P", b"OST / HTTP/1.1\r\n"], Protocol::Http1),
            (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"x"], Protocol::Http1),
            (&[b"PRI"], Protocol::Http1),
            (&[], Protocol::Http1),
            (&[preface, b"frames"], Protocol::Http2),
            (&[&preface[..7], &preface[7..20], &preface[20..], b"frames"], Protocol::Http2),
        ] {
            assert_eq!(spoken(pieces).await, (protocol, pieces.concat()), "{pieces:?}");
        }
    }
}
