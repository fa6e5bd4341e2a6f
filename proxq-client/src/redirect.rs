//! Redirects that are the response of a job: proxq reports them, and the caller's client follows them.
//!
//! Only the caller's `reqwest::Client` knows its own policy, and it asks nobody before it follows. So proxq is asked to report
//! a redirect instead of answering with it. After a report the request is sent again under the id of its job, and says of
//! which redirects the report is known: these are answered as they are, and the client follows them from the request itself.

use http::header::{CONTENT_LENGTH, LOCATION};
use proxq_protocol::{JobId, header as proxq};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Body, Request, Response, StatusCode, Url};

use crate::error::Error;
use crate::response::is_own;

/// How many redirects one call may follow; as many as proxq lets it. reqwest's own limit is 10 unless it is set.
const REDIRECTS_MAX: usize = 64;

/// A redirect that proxq has reported.
#[derive(Debug)]
pub(crate) struct Redirect {
    location: HeaderValue,
    /// The job that the request becomes which follows it, if it comes to the same proxq.
    behind: JobId,
}

impl Redirect {
    /// The report, if this answer is one.
    pub(crate) fn reported_by(answer: &Response) -> Option<Self> {
        if !is_own(answer) || answer.status() != StatusCode::CONFLICT {
            return None;
        }
        let location = answer.headers().get(LOCATION)?.clone();
        let behind = answer.headers().get(proxq::REDIRECTS)?.to_str().ok()?.parse().ok()?;
        Some(Self { location, behind })
    }

    pub(crate) fn behind(&self) -> JobId {
        self.behind
    }

    /// Where it leads from this URL.
    pub(crate) fn target(&self, from: &Url) -> Option<Url> {
        from.join(self.location.to_str().ok()?).ok()
    }
}

/// Asks proxq to report redirects. A request that says already which ones it knows stays as it is.
pub(crate) fn ask_for_reports(headers: &mut HeaderMap) {
    headers.entry(proxq::REDIRECTS).or_insert(HeaderValue::from_static(proxq::REDIRECTS_REPORT));
}

/// The redirects of one call.
#[derive(Debug)]
pub(crate) struct Trail {
    /// The call's request, without controls.
    request: Request,
    /// The job that it became.
    first: Option<JobId>,
    /// The jobs behind the redirects that were reported.
    behind: Vec<JobId>,
    /// Whether all of them lead to where the token may be shown.
    shows_token: bool,
}

impl Trail {
    pub(crate) fn from(request: &Request) -> Self {
        Self { request: copy(request), first: None, behind: Vec::new(), shows_token: true }
    }

    /// Notes the job that the request became; the first counts.
    pub(crate) fn began_with(&mut self, id: JobId) {
        self.first.get_or_insert(id);
    }

