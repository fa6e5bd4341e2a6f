//! Tells how long a connection has been silent, and in which phase: before its first byte, within a request's head,
//! between requests, or while its client takes nothing of an answer. The HTTP library has one limit for the first three
//! and none for the last.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Watches one connection.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    phase: Mutex<Phase>,
    changed: Notify,
    head_limit: Duration,
    idle_limit: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No byte of a request's head has come: until when one may.
    Silent { deadline: Instant },
    /// A head is coming: until when it may.
    Head { deadline: Instant },
    /// A request is being handled or answered; that has limits of its own.
    Busy,
    /// An answer is being sent and the client does not take it: until when it may leave it.
    Stalled { deadline: Instant },
}

impl Watchdog {
    /// Starts to watch a connection that has just been opened.
    pub(super) fn new(head_limit: Duration, idle_limit: Duration) -> Self {
        let phase = Mutex::new(Phase::Silent { deadline: Instant::now() + head_limit });
        Self { shared: Arc::new(Shared { phase, changed: Notify::new(), head_limit, idle_limit }) }
    }

    /// Returns when the connection has been silent for too long.
    pub(super) async fn overdue(&self) {
        loop {
            let changed = self.shared.changed.notified();
            let deadline = match *self.shared.lock() {
                Phase::Silent { deadline } | Phase::Head { deadline } | Phase::Stalled { deadline } => Some(deadline),
                Phase::Busy => None,
            };
            match deadline {
                Some(deadline) => tokio::select! {
                    () = tokio::time::sleep_until(deadline) => return,
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// A request is being handled until the guard is dropped.
    pub(super) fn busy(&self) -> Busy {
        self.shared.enter(Phase::Busy);
        Busy { shared: Arc::clone(&self.shared) }
    }

    /// Notes whether the client takes what is sent.
    fn sent<T>(&self, write: &Poll<T>) {
        let phase = *self.shared.lock();
        match (phase, write.is_pending()) {
            (Phase::Busy, true) => {
                self.shared.enter(Phase::Stalled { deadline: Instant::now() + self.shared.idle_limit });
            }
            (Phase::Stalled { .. }, false) => self.shared.enter(Phase::Busy),
            (Phase::Silent { .. } | Phase::Head { .. } | Phase::Busy | Phase::Stalled { .. }, _) => {}
        }
    }

    fn bytes_came(&self) {
        let silent = matches!(*self.shared.lock(), Phase::Silent { .. });
        if silent {
            self.shared.enter(Phase::Head { deadline: Instant::now() + self.shared.head_limit });
        }
    }
}

impl Shared {
    fn enter(&self, phase: Phase) {
        *self.lock() = phase;
        self.changed.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request is being handled or its answer is being sent.
#[derive(Debug)]
pub(super) struct Busy {
    shared: Arc<Shared>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.enter(Phase::Silent { deadline: Instant::now() + self.shared.idle_limit });
    }
}

/// A response's body, whose end is the end of its request.
#[derive(Debug)]
pub(super) struct BusyBody<B> {
    body: B,
    _busy: Busy,
}

impl<B> BusyBody<B> {
    pub(super) fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for BusyBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that tells the watchdog when bytes come, and when none can be sent.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    watchdog: Watchdog,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, watchdog: Watchdog) -> Self {
        Self { stream, watchdog }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watchdog.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watchdog.sent(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watchdog.sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(2);

    async fn overdue_after(watchdog: &Watchdog) -> Duration {
        let began = Instant::now();
        watchdog.overdue().await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_as_long_as_a_head() {
        assert_eq!(overdue_after(&Watchdog::new(HEAD, IDLE)).await, HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_timed_from_its_first_byte_whatever_trickles_in() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let trickle = async {
            for _ in 0..30 {
                watchdog.bytes_came();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            after = overdue_after(&watchdog) => assert_eq!(after, HEAD),
            () = trickle => panic!("a trickling head was never overdue"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_its_answer_has_the_idle_limit() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let _busy = watchdog.busy();
        watchdog.sent::<()>(&Poll::Pending);
        let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
        watchdog.sent(&Poll::Ready(()));
        watchdog.sent::<()>(&Poll::Pending);
        watchdog.sent::<()>(&Poll::Pending);
        assert_eq!(overdue_after(&watchdog).await, IDLE, "since it last took something");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_its_time_and_a_kept_connection_has_the_idle_limit() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let busy = watchdog.busy();
        let long = Duration::from_hours(1);
        assert!(tokio::time::timeout(long, watchdog.overdue()).await.is_err(), "a busy connection is never overdue");
        drop(busy);
        assert_eq!(overdue_after(&watchdog).await, IDLE);
    }
}
