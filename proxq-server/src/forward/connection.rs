//! A connector whose connections go on reading after a write has failed.
//!
//! An upstream may answer before it has read a request's whole body and then close, which resets the connection when
//! more of the body arrives. Its answer has been received by then, but an HTTP library that is still sending sees the
//! reset first and gives up. So a connection that cannot send any more accepts bytes and drops them, until reading has
//! brought either the answer or the failure.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::shortage::explained;

/// Opens such connections.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
}

impl Connector {
    pub(super) fn new(tcp: HttpConnector) -> Self {
        Self { tcp }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<ReadAfterWriteFailure<TcpStream>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, upstream: Uri) -> Self::Future {
        let connecting = self.tcp.call(upstream.clone());
        Box::pin(async move {
            match connecting.await {
                Ok(stream) => Ok(TokioIo::new(ReadAfterWriteFailure::new(stream.into_inner()))),
                Err(error) => Err(explained(error.into(), &upstream).await),
            }
        })
    }
}

/// A connection that is read to its end even when nothing can be sent any more.
#[derive(Debug)]
pub(super) struct ReadAfterWriteFailure<S> {
    stream: S,
    /// Why nothing can be sent any more.
    cut: Option<io::ErrorKind>,
    /// Whether the other end has sent everything.
    heard: bool,
}

impl<S> ReadAfterWriteFailure<S> {
    fn new(stream: S) -> Self {
        Self { stream, cut: None, heard: false }
    }

    /// Sends through `send`, or drops `length` bytes once the other end has hung up: reading certainly ends then. If
    /// reading ended before, as in a half-closed tunnel, the failure goes to the sender.
    fn send(&mut self, length: usize, send: impl FnOnce(&mut S) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.cut.is_some() {
            return Poll::Ready(Ok(length));
        }
        match send(&mut self.stream) {
            Poll::Ready(Err(error)) if hung_up(error.kind()) && !self.heard => {
                self.cut = Some(error.kind());
                Poll::Ready(Ok(length))
            }
            polled @ (Poll::Ready(_) | Poll::Pending) => polled,
        }
    }
}

fn hung_up(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl Connection for ReadAfterWriteFailure<TcpStream> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAfterWriteFailure<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.heard |= room > 0 && buf.filled().len() == before && matches!(polled, Poll::Ready(Ok(())));
        match (&polled, self.cut) {
            // A write failed silently before, so this is not an orderly end.
            (Poll::Ready(Ok(())), Some(cut)) if buf.filled().len() == before => Poll::Ready(Err(cut.into())),
            _ => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAfterWriteFailure<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.send(bytes.len(), |stream| Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        self.send(length, |stream| Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(0, |stream| Pin::new(stream).poll_flush(cx).map_ok(|()| 0)).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A connection whose other end sends this, then closes without having read anything.
    async fn hung_up_after(words: &[u8]) -> ReadAfterWriteFailure<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut near, (mut far, _)) = (near.unwrap(), accepted.unwrap());
        near.write_all(b"request").await.unwrap();
        far.readable().await.unwrap(); // unread bytes make closing a reset
        far.write_all(words).await.unwrap();
        drop(far);
        ReadAfterWriteFailure::new(near)
    }

    #[tokio::test]
    async fn last_words_are_heard_although_nothing_can_be_sent() {
        let mut connection = hung_up_after(b"too much").await;
        connection.write_all(&vec![0; 1 << 20]).await.unwrap();
        connection.flush().await.unwrap();
        let mut words = [0; 8];
        connection.read_exact(&mut words).await.unwrap();
        assert_eq!(&words, b"too much");
    }

    #[tokio::test]
    async fn a_connection_that_was_cut_has_no_orderly_end() {
        let mut connection = hung_up_after(b"").await;
        connection.write_all(&vec![0; 1 << 20]).await.unwrap();
        let error = connection.read(&mut [0; 8]).await.unwrap_err();
        assert!(hung_up(error.kind()), "{error}");
    }
}
