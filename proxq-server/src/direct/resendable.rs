//! A client's body that can be sent a second time: what was sent of it is kept while that is little.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::client_body::ClientBody;
use crate::forward::{BodyError, RequestBody};
use crate::lock::lock;

/// How much of a body is kept. Each direct request may cost that much memory, and bodies for which a new connection would
/// take longer than the body itself are smaller.
pub(super) const KEPT_MAX: usize = 64 * 1024;

/// Such a body. Dropped, it leaves the body to the connection that sends it.
pub(super) struct Resendable {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    body: ClientBody,
    /// What was sent of it; `None` once that was too much.
    sent: Option<Sent>,
    /// How often it was begun.
    begun: u32,
}

#[derive(Debug, Default)]
struct Sent {
    data: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Sent {
    /// Adds a frame, if it is not too much.
    fn and(mut self, frame: &Frame<Bytes>) -> Option<Self> {
        if let Some(data) = frame.data_ref() {
            if data.len() > KEPT_MAX - self.data.len() {
                return None;
            }
            self.data.extend_from_slice(data);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        Some(self)
    }
}

impl Resendable {
    pub(super) fn new(body: ClientBody) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { body, sent: Some(Sent::default()), begun: 0 })) }
    }

    /// The body from its beginning, and from then on no other of them; `None` if that cannot be had any more.
    pub(super) fn begin(&self) -> Option<RequestBody> {
        let mut shared = lock(&self.shared);
        if shared.body.progress().is_broken() {
            return None;
        }
        let sent = shared.sent.as_ref()?;
        let (data, trailers) = (Bytes::copy_from_slice(&sent.data), sent.trailers.clone());
        shared.begun += 1;
        let number = shared.begun;
        drop(shared);
        let first = Some(data).filter(|data| !data.is_empty());
        Some(Sending { shared: Arc::clone(&self.shared), number, first, trailers }.boxed_unsync())
    }
}

/// The body on its way to one connection.
struct Sending {
    shared: Arc<Mutex<Shared>>,
    /// Which beginning of the body this is.
    number: u32,
    /// What was sent to an earlier connection, and comes first.
    first: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(data) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let shared = &mut *lock(&self.shared);
        if shared.begun != self.number {
            return Poll::Ready(Some(Err(io::Error::other("the body goes to another connection").into())));
        }
        let polled = Pin::new(&mut shared.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            shared.sent = shared.sent.take().and_then(|sent| sent.and(frame));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.trailers.is_none() && lock(&self.shared).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = lock(&self.shared).body.size_hint();
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + first);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + first);
        }
        hint
    }
}
