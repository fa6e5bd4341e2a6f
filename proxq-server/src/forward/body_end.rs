//! Whether a body that has no more frames was complete.

use http::Version;
use http_body::Body;

/// A body that was cut, and did not say so.
#[derive(Debug, thiserror::Error)]
#[error("the stream was reset before its end")]
pub(crate) struct CutShort;

/// Tells the end of a body from its being cut: over HTTP/2 a stream may be reset with `NO_ERROR`, which the HTTP library
/// passes off as an end. A server that has sent all it promised may do so (RFC 9113 §8.1), in the middle of it nobody may.
///
/// To be asked once there are no more frames.
pub(crate) fn check(body: &impl Body, version: Version) -> Result<(), CutShort> {
    let whole = body.is_end_stream() || body.size_hint().exact() == Some(0);
    if version == Version::HTTP_2 && !whole { Err(CutShort) } else { Ok(()) }
}
