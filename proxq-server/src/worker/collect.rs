//! A response's body on its way from the upstream: into memory while it is small, into a blob if it is large.

use bytes::{Bytes, BytesMut};
use http::{Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Worker;
use super::context::Attempt;
use super::response_blob::{finish, write};
use super::time_limit::TimeLimit;
use crate::forward::{ForwardError, body_end, target};
use crate::job::Body;
use crate::store::BlobWriter;

/// Why a body was not collected.
pub(super) enum CollectError {
    /// It did not come whole, or not in time.
    Forward(ForwardError),
    /// It is longer than `maxResponseSize`.
    TooLarge,
}

impl Worker {
    /// Reads a response's body. `promised` is its length where the head says it.
    pub(super) async fn collect(
        &self,
        attempt: Attempt<'_>,
        mut body: Incoming,
        version: Version,
        promised: Option<u64>,
        limit: &mut TimeLimit<'_>,
    ) -> Result<(Body, Option<Box<dyn BlobWriter>>), CollectError> {
        let (config, target) = (&attempt.context.config, &attempt.request.target);
        let inline_limit = config.inline_body_limit;
        let mut small = BytesMut::new();
        let mut large: Option<Box<dyn BlobWriter>> = None;
        let mut received: u64 = 0;
        if promised.is_some_and(|length| length > inline_limit) {
            large = Some(self.new_blob(attempt.queue).await);
        }
        while let Some(chunk) = next_chunk(&mut body, version, target, limit).await.map_err(CollectError::Forward)? {
            received += chunk.len() as u64;
            if received > config.max_response_size {
                return Err(CollectError::TooLarge);
            }
            if large.is_none() && received > inline_limit {
                let mut blob = self.new_blob(attempt.queue).await;
                write(&mut *blob, std::mem::take(&mut small).freeze()).await;
                large = Some(blob);
            }
            match &mut large {
                Some(blob) => write(&mut **blob, chunk).await,
                None => small.extend_from_slice(&chunk),
            }
        }
        match large {
            None => Ok((Body::Inline(small.freeze()), None)),
            Some(mut blob) => Ok((Body::Blob(finish(&mut *blob).await), Some(blob))),
        }
    }
}

/// The next piece of a response's body; `None` at its end.
async fn next_chunk(
    body: &mut Incoming,
    version: Version,
    target: &Uri,
    limit: &mut TimeLimit<'_>,
) -> Result<Option<Bytes>, ForwardError> {
    loop {
        match limit.wait(body.frame()).await? {
            None => {
                let complete = body_end::check(body, version).map(|()| None);
                return complete.map_err(|source| ForwardError::CutShort { origin: target::origin(target), source });
            }
            Some(Ok(frame)) => {
                // Trailers are fields of one transfer; a stored response has none.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(source)) => return Err(ForwardError::Body { origin: target::origin(target), source }),
        }
    }
}
