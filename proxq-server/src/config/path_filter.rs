//! Which paths of an upstream are queued.

use regex::bytes::RegexSet;

use crate::path;

/// Which paths of an upstream are queued, by patterns on the percent-decoded path.
#[derive(Clone, Debug)]
pub struct PathFilter {
    /// What a match means.
    pub mode: FilterMode,
    patterns: RegexSet,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterMode {
    /// It bypasses the queue.
    Blacklist,
    /// It is queued, and everything else bypasses the queue.
    Whitelist,
}

/// Makes classes such as `\w` ASCII ones, and lets patterns match bytes that are not UTF-8.
const ASCII: &str = "(?-u)";

impl PathFilter {
    /// A filter with these patterns, in RE2's notation: on bytes, with ASCII classes, in linear time.
    ///
    /// # Errors
    /// What is wrong with the first bad pattern.
    pub fn new(mode: FilterMode, patterns: &[String]) -> Result<Self, regex::Error> {
        let ascii = patterns.iter().map(|pattern| format!("{ASCII}{pattern}"));
        Ok(Self { mode, patterns: RegexSet::new(ascii)? })
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.patterns().iter().map(|pattern| pattern.strip_prefix(ASCII).unwrap_or(pattern))
    }

    /// Whether a request with this raw path bypasses the queue.
    #[must_use]
    pub fn bypasses(&self, raw_path: &str) -> bool {
        if self.patterns.is_empty() && self.mode == FilterMode::Blacklist {
            return false;
        }
        let matches = self.patterns.is_match(&path::decode(raw_path));
        match self.mode {
            FilterMode::Blacklist => matches,
            FilterMode::Whitelist => !matches,
        }
    }
}

impl Default for PathFilter {
    fn default() -> Self {
        Self { mode: FilterMode::Blacklist, patterns: RegexSet::empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(mode: FilterMode, pattern: &str) -> PathFilter {
        PathFilter::new(mode, &[pattern.to_owned()]).unwrap()
    }

    #[test]
    fn a_blacklist_names_what_bypasses_and_a_whitelist_what_is_queued() {
        let health = filter(FilterMode::Blacklist, "^/api/health");
        assert!(health.bypasses("/api/health") && health.bypasses("/api/he%61lth/x"));
        assert!(!health.bypasses("/api/reports"));
        let reports = filter(FilterMode::Whitelist, "^/api/reports$");
        assert!(!reports.bypasses("/api/reports"));
        assert!(reports.bypasses("/api/health"));
        assert!(!PathFilter::default().bypasses("/"));
    }

    #[test]
    fn patterns_see_bytes_and_ascii_classes() {
        assert!(filter(FilterMode::Blacklist, r"^/\w+$").bypasses("/abc"));
        assert!(!filter(FilterMode::Blacklist, r"^/\w+$").bypasses("/%C3%A4"));
        assert!(filter(FilterMode::Blacklist, "^/\u{e4}$").bypasses("/%C3%A4"));
        assert!(filter(FilterMode::Blacklist, r"^/\xff$").bypasses("/%FF"));
        assert!(PathFilter::new(FilterMode::Blacklist, &["(".to_owned()]).is_err());
    }
}
