//! Warnings about tokens that are for some upstreams, where the server of one of these is also that of another upstream.

use http::uri::Scheme;

use crate::config::{AccessToken, Config, TokenScope, Upstream, UpstreamUrl};
use crate::default_port::default_port;
use crate::path;

/// A line for every upstream that a token is not for, below the URL of one that it is for.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let pairs = config.upstreams.iter().flat_map(|own| config.upstreams.iter().map(move |other| (own, other)));
    pairs.filter_map(|(own, other)| warning(config, own, other)).collect()
}

/// Warns of the tokens that are for the upstream `own`, and not for `other`, if the URL of that one lies below.
fn warning(config: &Config, own: &Upstream, other: &Upstream) -> Option<String> {
    let is_split = |scope: &TokenScope| scope.includes(&own.prefix) && !scope.includes(&other.prefix);
    let tokens = config.auth.tokens.iter().filter(|token| is_split(token.scope()));
    let names: Vec<_> = tokens.map(AccessToken::name).collect();
    let (names, own_prefix, other_prefix) = (names.join(", "), &own.prefix, &other.prefix);
    (!names.is_empty() && contains(&own.url, &other.url)).then(|| {
        format!(
            "auth.tokens: {names} may use {own_prefix} ({}), and not {other_prefix} ({}), which lies below: a request to {own_prefix} \
             may reach it all the same, as the server there may read other spellings of a path (//, %2F) as one of {other_prefix}",
            own.url, other.url
        )
    })
}

/// Whether the URLs are of one server, and the path of `other` lies below that of `own`, or is the same.
fn contains(own: &UpstreamUrl, other: &UpstreamUrl) -> bool {
    let mut below = path::segments(other.base_path());
    server(own) == server(other) && path::segments(own.base_path()).all(|segment| below.next() == Some(segment))
}

/// Scheme, host and port.
fn server(url: &UpstreamUrl) -> (&Scheme, String, u16) {
    let authority = url.authority();
    (
        url.scheme(),
        authority.host().to_ascii_lowercase(),
        authority.port_u16().unwrap_or_else(|| default_port(Some(url.scheme()))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    /// The warnings where a token is for these upstreams, and there are two, `/` and `/admin`.
    fn warned(scope: &str, root: &str, admin: &str) -> Vec<String> {
        let text = format!(
            "routing: longest-prefix\nauth: {{tokens: [{{name: all, token: 0123456789abcdef}}, {{name: web, token: fedcba9876543210{scope}}}]}}\n\
             upstreams: [{{prefix: /, url: '{root}'}}, {{prefix: /admin, url: '{admin}'}}]"
        );
        warnings(&load("x", &text, &|_| None).unwrap().config)
    }

    #[test]
    fn a_token_whose_upstream_contains_another_is_warned_of() {
        let both = "auth.tokens: web may use / (http://app), and not /admin (http://app/admin), which lies below: ";
        let lines = warned(", upstreams: [/]", "http://app", "http://app/admin");
        assert!(lines.len() == 1 && lines[0].starts_with(both), "{lines:?}");
        for (root, admin) in [
            ("http://app", "http://APP:80/x/admin"),
            ("https://app:443/a", "https://app/a/%61dmin"),
            ("http://app/a", "http://app/a"),
            ("http://app/%61", "http://app/a/b"),
        ] {
            assert_eq!(warned(", upstreams: [/]", root, admin).len(), 1, "{root} {admin}");
        }
    }

    #[test]
    fn a_token_is_not_warned_of_where_its_upstreams_are_apart_from_others() {
        for (scope, root, admin) in [
            ("", "http://app", "http://app/admin"),
            (", upstreams: [/, /admin]", "http://app", "http://app/admin"),
            (", upstreams: [/admin]", "http://app", "http://app/admin"),
            (", upstreams: [/]", "http://app", "http://app:81/admin"),
            (", upstreams: [/]", "http://app", "https://app/admin"),
            (", upstreams: [/]", "http://app", "http://other/admin"),
            (", upstreams: [/]", "http://app/a", "http://app/admin"),
        ] {
            assert_eq!(warned(scope, root, admin), [""; 0], "{scope} {root} {admin}");
        }
    }
}
