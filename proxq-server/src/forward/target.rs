//! The URL that a request is forwarded to, built from parsed parts: no request can change its scheme, host or port.

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use crate::config::UpstreamUrl;
use crate::default_port::default_port;

/// The upstream's URL with the rest of a request's path, byte for byte, and its query.
///
/// `None` if the result is not a request target (RFC 9112 §3.2.1); for an accepted request it always is.
pub(crate) fn target(upstream: &UpstreamUrl, stripped_path: &str, query: Option<&str>) -> Option<Uri> {
    let base = upstream.base_path();
    let mut text = String::with_capacity(base.len() + stripped_path.len() + query.map_or(0, str::len) + 2);
    text.push_str(base);
    if !stripped_path.starts_with('/') {
        text.push('/');
    }
    text.push_str(stripped_path);
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(upstream.scheme().clone());
    parts.authority = Some(upstream.authority().clone());
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).ok()?);
    Uri::from_parts(parts).ok()
}

/// Scheme, host and port of a target: the part that an error may show.
pub(crate) fn origin(target: &Uri) -> String {
    let authority = target.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", target.scheme_str().unwrap_or("http"))
}

/// The `Host` to send, if proxq has to set it. Over TLS the connection may speak HTTP/2, which has no `Host`, so there the
/// library sets the authority.
pub(crate) fn own_host(target: &Uri) -> Option<http::HeaderValue> {
    (target.scheme() == Some(&Scheme::HTTP)).then(|| host(target)).flatten()
}

/// The target's own name, without the scheme's default port (RFC 9110 §7.2).
pub(crate) fn host(target: &Uri) -> Option<http::HeaderValue> {
    let authority = target.authority()?;
    let host = match authority.port_u16() {
        Some(port) if port != default_port(target.scheme()) => authority.as_str(),
        _ => authority.host(),
    };
    http::HeaderValue::from_str(host).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(upstream: &str, path: &str, query: Option<&str>) -> String {
        target(&UpstreamUrl::new(upstream).unwrap(), path, query).unwrap().to_string()
    }

    #[test]
    fn path_and_query_arrive_unchanged() {
        let base = "http://storage:9000/bucket/data";
        assert_eq!(joined(base, "/img.png", None), "http://storage:9000/bucket/data/img.png");
        assert_eq!(joined(base, "", None), "http://storage:9000/bucket/data/");
        assert_eq!(joined("http://a/", "", Some("x=1")), "http://a/?x=1");
        assert_eq!(joined("http://a", "//b/%2F/./c/", Some("")), "http://a//b/%2F/./c/?");
        assert_eq!(joined("http://a", "/x", Some("u=http://b/?y='|")), "http://a/x?u=http://b/?y='|");
    }

    #[test]
    fn nothing_in_a_path_becomes_part_of_the_authority() {
        for path in ["@evil:1/x", "%2F@evil:1/x", "//evil/x", ":8080", "\\evil"] {
            let uri = target(&UpstreamUrl::new("http://good:80").unwrap(), path, None);
            if let Some(uri) = uri {
                assert_eq!(uri.authority().unwrap().as_str(), "good:80", "{path}");
                assert!(uri.path().starts_with('/'), "{path}");
            }
        }
    }

    #[test]
    fn the_host_field_leaves_the_default_port_out() {
        let host = |text: &str| host(&text.parse().unwrap()).unwrap().to_str().unwrap().to_owned();
        assert_eq!(host("http://a:80/"), "a");
        assert_eq!(host("https://a:443/"), "a");
        assert_eq!(host("http://a:3000/"), "a:3000");
        assert_eq!(host("http://[::1]:80/"), "[::1]");
    }
}
