//! A job's changes as Server-Sent Events (WHATWG HTML §9.2): one event now, one for each change, the last for its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::view;
use crate::config::Config;
use crate::failure::chain;
use crate::flow::Gates;
use crate::job::JobId;
use crate::reply;
use crate::store::{JobLookup, StoreError};

/// How long a stream may be silent, so that nothing on the way takes it for dead.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// A comment, which readers of events ignore.
const COMMENT: Bytes = Bytes::from_static(b": the job has not changed\n\n");

/// A client that follows a job, and the last event that it got.
struct Follower {
    config: Arc<Config>,
    gates: Arc<Gates>,
    store: Arc<dyn JobLookup>,
    id: JobId,
    draining: CancellationToken,
    told: Option<Bytes>,
    comment_at: Instant,
    over: bool,
}

/// The events of a job. Ends after a final state, when the job is gone, and when the server begins to drain.
///
/// The stream advances only as it is read: a slow reader misses changes, and delays nobody.
pub(super) fn of_job(
    config: Arc<Config>,
    gates: Arc<Gates>,
    store: Arc<dyn JobLookup>,
    id: JobId,
    draining: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let comment_at = Instant::now() + COMMENT_EVERY;
    let follower = Follower { config, gates, store, id, draining, told: None, comment_at, over: false };
    stream::unfold(follower, |mut follower| async move {
        let next = follower.next().await?;
        follower.comment_at = Instant::now() + COMMENT_EVERY;
        Some((Ok(next), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<Bytes> {
        match self.look_until_changed().await {
            Ok(next) => next,
            Err(error) => {
                // Readers of events reconnect by themselves.
                tracing::warn!(job.id = %self.id, error = chain(&error), "follow a job");
                None
            }
        }
    }

    async fn look_until_changed(&mut self) -> Result<Option<Bytes>, StoreError> {
        while !self.over {
            // The watch begins before the read, so that a change after the read ends the watch.
            let change = self.store.watch(self.id).await?;
            let Some(job) = self.store.get(self.id).await? else { return Ok(None) };
            self.over = job.state.status().is_final();
            let info = view::job_info(&job, &self.config, &self.gates);
            let event = reply::status_event(&info);
            if self.told.as_ref() != Some(&event) {
                self.told = Some(event.clone());
                return Ok(Some(event));
            }
            tokio::select! {
                () = change => {}
                () = tokio::time::sleep_until(self.comment_at) => return Ok(Some(COMMENT)),
                () = self.draining.cancelled() => return Ok(None),
            }
        }
        Ok(None)
    }
}
