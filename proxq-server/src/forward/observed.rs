//! A connector whose connections record how they are used. An upstream may close a kept connection at the moment when a
//! request is sent on it; the record tells that case from a failed exchange.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::lock::lock;

/// Wraps the connections of another connector. TLS belongs below this one: TLS records are not an answer.
#[derive(Clone, Debug)]
pub(super) struct Observing<C>(pub(super) C);

impl<C, S> Service<Uri> for Observing<C>
where
    C: Service<Uri, Response = S>,
    C::Future: Send + 'static,
    S: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    type Response = TokioIo<Observed<TokioIo<S>>>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, upstream: Uri) -> Self::Future {
        let connecting = self.0.call(upstream);
        Box::pin(async move { Ok(TokioIo::new(Observed::new(TokioIo::new(connecting.await?)))) })
    }
}

/// How a connection was used. All its requests share this.
#[derive(Clone, Debug)]
pub(crate) struct Usage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    opened: Instant,
    /// When the last response head arrived.
    answered: Mutex<Option<Instant>>,
    /// Whether anything has arrived since something was last sent.
    heard: AtomicBool,
    ended: CancellationToken,
}

impl Usage {
    fn new() -> Self {
        Self(Arc::new(Shared {
            opened: Instant::now(),
            answered: Mutex::default(),
            heard: AtomicBool::new(false),
            ended: CancellationToken::new(),
        }))
    }

    /// The usage of this connection.
    pub(super) fn of(connection: &Connected) -> Option<Self> {
        let mut extensions = http::Extensions::new();
        connection.get_extras(&mut extensions);
        extensions.remove()
    }

    /// Returns when the connection has been dropped by the task that served it.
    pub(super) async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// Notes that a response head has arrived.
    pub(super) fn answered(&self) {
        *lock(&self.0.answered) = Some(Instant::now());
    }

    fn last_answer(&self) -> Option<Instant> {
        *lock(&self.0.answered)
    }

    /// Whether the connection is older than a request that was sent at `began`: it was opened earlier, or has answered
    /// another request, which may have opened it while this one waited.
    pub(super) fn is_kept(&self, began: Instant) -> bool {
        self.0.opened < began || self.last_answer().is_some()
    }

    /// How long the connection had been unused when a request came at `began`; never less than the true time.
    pub(super) fn idle(&self, began: Instant) -> Duration {
        began.saturating_duration_since(self.last_answer().unwrap_or(self.0.opened))
    }

    /// Whether anything has arrived since something was last sent. Over HTTP/2 that says nothing about a single exchange.
    pub(super) fn has_heard(&self) -> bool {
        self.0.heard.load(Ordering::Acquire)
    }
}

/// A connection that records how it is used.
#[derive(Debug)]
pub(super) struct Observed<S> {
    stream: S,
    usage: Usage,
}

impl<S> Observed<S> {
    fn new(stream: S) -> Self {
        Self { stream, usage: Usage::new() }
    }

    fn sent(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(1..) | Err(_))) {
            self.usage.0.heard.store(false, Ordering::Release);
        }
        polled
    }
}

impl<S> Drop for Observed<S> {
    fn drop(&mut self) {
        self.usage.0.ended.cancel();
    }
}

impl<S: Connection> Connection for Observed<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.usage.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.usage.0.heard.store(true, Ordering::Release);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.sent(polled)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_once_it_has_served_another_request() {
        let usage = Usage::new();
        let began = Instant::now();
        assert!(!usage.is_kept(began), "opened for this request");
        usage.answered();
        assert!(usage.is_kept(began), "opened meanwhile, for another one");
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(usage.idle(Instant::now()), Duration::from_millis(300));
        assert_eq!(usage.idle(began), Duration::ZERO, "it waited for the connection");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_opened_and_not_used_is_kept_too() {
        let usage = Usage::new();
        tokio::time::advance(Duration::from_millis(1)).await;
        let began = Instant::now();
        assert!(usage.is_kept(began));
        assert_eq!(usage.idle(began), Duration::from_millis(1));
    }

    #[tokio::test]
    async fn what_is_sent_is_unanswered_until_something_comes() {
        let (near, mut far) = duplex(64);
        let mut near = Observed::new(near);
        let usage = near.usage.clone();
        for _ in 0..2 {
            near.write_all(b"request").await.unwrap();
            assert!(!usage.has_heard());
            far.write_all(b"H").await.unwrap();
            near.read_u8().await.unwrap();
            assert!(usage.has_heard());
        }
        near.write_all(b"request").await.unwrap();
        drop(far);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(!usage.has_heard(), "an end is no answer");
    }
}
