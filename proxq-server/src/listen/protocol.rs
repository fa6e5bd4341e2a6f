//! A connection on which the first bytes tell which protocol is spoken.
//!
//! hyper-util's `auto` reads them, too, but tells nobody what it found, and does not give the socket back at the end. The
//! watchdog times both protocols differently from their first byte on, each winds down in its own way, and the socket is
//! closed half by half (`linger.rs`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What a client that knows that HTTP/2 is spoken here begins with (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection whose first bytes were read to find out the protocol, and are read again afterwards.
#[derive(Debug)]
pub(super) struct Sniffed<S> {
    stream: S,
    first: [u8; HTTP2_PREFACE.len()],
    /// How many of them there are, and how many were read again.
    filled: usize,
    given: usize,
    /// What reading failed with while there were still bytes to give.
    failure: Option<io::Error>,
}

impl<S: AsyncRead + Unpin> Sniffed<S> {
    /// A connection of which nothing was read.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, first: [0; HTTP2_PREFACE.len()], filled: 0, given: 0, failure: None }
    }

    /// Reads as much as it takes to know the protocol.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        while HTTP2_PREFACE.starts_with(&self.first[..self.filled]) {
            if self.filled == HTTP2_PREFACE.len() {
                return Ok(Protocol::Http2);
            }
            let count = self.stream.read(&mut self.first[self.filled..]).await?;
            if count == 0 {
                break; // whatever it is, it is not HTTP/2
            }
            self.filled += count;
        }
        Ok(Protocol::Http1)
    }

    /// The connection without what was read and not read again.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if self.given == self.filled {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = buf.remaining().min(self.filled - self.given);
        buf.put_slice(&self.first[self.given..self.given + count]);
        self.given += count;
        // With what came after them, as a rule the rest of the head: the HTTP library would double its buffer to read on.
        if buf.remaining() > 0
            && let Poll::Ready(Err(failure)) = Pin::new(&mut self.stream).poll_read(cx, buf)
        {
            self.failure = Some(failure);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What is made of a connection on which these pieces come one after the other, and what is read of it afterwards.
    async fn spoken(pieces: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, stream) = tokio::io::duplex(1024);
        let mut sniffed = Sniffed::new(stream);
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (protocol, ()) = tokio::join!(sniffed.protocol(), send);
        let mut read = Vec::new();
        sniffed.read_to_end(&mut read).await.unwrap();
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

    #[tokio::test]
    async fn the_first_bytes_are_read_again_together_with_what_follows() {
        let (mut client, stream) = tokio::io::duplex(1024);
        let head = b"POST /path HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(head).await.unwrap();
        let mut sniffed = Sniffed::new(stream);
        sniffed.protocol().await.unwrap();
        let mut read = [0; 1024];
        let count = sniffed.read(&mut read).await.unwrap();
        assert_eq!(&read[..count], head);
    }

    /// Bytes, and then a failure, once.
    struct Failing(Option<&'static [u8]>);

    impl AsyncRead for Failing {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let Some(bytes) = self.0.take() else { return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())) };
            buf.put_slice(bytes);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_failure_comes_after_the_bytes_before_it() {
        let mut sniffed = Sniffed::new(Failing(Some(b"GET /")));
        assert_eq!(sniffed.protocol().await.unwrap(), Protocol::Http1);
        let mut read = [0; 9];
        assert_eq!(sniffed.read(&mut read).await.unwrap(), 5);
        assert_eq!(sniffed.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
