//! An upstream's response body on its way to the client: each piece as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::failure::chain;
use crate::flow::Pass;
use crate::forward::headers::strip_response;
use crate::forward::{BodyError, body_end};
use crate::traces::ActiveSpan;

/// The body of an upstream's response. Where it breaks off, so does the client's connection.
#[derive(Debug)]
pub(super) struct UpstreamBody {
    body: Incoming,
    /// The version that the upstream spoke.
    version: Version,
    ended: bool,
    /// The attempt lasts as long as its response.
    _pass: Option<Pass>,
    /// So does its span, unless the connection is switched.
    span: Option<ActiveSpan>,
}

impl UpstreamBody {
    pub(super) fn new(body: Incoming, version: Version, pass: Option<Pass>, span: Option<ActiveSpan>) -> Self {
        Self { body, version, ended: false, _pass: pass, span }
    }
}

impl UpstreamBody {
    fn broke(&mut self, error: impl std::error::Error + Send + Sync + 'static) -> BodyError {
        tracing::warn!(error = chain(&error), "the upstream broke its response off");
        self.ended = true;
        if let Some(span) = &mut self.span {
            span.failed("broken");
        }
        error.into()
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    strip_response(trailers);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(self.broke(error))),
            None => {
                self.ended = true;
                body_end::check(&self.body, self.version).err().map(|error| Err(self.broke(error)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
