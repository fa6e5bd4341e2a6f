//! A client's request body, independent of the connection that it comes from. Comes in: the body as the HTTP library, or
//! anything else, reads it. Goes out: its pieces, for whoever reads it.
//!
//! An upload that is dropped before its end is read on and forgotten within bounds (`upload/discard.rs`).

mod discard;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

pub(crate) use self::discard::{Discard, DiscardBounds};

/// The longest rest of an upload after which a connection is used again. Reading more costs more than a new connection,
/// so the answer says that the connection ends, and many clients then stop sending.
const KEEP_LIMIT_BYTES: u64 = 1024 * 1024;

/// Why an upload broke off.
pub(crate) type UploadError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body.
#[derive(Debug)]
pub(crate) struct Upload {
    /// `None` where the request has no body; costs no box then.
    body: Option<UnsyncBoxBody<Bytes, UploadError>>,
    version: Version,
    /// Whether the client sends the body only when asked to (`Expect: 100-continue`); reading asks.
    expects_continue: bool,
    /// Reads on if the upload is dropped. `None` once there is nothing left to read.
    discard: Option<Box<Discard>>,
}

impl Upload {
    /// The body of a request with this head. `discard` is asked for where there is a body at all.
    pub(crate) fn new<B>(head: &Parts, body: B, discard: impl FnOnce() -> Discard) -> Self
    where
        B: Body<Data = Bytes, Error: Into<UploadError>> + Send + 'static,
    {
        let is_empty = body.is_end_stream();
        Self {
            body: (!is_empty).then(|| UnsyncBoxBody::new(body.map_err(Into::into))),
            version: head.version,
            expects_continue: head.headers.contains_key(EXPECT),
            discard: (!is_empty).then(|| Box::new(discard())),
        }
    }

    /// The version of HTTP that its client speaks.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Answers the request and leaves the rest of the body unread. The answer says so where the connection ends with it:
    /// after a rest that is too large to be read for nothing, and where the client expects `100 Continue`, which it gets
    /// only from somebody who reads.
    pub(crate) fn answer_unread<B>(self, mut answer: Response<B>) -> Response<B> {
        let is_large = self.size_hint().lower() > KEEP_LIMIT_BYTES;
        if !self.is_end_stream() && (self.expects_continue || is_large) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        self.expects_continue = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.discard = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(body), Some(discard)) = (self.body.take(), self.discard.take()) else { return };
        if !self.expects_continue && !body.is_end_stream() {
            discard.start(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::{StreamExt, stream};
    use http::Request;
    use http_body_util::{Full, StreamBody};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::{Config, UpstreamUrl};
    use crate::tasks::Tasks;

    /// An upload of this body, and the task that reads it on.
    fn upload<B>(body: B, expects_continue: bool) -> (Upload, Tasks)
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let mut request = Request::new(());
        if expects_continue {
            request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        let config = Config::for_upstream(UpstreamUrl::new("http://upstream").unwrap());
        let tasks = Tasks::default();
        let discard = Discard {
            bounds: DiscardBounds::of(&config),
            tasks: tasks.clone(),
            draining: CancellationToken::new(),
            _open: Box::new(()),
        };
        (Upload::new(&request.into_parts().0, body, || discard), tasks)
    }

    fn closes(upload: Upload) -> bool {
        upload.answer_unread(Response::new(())).headers().contains_key(CONNECTION)
    }

    #[tokio::test]
    async fn an_early_answer_closes_the_connection_where_the_rest_is_large_or_not_asked_for() {
        let limit = usize::try_from(KEEP_LIMIT_BYTES).unwrap();
        for (bytes, expects_continue, expected) in [
            (0, false, false),
            (0, true, false),
            (1, false, false),
            (1, true, true),
            (limit, false, false),
            (limit + 1, false, true),
        ] {
            let (upload, _tasks) = upload(Full::new(Bytes::from(vec![b'x'; bytes])), expects_continue);
            assert_eq!(closes(upload), expected, "{bytes} {expects_continue}");
        }
    }

    #[tokio::test]
    async fn a_dropped_upload_is_read_on_unless_its_client_was_never_asked_for_it() {
        for (expects_continue, read_before, expected) in [(false, 0, 9), (true, 0, 0), (true, 1, 9)] {
            let read = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&read);
            let pieces = stream::iter(0..9).map(move |_| {
                count.fetch_add(1, SeqCst);
                Ok(Frame::data(Bytes::from_static(b"piece")))
            });
            let (mut upload, tasks) = upload(StreamBody::new(pieces), expects_continue);
            for _ in 0..read_before {
                upload.frame().await.unwrap().unwrap();
            }
            drop(upload);
            tasks.all_ended().await;
            assert_eq!(read.load(SeqCst), expected, "{expects_continue} {read_before}");
        }
    }
}
