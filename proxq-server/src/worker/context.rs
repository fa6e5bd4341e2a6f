//! What attempts are made with, and what a reload replaces.

use std::sync::Arc;

use crate::cache::ResponseCache;
use crate::config::{Config, Upstream};
use crate::forward::Forwarder;
use crate::job::RetryPolicy;

/// What attempts are made with. A running attempt keeps what it began with when a reload replaces it.
#[derive(Debug)]
pub(crate) struct AttemptContext {
    pub(crate) config: Arc<Config>,
    pub(crate) forwarder: Forwarder,
    pub(crate) cache: Option<Arc<ResponseCache>>,
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
