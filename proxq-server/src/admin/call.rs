//! What an operator asks for: a request's path and method, read once.

use http::Method;
use http::request::Parts;

use crate::job::{JobId, QueueName};
use crate::path;
use crate::reply::Problem;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Page(Page),
    Asset(&'static str),
    Live,
    Metrics,
    OpenApi,
    Overview,
    History,
    Queues,
    Queue(QueueName),
    Pause(QueueName),
    Resume(QueueName),
    Upstreams,
    Jobs,
    Job(JobId),
    Retry(JobId),
    Cancel(JobId),
    Resubmit(JobId),
    Failures,
    Bulks,
    BeginBulk,
    Bulk(u64),
    StopBulk(u64),
    Settings,
}

/// A page of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Overview,
    Upstreams,
    Jobs,
    Job(JobId),
    Failed,
    Settings,
}

const READ: &str = "GET, HEAD";
const ACT: &str = "POST";

impl Call {
    /// Reads a request's path and method.
    pub(crate) fn read(head: &Parts) -> Result<Self, Problem> {
        let segments: Vec<_> = path::segments(head.uri.path()).collect();
        let segments: Vec<&str> =
            segments.iter().map(|segment| std::str::from_utf8(segment).unwrap_or("\u{fffd}")).collect();
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let asked = match segments[..] {
            [] | [""] => Self::Page(Page::Overview),
            ["upstreams"] => Self::Page(Page::Upstreams),
            ["jobs"] => Self::Page(Page::Jobs),
            ["jobs", id] => Self::Page(Page::Job(job_id(id)?)),
            ["failed"] => Self::Page(Page::Failed),
            ["settings"] => Self::Page(Page::Settings),
            ["live"] => Self::Live,
            ["metrics"] => Self::Metrics,
            ["openapi.json"] => Self::OpenApi,
            ["assets", name] => {
                let known = super::assets::NAMES.iter().find(|known| **known == name);
                Self::Asset(known.ok_or_else(|| nothing_at(head))?)
            }
            ["favicon.ico"] => Self::Asset("icon.svg"),
            ["api", "v1", ref below @ ..] => return Self::read_api(below, head),
            _ => return Err(nothing_at(head)),
        };
        if reads { Ok(asked) } else { Err(Problem::method_not_allowed(READ)) }
    }

    fn read_api(below: &[&str], head: &Parts) -> Result<Self, Problem> {
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let read_only = |call| if reads { Ok(call) } else { Err(Problem::method_not_allowed(READ)) };
        let act_only =
            |call| if head.method == Method::POST { Ok(call) } else { Err(Problem::method_not_allowed(ACT)) };
        match *below {
            ["overview"] => read_only(Self::Overview),
            ["history"] => read_only(Self::History),
            ["queues"] => read_only(Self::Queues),
            ["queues", name] => read_only(Self::Queue(queue(name)?)),
            ["queues", name, "pause"] => act_only(Self::Pause(queue(name)?)),
            ["queues", name, "resume"] => act_only(Self::Resume(queue(name)?)),
            ["upstreams"] => read_only(Self::Upstreams),
            ["jobs"] => read_only(Self::Jobs),
            ["jobs", id] => read_only(Self::Job(job_id(id)?)),
            ["jobs", id, "retry"] => act_only(Self::Retry(job_id(id)?)),
            ["jobs", id, "cancel"] => act_only(Self::Cancel(job_id(id)?)),
            ["jobs", id, "resubmit"] => act_only(Self::Resubmit(job_id(id)?)),
            ["failures"] => read_only(Self::Failures),
            ["bulk"] if reads => Ok(Self::Bulks),
            ["bulk"] if head.method == Method::POST => Ok(Self::BeginBulk),
            ["bulk"] => Err(Problem::method_not_allowed("GET, HEAD, POST")),
            ["bulk", number] => {
                let number = number.parse().map_err(|_| nothing_at(head))?;
                match head.method {
                    Method::DELETE => Ok(Self::StopBulk(number)),
                    _ if reads => Ok(Self::Bulk(number)),
                    _ => Err(Problem::method_not_allowed("GET, HEAD, DELETE")),
                }
            }
            ["settings"] => read_only(Self::Settings),
            _ => Err(nothing_at(head)),
        }
    }
}

fn nothing_at(head: &Parts) -> Problem {
    /// More than any path that is right has.
    const SHOWN: usize = 100;
    let path: String = head.uri.path().chars().take(SHOWN).collect();
    Problem::not_found(format!("there is nothing at {path}; /openapi.json lists what there is"))
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("this is no id of a job: a job's id is a UUID as its submission was told"))
}

fn queue(name: &str) -> Result<QueueName, Problem> {
    QueueName::new(name).ok_or_else(|| Problem::not_found("there is no queue of this name; /api/v1/queues lists them"))
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;

    fn call(method: &str, target: &str) -> Result<Call, StatusCode> {
        let head = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
        Call::read(&head).map_err(|problem| problem.into_response().status())
    }

    #[test]
    fn paths_name_what_is_asked_for() {
        let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        let queue = QueueName::new("default:api").unwrap();
        for (method, target, expected) in [
            ("GET", "/", Call::Page(Page::Overview)),
            ("HEAD", "/jobs?state=failed", Call::Page(Page::Jobs)),
            ("GET", "/jobs/550e8400-e29b-41d4-a716-446655440000", Call::Page(Page::Job(id))),
            ("GET", "/metrics", Call::Metrics),
            ("GET", "/assets/style.css", Call::Asset("style.css")),
            ("POST", "/api/v1/queues/default:api/pause", Call::Pause(queue)),
            ("POST", "/api/v1/jobs/550e8400-e29b-41d4-a716-446655440000/retry", Call::Retry(id)),
            ("POST", "/api/v1/bulk", Call::BeginBulk),
            ("DELETE", "/api/v1/bulk/7", Call::StopBulk(7)),
        ] {
            assert_eq!(call(method, target), Ok(expected), "{method} {target}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_possible_is_refused() {
        for (method, target, status) in [
            ("GET", "/nowhere", StatusCode::NOT_FOUND),
            ("GET", "/assets/../style.css", StatusCode::NOT_FOUND),
            ("GET", "/assets/%2e%2e", StatusCode::NOT_FOUND),
            ("GET", "/jobs/1", StatusCode::NOT_FOUND),
            ("GET", "/api/v1/jobs/%ff", StatusCode::NOT_FOUND),
            ("GET", "/api/v1/queues/a%20b", StatusCode::NOT_FOUND),
            ("GET", "/api/v1/bulk/x", StatusCode::NOT_FOUND),
            ("GET", "/api/v2/jobs", StatusCode::NOT_FOUND),
            ("POST", "/", StatusCode::METHOD_NOT_ALLOWED),
            ("POST", "/metrics", StatusCode::METHOD_NOT_ALLOWED),
            ("DELETE", "/api/v1/jobs", StatusCode::METHOD_NOT_ALLOWED),
            ("GET", "/api/v1/queues/a/pause", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            assert_eq!(call(method, target), Err(status), "{method} {target}");
        }
    }
}