    /// Whether a redirect is being followed.
    pub(crate) fn is_followed(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The error where proxq does not know the job any more with which a redirect began.
    pub(crate) fn lost(&self) -> Error {
        let detail = || "a redirect of no job was followed".to_owned();
        self.first.map_or_else(|| Error::Protocol { id: None, detail: detail() }, |id| Error::JobLost { id })
    }

    /// Notes a redirect; `may_show_token` says whether it leads to where the token may be shown.
    ///
    /// # Errors
    /// Where there are more than any client should follow.
    pub(crate) fn lead_on(&mut self, redirect: &Redirect, may_show_token: bool) -> Result<(), Error> {
        if self.behind.len() == REDIRECTS_MAX || self.behind.contains(&redirect.behind) {
            let detail = format!("{} redirects were reported, and none of them was followed", self.behind.len() + 1);
            return Err(Error::Protocol { id: self.first, detail });
        }
        self.behind.push(redirect.behind);
        self.shows_token &= may_show_token;
        Ok(())
    }

    /// The request, with what makes proxq answer with the redirects that are known.
    pub(crate) fn request(&self) -> Request {
        let mut request = copy(&self.request);
        let text = |text: String| HeaderValue::from_str(&text).expect("ids are written in ASCII");
        let known: Vec<_> = self.behind.iter().map(JobId::to_string).collect();
        let headers = request.headers_mut();
        headers.insert(proxq::REDIRECTS, text(known.join(", ")));
        if let Some(first) = self.first {
            headers.insert(proxq::JOB_ID, text(first.to_string()));
        }
        request
    }

    /// Takes the token away where it may not be shown: reqwest takes it along to wherever a redirect leads.
    pub(crate) fn hide_token(&self, headers: &mut HeaderMap) {
        if !self.shows_token {
            headers.remove(proxq::TOKEN);
        }
    }
}

/// A copy of a request. One whose body is a stream, which is there only once, gets another body that reqwest cannot send again
/// either: it then follows the redirects that it would have followed with the stream, and hands over the others.
fn copy(request: &Request) -> Request {
    request.try_clone().unwrap_or_else(|| {
        let mut copy = Request::new(request.method().clone(), request.url().clone());
        copy.headers_mut().clone_from(request.headers());
        copy.headers_mut().remove(CONTENT_LENGTH);
        *copy.version_mut() = request.version();
        // Of a known length, so that the request is one for the queue; and not of none, which reqwest could send again.
        *copy.body_mut() = Some(Body::wrap(Body::from("-")));
        copy
    })
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    fn redirect(location: &'static str) -> Redirect {
        Redirect { location: HeaderValue::from_static(location), behind: JobId::new() }
    }

    fn trail() -> Trail {
        let mut request = Request::new(Method::PUT, "http://proxq.example/a/b".parse().unwrap());
        *request.body_mut() = Some("body".into());
        request.headers_mut().insert("x-own", HeaderValue::from_static("1"));
        Trail::from(&request)
    }

    #[test]
    fn the_request_is_sent_again_with_all_known_redirects() {
        let mut trail = trail();
        let (first, one, two) = (JobId::new(), redirect("/1"), redirect("/2"));
        trail.began_with(first);
        trail.began_with(JobId::new());
        trail.lead_on(&one, true).unwrap();
        trail.lead_on(&two, true).unwrap();
        let request = trail.request();
        assert_eq!(request.body().and_then(Body::as_bytes), Some(&b"body"[..]));
        assert_eq!(request.headers()["x-own"], "1");
        assert_eq!(request.headers()[proxq::JOB_ID], first.to_string());
        assert_eq!(request.headers()[proxq::REDIRECTS], format!("{}, {}", one.behind, two.behind));
    }

    #[test]
    fn a_redirect_to_another_origin_removes_the_token_for_good() {
        let mut trail = trail();
        let shown = |trail: &Trail| {
            let mut headers = HeaderMap::from_iter([(proxq::TOKEN.parse().unwrap(), HeaderValue::from_static("t"))]);
            trail.hide_token(&mut headers);
            !headers.is_empty()
        };
        for (may_show, expected) in [(true, true), (false, false), (true, false)] {
            trail.lead_on(&redirect("/"), may_show).unwrap();
            assert_eq!(shown(&trail), expected);
        }
    }

    #[test]
    fn a_redirect_that_is_reported_twice_is_an_error() {
        let (mut trail, one) = (trail(), redirect("/1"));
        trail.lead_on(&one, true).unwrap();
        assert!(matches!(trail.lead_on(&one, true), Err(Error::Protocol { .. })));
        (1..REDIRECTS_MAX).for_each(|_| trail.lead_on(&redirect("/"), true).unwrap());
        assert!(matches!(trail.lead_on(&redirect("/"), true), Err(Error::Protocol { .. })));
    }

    #[test]
    fn the_copy_of_a_streamed_request_cannot_be_sent_again_either() {
        let mut request = Request::new(Method::POST, "http://proxq.example/".parse().unwrap());
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        *request.body_mut() = Some(Body::wrap(Body::from("a large")));
        let copy = copy(&request);
        assert!(copy.try_clone().is_none());
        assert!(!copy.headers().contains_key(CONTENT_LENGTH));
    }

    #[test]
    fn a_target_is_relative_to_the_requests_own_url() {
        let from: Url = "http://proxq.example/a/b?c".parse().unwrap();
        for (location, target) in [
            ("d", Some("http://proxq.example/a/d")),
            ("?e", Some("http://proxq.example/a/b?e")),
            ("//other.example/", Some("http://other.example/")),
            ("http://:0:", None),
        ] {
            assert_eq!(redirect(location).target(&from).as_ref().map(Url::as_str), target, "{location}");
        }
    }
}
