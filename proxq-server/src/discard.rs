//! The rest of a request's body after it was answered without it: read and forgotten within limits, so that its client
//! sees the answer (RFC 9112 §9.6).

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

/// How much of a body is read after an answer was given without it.
pub(crate) const DISCARD_LIMIT_BYTES: u64 = 1024 * 1024;
/// How long such reading may take.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

/// Reads and forgets what is left of a body, within limits.
pub(crate) async fn discard(mut body: Incoming) {
    let all = async {
        let mut left = DISCARD_LIMIT_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len) as u64);
            if left == 0 {
                return;
            }
        }
    };
    // Past the limit the connection is closed, whether or not the client has seen the answer.
    let _past_limit = tokio::time::timeout(DISCARD_LIMIT, all).await;
}
