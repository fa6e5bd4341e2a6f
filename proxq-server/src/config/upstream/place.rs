//! Which requests go to an upstream, by the prefix of their path, and where it is.

use std::fmt;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::path::{self, BadPath};

/// A path prefix, compared by whole percent-decoded segments. `/` has none and contains every path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    text: String,
    segments: Vec<Vec<u8>>,
}

impl Prefix {
    /// `/`, which contains every path.
    #[must_use]
    pub fn root() -> Self {
        Self { text: "/".to_owned(), segments: Vec::new() }
    }

    /// Reads a prefix: it starts with `/`; a `/` at its end is ignored.
    ///
    /// # Errors
    /// What is wrong with the text, as a fragment.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("must start with /");
        }
        if text.contains(['?', '#']) {
            return Err("must be a path, without query or fragment");
        }
        path::check(text).map_err(BadPath::forbidden)?;
        let text = match text.strip_suffix('/') {
            Some(trimmed) if !trimmed.is_empty() => trimmed,
            _ => text,
        };
        let segments: Vec<_> = path::segments(text).map(std::borrow::Cow::into_owned).collect();
        if segments.iter().any(Vec::is_empty) {
            return Err("must not have an empty segment (//)");
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// The prefix as written, without a `/` at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, percent-decoded.
    pub(super) fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().map(Vec::as_slice)
    }

    /// How many segments it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.segments.len()
    }

    /// Whether a raw path equals it or continues it with `/`.
    #[must_use]
    pub fn matches(&self, raw_path: &str) -> bool {
        let mut given = path::segments(raw_path);
        self.segments.iter().all(|own| given.next().is_some_and(|segment| *segment == own[..]))
    }

    /// Whether every path that `other` matches is matched by this prefix, too.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.segments.starts_with(&self.segments)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Where an upstream is: scheme, host, port and base path, kept apart so that nothing in a request can change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    scheme: Scheme,
    authority: Authority,
    base_path: String,
}

impl UpstreamUrl {
    /// Reads `http://host:port/base` or its `https` form, without userinfo, query and fragment.
    ///
    /// # Errors
    /// What is wrong with the text, as a fragment.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err("must not have a fragment");
        }
        let uri: Uri = text.parse().map_err(|_| "is not a URL; write one like http://127.0.0.1:3000")?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or("has no scheme; write http://… or https://…")?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err("has a scheme that is neither http nor https");
        }
        let authority = parts.authority.ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("must not have userinfo (user:password@)");
        }
        if authority.host().is_empty() {
            return Err("has no host");
        }
        let port_text = &authority.as_str()[authority.host().len()..];
        if !port_text.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err("has a port that is not a number from 1 to 65535");
        }
        let base = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if base.query().is_some() {
            return Err("must not have a query");
        }
        path::check(base.path()).map_err(BadPath::forbidden)?;
        let base_path = base.path().strip_suffix('/').unwrap_or(base.path()).to_owned();
        Ok(Self { scheme, authority, base_path })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port as written.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The path without a `/` at its end; empty for the root.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.base_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_decoded_segments() {
        let api = Prefix::new("/api/").unwrap();
        assert_eq!(api.as_str(), "/api");
        for own in ["/api", "/api/", "/api/x", "/ap%69/x", "/api//x"] {
            assert!(api.matches(own), "{own}");
        }
        for other in ["/", "/api2", "/api%2Fx", "/API", "/x/api", "", "*"] {
            assert!(!api.matches(other), "{other}");
        }
        assert!(Prefix::new("/").unwrap().matches("/anything"));
    }

    #[test]
    fn prefixes_contain_each_other_by_segments() {
        let prefix = |text| Prefix::new(text).unwrap();
        assert!(prefix("/api").contains(&prefix("/api/v2")));
        assert!(prefix("/api").contains(&prefix("/%61pi")));
        assert!(prefix("/").contains(&prefix("/api")));
        assert!(!prefix("/api").contains(&prefix("/api2")));
    }

    #[test]
    fn bad_prefixes_and_urls_are_refused() {
        for bad in ["", "api", "/a?b", "/a#b", "/a/../b", "/a//b", "/a%00", "/%c0%ae"] {
            assert!(Prefix::new(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "localhost:3000",
            "ftp://host",
            "http://",
            "http:///x",
            "http://user:pass@host",
            "http://host:99999",
            "http://host:0",
            "http://host:",
            "http://host/x?y=1",
            "http://host/x#y",
            "http://host/../x",
            "http://host/%00",
            "http://host/%c0%af",
        ] {
            assert!(UpstreamUrl::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_loses_only_the_slash_at_its_end() {
        for (text, shown) in [
            ("http://api:3000", "http://api:3000"),
            ("http://api:3000/", "http://api:3000"),
            ("https://api/v2/%20/", "https://api/v2/%20"),
            ("http://[::1]:3000/x", "http://[::1]:3000/x"),
        ] {
            assert_eq!(UpstreamUrl::new(text).unwrap().to_string(), shown);
        }
    }
}
