//! An upstream's response body on its way to the client: each piece as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::failure::chain;
use crate::forward::headers::strip_response;

/// The body of an upstream's response. Where it breaks off, so does the client's connection.
#[derive(Debug)]
pub(super) struct UpstreamBody {
    body: Incoming,
}

impl UpstreamBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    strip_response(trailers);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "the upstream broke its response off");
                Some(Err(error))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
