//! Which paths of an upstream are queued.

use super::Patterns;
use crate::path;

/// Which paths of an upstream are queued, by patterns on the percent-decoded path.
#[derive(Clone, Debug)]
pub struct PathFilter {
    /// What a match means.
    pub mode: FilterMode,
    pub(super) patterns: Patterns,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterMode {
    /// It bypasses the queue.
    Blacklist,
    /// It is queued, and everything else bypasses the queue.
    Whitelist,
}

impl PathFilter {
    /// A filter with these patterns.
    #[must_use]
    pub fn new(mode: FilterMode, patterns: Patterns) -> Self {
        Self { mode, patterns }
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.written()
    }

    /// Whether a request with this raw path bypasses the queue.
    #[must_use]
    pub fn bypasses(&self, raw_path: &str) -> bool {
        if self.patterns.is_empty() && self.mode == FilterMode::Blacklist {
            return false;
        }
        let matches = self.patterns.match_path(&path::decode(raw_path));
        match self.mode {
            FilterMode::Blacklist => matches,
            FilterMode::Whitelist => !matches,
        }
    }
}

impl Default for PathFilter {
    fn default() -> Self {
        Self { mode: FilterMode::Blacklist, patterns: Patterns::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(mode: FilterMode, pattern: &str) -> PathFilter {
        PathFilter::new(mode, Patterns::new(&[pattern.to_owned()]).unwrap())
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
    fn patterns_see_the_decoded_path() {
        let umlaut = filter(FilterMode::Blacklist, "^/x/[äöü]$");
        assert!(umlaut.bypasses("/x/%C3%A4") && umlaut.bypasses("/%78/%c3%bc"));
        assert!(!umlaut.bypasses("/x/a") && !umlaut.bypasses("/x/%25C3%25A4"));
        assert!(filter(FilterMode::Blacklist, "^/x/.$").bypasses("/x/%FF"));
    }
}
