//! Where a job is asked for, and with what credentials.

use std::time::Duration;

use proxq_protocol::credential::OWNER_HEADERS;
use proxq_protocol::{JobId, header as proxq};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use url::Origin;

use crate::options::span_text;

/// Headers that say who is asking, beside those of the owner. A reverse proxy in front of the jobs API may ask for cookies.
const OTHER_CREDENTIALS: [&str; 2] = ["cookie", proxq::TOKEN];

/// Where jobs are asked for.
#[derive(Clone, Debug)]
pub(crate) enum JobsAt {
    /// Here.
    Url(Url),
    /// Where the answer to the submission says, or else under this path of its origin.
    Path(String),
}

/// Who asks, and to whom that may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    headers: HeaderMap,
    origin: Origin,
}

impl Credentials {
    /// Those of a request. They go to the jobs API, too, if it is of the request's origin.
    pub(crate) fn of(request: &Request) -> Self {
        let mut headers = HeaderMap::new();
        for name in OWNER_HEADERS.into_iter().chain(OTHER_CREDENTIALS) {
            for value in request.headers().get_all(name) {
                headers.append(HeaderName::from_static(name), value.clone());
            }
        }
        Self { headers, origin: request.url().origin() }
    }

    /// None to show.
    pub(crate) fn none() -> Self {
        Self { headers: HeaderMap::new(), origin: Origin::new_opaque() }
    }

    fn to(&self, url: &Url) -> HeaderMap {
        if self.origin == url.origin() { self.headers.clone() } else { HeaderMap::new() }
    }
}

/// One job at its server.
#[derive(Clone, Debug)]
pub(crate) struct JobAddress {
    id: JobId,
    url: Url,
    headers: HeaderMap,
}

impl JobAddress {
    /// The address of a job whose submission went to `answered`; `location` is what the answer said.
    pub(crate) fn new(
        id: JobId,
        jobs_at: &JobsAt,
        answered: &Url,
        location: Option<&HeaderValue>,
        credentials: &Credentials,
    ) -> Self {
        let url = match jobs_at {
            JobsAt::Url(base) => below(base, &id.to_string()),
            JobsAt::Path(path) => told(answered, location).unwrap_or_else(|| {
                let mut base = answered.clone();
                base.set_path(path);
                base.set_query(None);
                below(&base, &id.to_string())
            }),
        };
        Self { id, headers: credentials.to(&url), url }
    }

    pub(crate) fn id(&self) -> JobId {
        self.id
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Shows the server's own token to it.
    pub(crate) fn show_token(&mut self, token: HeaderValue) {
        self.headers.insert(proxq::TOKEN, token);
    }

    /// A request for the job itself.
    pub(crate) fn request(&self, method: Method) -> Request {
        self.send_to(method, self.url.clone())
    }

    /// A request for something below the job: its content, its events.
    pub(crate) fn request_below(&self, method: Method, part: &str) -> Request {
        self.send_to(method, below(&self.url, part))
    }

    fn send_to(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Asks the server to hold its answer until the job has ended.
pub(crate) fn hold(request: &mut Request, wait: Option<Duration>) {
    if let Some(wait) = wait {
        request.url_mut().query_pairs_mut().append_pair("wait", &span_text(wait));
    }
}

/// What a `Location` says, if it stays at the server that said it.
fn told(answered: &Url, location: Option<&HeaderValue>) -> Option<Url> {
    let mut url = answered.join(location?.to_str().ok()?).ok()?;
    url.set_fragment(None);
    (url.origin() == answered.origin()).then_some(url)
}

/// A URL with one more segment.
fn below(url: &Url, segment: &str) -> Url {
    let mut url = url.clone();
    // Only URLs without a host have no segments, and no request came from such a one.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(segment);
    }
    url
}

#[cfg(test)]
mod tests {
    use reqwest::header::AUTHORIZATION;

    use super::*;

    fn address(jobs_at: &JobsAt, location: Option<&'static str>) -> JobAddress {
        let id = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        let mut request = Request::new(Method::POST, "https://proxq.example/api/x?y".parse().unwrap());
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        request.headers_mut().insert("X-Api-Key", HeaderValue::from_static("secret"));
        request.headers_mut().insert("X-Other", HeaderValue::from_static("not one"));
        let location = location.map(HeaderValue::from_static);
        JobAddress::new(id, jobs_at, request.url(), location.as_ref(), &Credentials::of(&request))
    }

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn a_location_counts_only_on_the_same_origin() {
        let by_path = JobsAt::Path("/__jobs".to_owned());
        let here = format!("https://proxq.example/__jobs/{ID}");
        for (location, expected) in [
            (None, here.as_str()),
            (Some("/queue/7"), "https://proxq.example/queue/7"),
            (Some("../jobs/7"), "https://proxq.example/jobs/7"),
            (Some("https://proxq.example:443/7#x"), "https://proxq.example/7"),
            (Some("https://evil.example/__jobs/7"), here.as_str()),
            (Some("http://proxq.example/__jobs/7"), here.as_str()),
            (Some("//evil.example/7"), here.as_str()),
        ] {
            assert_eq!(address(&by_path, location).url().as_str(), expected, "{location:?}");
        }
    }

    #[test]
    fn a_configured_jobs_url_overrides_the_location() {
        let address = address(&JobsAt::Url("http://jobs.example/all/".parse().unwrap()), Some("/queue/7"));
        assert_eq!(address.url().as_str(), format!("http://jobs.example/all/{ID}"));
        let mut content = address.request_below(Method::GET, "content");
        hold(&mut content, Some(Duration::from_secs(20)));
        assert_eq!(content.url().as_str(), format!("http://jobs.example/all/{ID}/content?wait=20s"));
        assert!(content.headers().is_empty(), "credentials of another origin");
    }

    #[test]
    fn only_the_credentials_of_a_request_are_sent_along() {
        let request = address(&JobsAt::Path("/__jobs".to_owned()), None).request(Method::GET);
        assert_eq!(request.headers().len(), 2);
        assert!(request.headers().contains_key("x-api-key") && request.headers().contains_key(AUTHORIZATION));
    }
}
