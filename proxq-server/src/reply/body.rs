//! The body of an answer, wherever it comes from.

use std::error::Error;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Why a body ended before its end.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// No body.
pub(crate) fn empty() -> Body {
    relayed(Empty::new())
}

/// A body that is there as a whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    relayed(Full::new(bytes.into()))
}

/// A body that comes piece by piece.
pub(crate) fn stream<E: Into<BoxError> + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Body {
    relayed(StreamBody::new(pieces.map_ok(Frame::data)))
}

/// A body that comes from elsewhere, with its trailers.
pub(crate) fn relayed<E: Into<BoxError> + 'static>(
    body: impl http_body::Body<Data = Bytes, Error = E> + Send + 'static,
) -> Body {
    body.map_err(Into::into).boxed_unsync()
}
