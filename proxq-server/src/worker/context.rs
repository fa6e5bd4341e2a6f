//! What attempts are made with, and what a reload replaces.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Span;

use crate::cache::ResponseCache;
use crate::config::{Config, Upstream};
use crate::forward::Forwarder;
use crate::job::{JobRequest, QueueName, RetryPolicy};
use crate::traces::Traces;

/// What attempts are made with. A running attempt keeps what it began with when a reload replaces it.
#[derive(Debug)]
pub(crate) struct AttemptContext {
    pub(crate) config: Arc<Config>,
    pub(crate) forwarder: Forwarder,
    pub(crate) cache: Option<Arc<ResponseCache>>,
    /// The same in all configurations.
    pub(crate) traces: Option<Arc<Traces>>,
    /// Upstreams that reloads have removed, latest first: their jobs go on as if they were there.
    pub(crate) former: Vec<Upstream>,
}

impl AttemptContext {
    /// The upstream with this prefix, or the one that had it last.
    pub(super) fn upstream(&self, prefix: &str) -> Option<&Upstream> {
        let former = || self.former.iter().find(|upstream| upstream.prefix.as_str() == prefix);
        self.config.upstream(prefix).or_else(former)
    }

    /// How often jobs of this upstream are retried; never where it is unknown.
    pub(super) fn retry_policy(&self, prefix: &str) -> RetryPolicy {
        self.upstream(prefix).map_or(RetryPolicy::NONE, |upstream| upstream.retries)
    }
}

/// An attempt at a job: what is sent, and with what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) context: &'a AttemptContext,
    /// Where the job is, and a large response goes.
    pub(super) queue: &'a QueueName,
    pub(super) request: &'a JobRequest,
    /// Counted from 1.
    pub(super) number: u32,
    /// When the job's deadline ends it.
    pub(super) deadline: Option<Instant>,
}

/// The span of an attempt in the log: its lines say of which job and which attempt they are. It has the highest level, so
/// that every filter which lets a line through lets the span through, too.
pub(super) fn span(request: &JobRequest, attempt: u32) -> Span {
    tracing::error_span!("attempt", job.id = %request.id, attempt, upstream = request.upstream.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_lines::LogLines;

    #[test]
    fn a_line_within_an_attempt_says_which_one_it_is_at_every_level_of_the_log() {
        for level in [tracing::Level::ERROR, tracing::Level::TRACE] {
            let lines = LogLines::default();
            let writer = lines.clone();
            let log = tracing_subscriber::fmt().with_ansi(false).with_max_level(level);
            let request = JobRequest::sample();
            tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), || {
                span(&request, 3).in_scope(|| tracing::error!("a line"));
            });
            let line = lines.text();
            for field in [format!("job.id={}", request.id), "attempt=3".to_owned(), "upstream=\"/api\"".to_owned()] {
                assert!(line.contains(&field), "{line}");
            }
        }
    }
}
