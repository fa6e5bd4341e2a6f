//! The way of clients that know nothing of jobs to their response: where a follower or a status monitor asks next, and the
//! final answer once the job has ended.

use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::config::Prefix;
use crate::job::{Job, JobId, ResponseHead, State};
use crate::replay::replay_unless_removed;
use crate::reply::body::Body;
use crate::reply::{self, Problem};
use crate::store::{Content, JobAccess, StoreError};

/// Headers whose value may be relative to the URL of the request.
const REFERENCES: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

/// The URL at which the client gets its final answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AskedAt<'a> {
    /// The URL of its own request.
    Request,
    /// `{jobsPath}/{id}/content`, with a `GET` whatever the request's method was.
    Content {
        /// `jobsPath`.
        jobs_path: &'a Prefix,
    },
}

/// The first hop of a follower, relative to the path of its request: a gateway in front may have stripped a prefix.
pub(crate) fn first_hop(path: &str, jobs_path: &Prefix, id: JobId) -> HeaderValue {
    relative(path, jobs_path, id, "hop=1")
}

/// The hop with this number, relative to the hop before.
pub(crate) fn next_hop(number: u32) -> HeaderValue {
    HeaderValue::try_from(format!("content?hop={number}")).expect("a number is visible ASCII")
}

/// The status monitor of a submission, relative to the path of its request.
pub(crate) fn monitor(path: &str, jobs_path: &Prefix, id: JobId) -> HeaderValue {
    relative(path, jobs_path, id, "pending=202")
}

fn relative(path: &str, jobs_path: &Prefix, id: JobId, query: &str) -> HeaderValue {
    let up = "../".repeat(path.matches('/').count().saturating_sub(1));
    let jobs = jobs_path.as_str().trim_start_matches('/');
    HeaderValue::try_from(format!("./{up}{jobs}/{id}/content?{query}")).expect("a path and a UUID are visible ASCII")
}

/// The final answer of a job. `job` is its present state, `None` if it is gone. Gives `None` if it has not ended.
pub(crate) async fn final_answer(
    id: JobId,
    job: Option<&Job>,
    method: &Method,
    asked_at: AskedAt<'_>,
    store: &dyn JobAccess,
) -> Result<Option<Response<Body>>, StoreError> {
    let Some(job) = job else { return Ok(Some(Problem::gone(id).into_response())) };
    match job.state {
        State::Pending | State::Scheduled | State::Active | State::Retry => return Ok(None),
        State::Archived => return Ok(Some(Problem::no_response(job).into_response())),
        State::Completed => {}
    }
    let mut stored = match store.response(id).await? {
        Content::Ready(stored) => stored,
        Content::Unknown => return Ok(Some(Problem::gone(id).into_response())),
        Content::NotReady | Content::Failed { .. } => return Ok(None), // it was run again just now
    };
    if let AskedAt::Content { jobs_path } = asked_at {
        if !can_be_followed(&stored.head, &job.request.method) {
            return Ok(Some(Problem::redirect_not_followable(id, &stored.head).into_response()));
        }
        refer_from_content(&mut stored.head.headers, &job.request.path, jobs_path);
    }
    let Some(mut answer) = replay_unless_removed(id, stored, method, store).await? else {
        return Ok(Some(Problem::gone(id).into_response()));
    };
    reply::mark_held(&mut answer, id);
    Ok(Some(answer))
}

/// Whether a follower, which asks with `GET`, would follow a response as the upstream means it. A `307` or `308` asks for
/// the method of the request.
fn can_be_followed(head: &ResponseHead, method: &Method) -> bool {
    let keeps_method = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&head.status);
    !keeps_method || [Method::GET, Method::HEAD].contains(method)
}

/// Makes references that are relative to the path of the request relative to the content's URL.
fn refer_from_content(headers: &mut HeaderMap, path: &str, jobs_path: &Prefix) {
    for name in REFERENCES {
        let Some(reference) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
        if let Some(resolved) = resolved_path(reference, path) {
            let up = "../".repeat(jobs_path.depth() + 1);
            // The path of a job that another program put into the queue may be no header value.
            if let Ok(value) = HeaderValue::try_from(format!("{up}{}", resolved.trim_start_matches('/'))) {
                headers.insert(name, value);
            }
        }
    }
}

/// A reference relative to a path, resolved (RFC 3986 §5.2). `None` if it is an absolute URL or path.
fn resolved_path(reference: &str, path: &str) -> Option<String> {
    let end = reference.find(['?', '#']).unwrap_or(reference.len());
    let (relative, rest) = reference.split_at(end);
    let has_scheme = relative.split('/').next().is_some_and(|first| first.contains(':'));
    if has_scheme || relative.starts_with('/') {
        return None;
    }
    if relative.is_empty() {
        return Some(format!("{path}{rest}"));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let joined = format!("{folder}/{relative}");
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = joined.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            part => segments.push(part),
        }
    }
    Some(format!("/{}{rest}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> JobId {
        "550e8400-e29b-41d4-a716-446655440000".parse().unwrap()
    }

    #[test]
    fn a_hop_is_relative_to_the_path_of_the_request() {
        let jobs = Prefix::new("/__jobs").unwrap();
        for (path, up) in [("/", "./"), ("/x", "./"), ("/v1/x", "./../"), ("/v1/x/", "./../../"), ("//x", "./../")] {
            let expected = format!("{up}__jobs/{}/content?hop=1", id());
            assert_eq!(first_hop(path, &jobs, id()), expected, "{path}");
        }
        let deep = Prefix::new("/a/b").unwrap();
        assert_eq!(monitor("/x", &deep, id()), format!("./a/b/{}/content?pending=202", id()));
        assert_eq!(next_hop(7), "content?hop=7");
    }

    #[test]
    fn a_relative_reference_is_resolved_against_the_request() {
        for (reference, expected) in [
            ("next", Some("/v1/next")),
            ("../x?y#z", Some("/x?y#z")),
            ("./", Some("/v1/")),
            ("a/..", Some("/v1/")),
            ("../../../x", Some("/x")),
            ("?page=2", Some("/v1/list?page=2")),
            ("/x", None),
            ("//host/x", None),
            ("https://host/x", None),
        ] {
            assert_eq!(resolved_path(reference, "/v1/list").as_deref(), expected, "{reference}");
        }
        let mut headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static("next"))]);
        let jobs = Prefix::new("/__jobs").unwrap();
        refer_from_content(&mut headers, "/a line\nbreak/list", &jobs);
        assert_eq!(headers[header::LOCATION], "next", "as it came, where it cannot be written");
        refer_from_content(&mut headers, "/v1/list", &jobs);
        assert_eq!(headers[header::LOCATION], "../../v1/next");
    }
}
