//! The bounded reading of an upload that nobody wants. Comes in: a body whose request was answered before its end. Nothing
//! goes out.
//!
//! A client that writes its whole request before it reads sees an early answer only if somebody reads on (RFC 9112
//! §9.6). Over HTTP/2 the client is told to stop when the bounds are reached (RFC 9113 §8.1).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::tasks::Tasks;

/// How long a client may send nothing of an upload that was answered: the time that nginx gives it
/// (`lingering_timeout`).
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// The least that is read of an upload that was answered. The time is limited, too, so this ends only uploads that are
/// sent faster than 70 Mbit/s; reading and forgetting costs less than any other use of a connection.
const DISCARD_MIN_BYTES: u64 = 1024 * 1024 * 1024;
/// How long uploads that were answered are still read when the server drains: enough for what is on its way.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How much of an upload that was answered is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiscardBounds {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl DiscardBounds {
    /// Room for a body that is twice as large as the largest that is accepted. The time is what an idle connection has.
    pub(crate) fn of(config: &Config) -> Self {
        let accepted = config.upstreams.iter().map(|upstream| upstream.max_body_size).max().unwrap_or_default();
        let bytes = accepted.saturating_mul(2).max(DISCARD_MIN_BYTES);
        Self { bytes, time: config.limits.idle_timeout }
    }

    /// Reads and forgets a body to its end, to the bounds, or until nothing has come for a while.
    async fn read(self, mut body: impl Body<Data = Bytes> + Unpin) {
        let all = async {
            let mut left = self.bytes;
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE_LIMIT, body.frame()).await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
                if left == 0 {
                    return;
                }
            }
        };
        // Past the time the connection is closed, whether or not the client has seen the answer.
        let _past_limit = tokio::time::timeout(self.time, all).await;
    }
}

/// What reads an upload on after it was dropped.
pub(crate) struct Discard {
    pub(crate) bounds: DiscardBounds,
    pub(crate) tasks: Tasks,
    pub(crate) draining: CancellationToken,
    /// Kept until the upload is over: tells the connection that what arrives is no new request.
    pub(crate) _open: Box<dyn Send + Sync>,
}

impl Discard {
    /// Reads and forgets the rest of a body in a task of its own.
    pub(super) fn start(self, rest: impl Body<Data = Bytes> + Send + Unpin + 'static) {
        let tasks = self.tasks.clone();
        tasks.try_spawn(self.run(rest));
    }

    async fn run(self, rest: impl Body<Data = Bytes> + Unpin) {
        tokio::select! {
            () = self.bounds.read(rest) => {}
            () = drained(&self.draining) => {}
        }
    }
}

impl fmt::Debug for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discard").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// Returns a moment after the server has begun to drain.
async fn drained(draining: &CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(DRAIN_LIMIT).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{Stream, StreamExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::time::Instant;

    use super::*;

    const BOUNDS: DiscardBounds = DiscardBounds { bytes: 1000, time: Duration::from_mins(1) };

    type Piece = Result<Frame<Bytes>, Infallible>;

    /// Pieces of 100 bytes, with this pause before each.
    fn pieces(pause: Duration) -> impl Stream<Item = Piece> {
        stream::repeat(()).then(move |()| async move {
            tokio::time::sleep(pause).await;
            Ok(Frame::data(Bytes::from_static(&[b'x'; 100])))
        })
    }

    /// How long a body of these pieces is read, and how many of them.
    async fn read(pieces: impl Stream<Item = Piece>) -> (Duration, usize) {
        let (began, mut count) = (Instant::now(), 0);
        BOUNDS.read(StreamBody::new(Box::pin(pieces.inspect(|_| count += 1)))).await;
        (began.elapsed(), count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_read_to_its_end() {
        let (second, more) = (Duration::from_secs(1), Duration::from_millis(4900));
        assert_eq!(read(pieces(second).take(3)).await, (second * 3, 3));
        assert_eq!(read(pieces(more).take(9)).await, (more * 9, 9), "however slow it is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_read_no_further_than_its_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(read(pieces(second)).await, (second * 10, 10), "1000 bytes");
        assert_eq!(
            read(pieces(Duration::from_millis(4900)).map(|_| Ok(Frame::data(Bytes::new())))).await.0,
            BOUNDS.time
        );
        assert_eq!(read(pieces(second).take(2).chain(stream::pending())).await, (second * 7, 2), "5 s of silence");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_left_when_the_server_drains() {
        let draining = CancellationToken::new();
        let discard =
            Discard { bounds: BOUNDS, tasks: Tasks::default(), draining: draining.clone(), _open: Box::new(()) };
        let began = Instant::now();
        let drain = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            draining.cancel();
        };
        let body = StreamBody::new(Box::pin(pieces(Duration::from_millis(700))));
        let ((), ()) = tokio::join!(discard.run(body), drain);
        assert_eq!(began.elapsed(), Duration::from_secs(3) + DRAIN_LIMIT);
    }
}
