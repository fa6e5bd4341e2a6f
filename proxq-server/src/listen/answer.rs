//! An answer on its way to the client: its end is the end of its request.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::watchdog::Busy;

/// An answer's body, which keeps its connection busy while it is sent.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    body: B,
    busy: Busy,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: B, mut busy: Busy) -> Self {
        busy.answered();
        Self { body, busy }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.busy.asked();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.busy.gave();
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
