//! An answer on its way to the client: its end is the end of its request.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::watchdog::Busy;

/// An answer's body, which keeps its connection busy while it is sent.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    body: B,
    busy: Busy,
    version: Version,
}

impl<B> AnswerBody<B> {
    /// `version` is the client's: to one of HTTP/1.0 the end of the connection is the end of a body without a length.
    pub(super) fn new(body: B, mut busy: Busy, version: Version) -> Self {
        busy.note_answered();
        Self { body, busy, version }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.busy.note_more_asked();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.busy.note_piece_given();
        }
        if matches!(polled, Poll::Ready(Some(Err(_)))) && self.version <= Version::HTTP_10 {
            self.busy.note_broken();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
