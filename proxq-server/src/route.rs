//! Which upstream a request belongs to, and what is left of its path.

use crate::config::Upstream;
use crate::path;

/// A request's upstream and the raw path that it gets, from the slash on; empty if nothing is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'u, 'p> {
    pub(crate) upstream: &'u Upstream,
    pub(crate) stripped_path: &'p str,
}

/// Finds the upstream whose prefix matches most segments.
pub(crate) fn route<'u, 'p>(upstreams: &'u [Upstream], raw_path: &'p str) -> Option<Route<'u, 'p>> {
    let matching = upstreams.iter().filter(|upstream| upstream.prefix.matches(raw_path));
    let upstream = matching.max_by_key(|upstream| upstream.prefix.depth())?;
    Some(Route { upstream, stripped_path: path::skip_segments(raw_path, upstream.prefix.depth()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Prefix, UpstreamUrl};

    fn upstreams(prefixes: &[&str]) -> Vec<Upstream> {
        let url = UpstreamUrl::new("http://upstream").unwrap();
        prefixes.iter().map(|prefix| Upstream::new(Prefix::new(prefix).unwrap(), url.clone())).collect()
    }

    #[test]
    fn the_longest_prefix_wins_and_is_stripped() {
        let all = upstreams(&["/", "/api", "/api/v2"]);
        let routed = |path| {
            let route = route(&all, path).unwrap();
            (route.upstream.prefix.as_str().to_owned(), route.stripped_path.to_owned())
        };
        for (path, prefix, rest) in [
            ("/api/v2/users", "/api/v2", "/users"),
            ("/api/users/", "/api", "/users/"),
            ("/api2/data", "/", "/api2/data"),
            ("/api", "/api", ""),
            ("/api//x%2Fy", "/api", "//x%2Fy"),
            ("/api%2Fx", "/", "/api%2Fx"),
            ("/", "/", "/"),
        ] {
            assert_eq!(routed(path), (prefix.to_owned(), rest.to_owned()), "{path}");
        }
        assert!(route(&upstreams(&["/api"]), "/other").is_none());
    }

    proptest! {
        #[test]
        fn it_agrees_with_comparing_text(path in "(/[ab]{1,2}){0,4}/?", prefixes in prop::collection::vec("(/[ab]{1,2}){1,3}", 1..4)) {
            let names: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            let all = upstreams(&names);
            let oracle = names.iter().filter(|p| path == **p || path.starts_with(&format!("{p}/"))).max_by_key(|p| p.matches('/').count());
            let found = route(&all, &path);
            prop_assert_eq!(found.map(|r| r.upstream.prefix.as_str()), oracle.copied());
            if let (Some(found), Some(prefix)) = (found, oracle) {
                prop_assert_eq!(found.stripped_path, &path[prefix.len()..]);
            }
        }
    }
}
