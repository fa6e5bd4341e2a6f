//! Whether and where upstreams' responses are kept for equal requests, and what makes requests equal.

use std::time::Duration;

use http::HeaderName;

/// How responses are cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Where.
    pub mode: CacheMode,
    /// For how long.
    pub ttl: Duration,
    /// The most responses that are kept in memory.
    pub max_entries: u64,
    /// The most bytes that they take there.
    pub max_bytes: u64,
    /// What their keys in Redis begin with.
    pub redis_key_prefix: String,
}

/// Where responses are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Nowhere.
    None,
    /// In this process.
    Memory,
    /// In the Redis that keeps the jobs, for all instances.
    Redis,
}

impl CacheMode {
    /// The word for it in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Memory => "memory",
            Self::Redis => "redis",
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            mode: CacheMode::None,
            ttl: Duration::from_mins(5),
            max_entries: 10_000,
            max_bytes: 256 * 1024 * 1024,
            redis_key_prefix: "proxq:".to_owned(),
        }
    }
}

/// The headers of a request that do not count when it is compared with others, beside those that never do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExclusions {
    names: Vec<HeaderName>,
}

/// What differs from one request to the next whatever is asked for.
const USUAL: [&str; 4] = ["x-request-id", "x-forwarded-for", "x-real-ip", "x-forwarded-proto"];

impl KeyExclusions {
    /// These and no others; the usual ones where there are none.
    #[must_use]
    pub fn of(mut names: Vec<HeaderName>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self { names }
    }

    /// All names, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// Whether a header is one of them.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.names.contains(name)
    }
}

impl Default for KeyExclusions {
    fn default() -> Self {
        Self::of(USUAL.map(HeaderName::from_static).to_vec())
    }
}
