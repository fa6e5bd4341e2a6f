//! Whether and where upstreams' responses are kept for equal requests, and what makes requests equal.

use std::fmt;
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
    patterns: Vec<HeaderPattern>,
}

/// What differs from one request to the next whatever is asked for.
const USUAL: [&str; 4] = ["x-request-id", "x-forwarded-for", "x-real-ip", "x-forwarded-proto"];

impl KeyExclusions {
    /// These and no others; the usual ones where there are none.
    #[must_use]
    pub fn of(mut patterns: Vec<HeaderPattern>) -> Self {
        if patterns.is_empty() {
            return Self::default();
        }
        patterns.sort();
        patterns.dedup();
        Self { patterns }
    }

    /// All of them, in alphabetical order.
    #[must_use]
    pub fn patterns(&self) -> &[HeaderPattern] {
        &self.patterns
    }

    /// Whether a header is one of them.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl Default for KeyExclusions {
    fn default() -> Self {
        Self::of(USUAL.map(|name| HeaderPattern { start: name.to_owned(), is_prefix: false }).to_vec())
    }
}

/// The name of a header, or with a `*` at its end the beginning of names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderPattern {
    /// In lower case.
    start: String,
    is_prefix: bool,
}

impl HeaderPattern {
    /// Reads `x-name` or `x-beginning-*`.
    ///
    /// # Errors
    /// What is wrong with the text, as a fragment.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let (start, is_prefix) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        if start.is_empty() && is_prefix {
            return Err("would be every header; write the beginning of their names before the *");
        }
        let start = HeaderName::from_bytes(start.as_bytes()).map_err(|_| "is not the name of a header")?;
        Ok(Self { start: start.as_str().to_owned(), is_prefix })
    }

    /// Whether a header has this name, or a name that begins so.
    #[must_use]
    pub fn matches(&self, name: &HeaderName) -> bool {
        if self.is_prefix { name.as_str().starts_with(&self.start) } else { name.as_str() == self.start }
    }
}

impl fmt::Display for HeaderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        let matches = |pattern: &str, name: &'static str| {
            HeaderPattern::new(pattern).unwrap().matches(&HeaderName::from_static(name))
        };
        assert!(matches("X-A", "x-a") && !matches("x-a", "x-ab") && !matches("x-a", "x"));
        assert!(matches("X-Datadog-*", "x-datadog-trace-id") && !matches("x-datadog-*", "x-datadog"));
        for bad in ["", "*", "x a", "ä*", "x:*"] {
            assert!(HeaderPattern::new(bad).is_err(), "{bad}");
        }
        assert_eq!(HeaderPattern::new("X-A*").unwrap().to_string(), "x-a*");
    }
}
