//! The check whether a body that has no more frames is complete.

use http::Version;
use http_body::Body;

/// A body that was cut off without an error.
#[derive(Debug, thiserror::Error)]
#[error("the stream was reset before its end")]
pub(crate) struct CutShort;

/// Tells a complete body from one that was cut off. Over HTTP/2 a stream may be reset with `NO_ERROR`, which the HTTP
/// library reports as an end. A server may do that once it has sent everything (RFC 9113 §8.1), but not in the middle.
///
/// To be called when there are no more frames.
pub(crate) fn check(body: &impl Body, version: Version) -> Result<(), CutShort> {
    let whole = body.is_end_stream() || body.size_hint().exact() == Some(0);
    if version == Version::HTTP_2 && !whole { Err(CutShort) } else { Ok(()) }
}
