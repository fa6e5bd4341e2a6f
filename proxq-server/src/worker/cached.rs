//! An attempt by way of the response cache: answered from there, or by the upstream.

use bytes::Bytes;
use http::header::AGE;
use http::{HeaderName, HeaderValue};
use proxq_protocol::header::CACHE_STATUS;

use super::Worker;
use super::attempt::{Attempted, Told};
use super::context::Attempt;
use super::response_blob::{finish, write};
use super::time_limit::TimeLimit;
use crate::cache::{Asked, Cached, Found, Miss, ResponseCache};
use crate::config::KeyExclusions;
use crate::job::{AttemptEnd, Body, JobRequest, QueueName, Reach, StoredResponse};
use crate::store::BlobWriter;

/// What caches on the way did, in the order from the upstream to the client (RFC 9211).
const STANDARD_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How many bytes of a large response one step copies from the cache to a blob.
const PIECE_BYTES: usize = 256 * 1024;

impl Worker {
    /// Makes an attempt. Dropped, it breaks off whatever was begun.
    pub(super) async fn attempt(&self, attempt: Attempt<'_>, body: Body) -> Attempted {
        let mut limit = TimeLimit::of(attempt);
        match &attempt.context.cache {
            None => self.call(attempt, body, &mut limit).await,
            Some(cache) => self.attempt_with(cache, attempt, body, limit).await,
        }
    }

    async fn attempt_with(
        &self,
        cache: &ResponseCache,
        attempt: Attempt<'_>,
        body: Body,
        mut limit: TimeLimit<'_>,
    ) -> Attempted {
        let Attempt { context, request, .. } = attempt;
        let usual = KeyExclusions::default();
        let exclusions = context.upstream(&request.upstream).map_or(&usual, |own| &own.cache_key_exclusions);
        let looked = self.look_up(cache, request, &body, exclusions, &mut limit).await;
        let (mut attempted, cache_result, status) = match looked {
            Ok((Found::Hit(response), waited)) => {
                self.gates.metrics_of(&request.upstream).cache_hits.inc();
                let (age, status) = (response.age.as_secs(), hit_status(&response, waited));
                let span = context.traces.as_ref();
                let span = span.map(|traces| traces.cache_hit(request, attempt.queue, attempt.number));
                let mut attempted = self.replay(attempt, response).await;
                (attempted.told, attempted.span) = (Told::Nothing, span);
                if let AttemptEnd::Responded(response) = &mut attempted.end {
                    response.head.headers.insert(AGE, HeaderValue::from(age));
                }
                (attempted, "HIT", status)
            }
            Ok((Found::Miss(miss), _)) => {
                self.gates.metrics_of(&request.upstream).cache_misses.inc();
                let passes_by = matches!(miss, Miss::PassesBy);
                let attempted = self.call(attempt, body, &mut limit).await;
                // Without a response the miss is dropped here, and those who wait for it go on.
                let kept = if let AttemptEnd::Responded(response) = &attempted.end {
                    cache.keep(miss, response, exclusions, &*self.store).await
                } else {
                    false
                };
                (attempted, "MISS", miss_status(passes_by, kept).to_owned())
            }
            Err(end) => return end.into(),
        };
        if let AttemptEnd::Responded(response) = &mut attempted.end {
            let headers = &mut response.head.headers;
            headers.insert(CACHE_STATUS, HeaderValue::from_static(cache_result));
            headers.append(STANDARD_STATUS, HeaderValue::try_from(status).expect("words and a number"));
        }
        attempted
    }

    /// Asks the cache. Where an equal request is under way, waits for its response, within the attempt's time, and says
    /// that it did. The upstream sees nothing of it.
    async fn look_up(
        &self,
        cache: &ResponseCache,
        request: &JobRequest,
        body: &Body,
        exclusions: &KeyExclusions,
        limit: &mut TimeLimit<'_>,
    ) -> Result<(Found, bool), AttemptEnd> {
        let waiting = match cache.ask(request, body, exclusions).await {
            Asked::Found(found) => return Ok((found, false)),
            Asked::UnderWay(waiting) => waiting,
        };
        let within = limit.limit();
        tokio::select! {
            biased;
            found = limit.wait(cache.landed(waiting)) => found.map(|found| (found, true)).map_err(|_timeout| AttemptEnd::Broke {
                reach: Reach::NotSent,
                error: format!("wait for the response to an equal request: none came within {within:?}"),
            }),
            () = self.stop.abort.cancelled() => Err(AttemptEnd::Aborted { reach: Reach::NotSent }),
        }
    }

    /// Puts a response of the cache where one of an upstream would be.
    async fn replay(&self, attempt: Attempt<'_>, Cached { head, body, .. }: Cached) -> Attempted {
        if body.len() as u64 <= attempt.context.config.inline_body_limit {
            return Attempted::responded(StoredResponse { head, body: Body::Inline(body) }, None);
        }
        tokio::select! {
            biased;
            (body, blob) = self.to_blob(attempt.queue, body) => {
                Attempted::responded(StoredResponse { head, body }, Some(blob))
            }
            () = self.stop.abort.cancelled() => AttemptEnd::Aborted { reach: Reach::NotSent }.into(),
        }
    }

    async fn to_blob(&self, queue: &QueueName, mut bytes: Bytes) -> (Body, Box<dyn BlobWriter>) {
        let mut blob = self.new_blob(queue).await;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            write(&mut *blob, piece).await;
        }
        (Body::Blob(finish(&mut *blob).await), blob)
    }
}

/// `Cache-Status` of a response that was kept, maybe by an equal request that was waited for.
fn hit_status(response: &Cached, waited: bool) -> String {
    let collapsed = if waited { "; collapsed" } else { "" };
    format!("proxq; hit; ttl={}{collapsed}", response.left.as_secs())
}

/// `Cache-Status` of a response of the upstream.
fn miss_status(passes_by: bool, kept: bool) -> &'static str {
    match (passes_by, kept) {
        (true, _) => "proxq; fwd=bypass",
        (false, true) => "proxq; fwd=uri-miss; stored",
        (false, false) => "proxq; fwd=uri-miss",
    }
}
