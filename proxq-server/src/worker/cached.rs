//! An attempt by way of the response cache: answered from there, or by the upstream.

use bytes::Bytes;
use http::HeaderValue;
use proxq_protocol::header::CACHE_STATUS;

use super::attempt::{Attempted, Patience, finish, write};
use super::{Means, Worker};
use crate::cache::{Asked, Cached, Found, ResponseCache};
use crate::config::KeyExclusions;
use crate::job::{AttemptEnd, Body, JobRequest, Reach, StoredResponse};
use crate::store::BlobWriter;

/// In pieces of how many bytes a large response is taken from the cache to a blob.
const PIECE_BYTES: usize = 256 * 1024;

impl Worker {
    /// Makes the attempt with this number. Dropped, it breaks off whatever was begun.
    pub(super) async fn attempt(&self, means: &Means, request: &JobRequest, body: Body, attempt: u32) -> Attempted {
        let mut patience = Patience::of(request);
        match &means.cache {
            None => self.call(means, request, body, attempt, &mut patience).await,
            Some(cache) => self.attempt_with(means, cache, request, body, attempt, patience).await,
        }
    }

    async fn attempt_with(
        &self,
        means: &Means,
        cache: &ResponseCache,
        request: &JobRequest,
        body: Body,
        attempt: u32,
        mut patience: Patience<'_>,
    ) -> Attempted {
        let (mut attempted, status) = match self.look_up(means, cache, request, &body, &mut patience).await {
            Ok(Found::Hit(response)) => (self.replay(means, response).await, "HIT"),
            Ok(Found::Miss(miss)) => {
                let attempted = self.call(means, request, body, attempt, &mut patience).await;
                // Without a response the miss ends here, and whoever waits for it goes on.
                if let AttemptEnd::Responded(response) = &attempted.end {
                    cache.keep(miss, response, &*self.store).await;
                }
                (attempted, "MISS")
            }
            Err(end) => return end.into(),
        };
        if let AttemptEnd::Responded(response) = &mut attempted.end {
            response.head.headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
        }
        attempted
    }

    /// Asks the cache, and waits in the attempt's time for an equal request that is on its way. The upstream sees nothing
    /// of it.
    async fn look_up(
        &self,
        means: &Means,
        cache: &ResponseCache,
        request: &JobRequest,
        body: &Body,
        patience: &mut Patience<'_>,
    ) -> Result<Found, AttemptEnd> {
        let usual = KeyExclusions::default();
        let exclusions = means.upstream(&request.upstream).map_or(&usual, |own| &own.cache_key_exclusions);
        let waiting = match cache.ask(request, body, exclusions).await {
            Asked::Found(found) => return Ok(found),
            Asked::UnderWay(waiting) => waiting,
        };
        tokio::select! {
            biased;
            found = patience.wait(cache.landed(waiting)) => found.map_err(|_timeout| AttemptEnd::Broke {
                reach: Reach::NotSent,
                error: format!("wait for the response to an equal request: none came within {:?}", request.timeout),
            }),
            () = self.stop.abort.cancelled() => Err(AttemptEnd::Aborted { reach: Reach::NotSent }),
        }
    }

    /// Puts a response of the cache where one of an upstream would be.
    async fn replay(&self, means: &Means, Cached { head, body }: Cached) -> Attempted {
        if body.len() as u64 <= means.config.inline_body_limit {
            return AttemptEnd::Responded(StoredResponse { head, body: Body::Inline(body) }).into();
        }
        tokio::select! {
            biased;
            (body, blob) = self.to_blob(body) => {
                Attempted { end: AttemptEnd::Responded(StoredResponse { head, body }), blob: Some(blob) }
            }
            () = self.stop.abort.cancelled() => AttemptEnd::Aborted { reach: Reach::NotSent }.into(),
        }
    }

    async fn to_blob(&self, mut bytes: Bytes) -> (Body, Box<dyn BlobWriter>) {
        let mut blob = self.new_blob().await;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            write(&mut *blob, piece).await;
        }
        (Body::Blob(finish(&mut *blob).await), blob)
    }
}
