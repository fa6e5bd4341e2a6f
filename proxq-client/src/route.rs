//! Sends requests for one URL to another, for code whose URLs cannot be changed.

use reqwest::Url;

/// Requests under one URL go under another.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    from: Url,
    to: Url,
}

impl Route {
    pub(crate) fn new(from: Url, to: Url) -> Self {
        Self { from, to }
    }

    pub(crate) fn to(&self) -> &Url {
        &self.to
    }

    /// Where a request for this URL goes, if it is under this route's: the rest of its path is put after the other path,
    /// its query is kept.
    fn apply(&self, url: &Url) -> Option<Url> {
        if url.origin() != self.from.origin() {
            return None;
        }
        let base = self.from.path().trim_end_matches('/');
        let rest = url.path().strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let mut target = self.to.clone();
        target.set_path(&format!("{}{rest}", self.to.path().trim_end_matches('/')));
        target.set_query(url.query());
        Some(target)
    }
}

/// Where a request for this URL goes; `None` for where it says. The longest matching path wins.
pub(crate) fn rewritten(routes: &[Route], url: &Url) -> Option<Url> {
    let matching = routes.iter().filter_map(|route| Some((route.from.path().len(), route.apply(url)?)));
    matching.max_by_key(|(length, _)| *length).map(|(_, target)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_by_segment_and_queries_kept() {
        let route = |from: &str, to: &str| Route::new(from.parse().unwrap(), to.parse().unwrap());
        let routes = [
            route("https://api.example.com", "https://proxq.example.com/api"),
            route("https://api.example.com/v1/", "http://localhost:8080"),
        ];
        for (url, expected) in [
            ("https://api.example.com", Some("https://proxq.example.com/api/")),
            ("https://api.example.com/x%2Fy/?a=b&a=%20", Some("https://proxq.example.com/api/x%2Fy/?a=b&a=%20")),
            ("https://api.example.com/v1", Some("http://localhost:8080/")),
            ("https://api.example.com/v1/z", Some("http://localhost:8080/z")),
            ("https://api.example.com/v10", Some("https://proxq.example.com/api/v10")),
            ("http://api.example.com/x", None),
            ("https://api.example.com.evil.example/x", None),
        ] {
            let target = rewritten(&routes, &url.parse().unwrap());
            assert_eq!(target.as_ref().map(Url::as_str), expected, "{url}");
        }
    }
}
