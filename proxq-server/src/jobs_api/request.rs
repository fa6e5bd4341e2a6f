//! Which question a request to the jobs API is. Checked in this order: method, query, id.

use std::time::Duration;

use http::Method;
use http::request::Parts;
use proxq_protocol::GoDuration;

use crate::config::Prefix;
use crate::job::JobId;
use crate::path;
use crate::reply::Problem;

const PROBE_METHODS: &str = "GET, HEAD";
const JOB_METHODS: &str = "GET, HEAD, DELETE";
const CONTENT_METHODS: &str = "GET, HEAD";

/// A well-formed question.
#[derive(Debug)]
pub(crate) struct JobsCall {
    /// About what.
    pub(crate) resource: Resource,
    /// How long the answer may wait for the job's end.
    pub(crate) wait: Duration,
}

/// What there is to ask about. An id that is none is kept as the answer to it: unknown.
#[derive(Debug)]
pub(crate) enum Resource {
    /// Whether the process lives.
    Health,
    /// Whether it takes work.
    Readiness,
    /// A job.
    Job(Result<JobId, Problem>),
    /// A job's response.
    Content(Result<JobId, Problem>),
}

impl JobsCall {
    /// Reads a request whose path lies at or below `jobs_path`.
    pub(crate) fn read(head: &Parts, jobs_path: &Prefix) -> Result<Self, Problem> {
        let below: Vec<_> = path::segments(head.uri.path()).skip(jobs_path.depth()).collect();
        let below: Vec<&[u8]> = below.iter().map(AsRef::as_ref).collect();
        let (resource, allow) = match below[..] {
            [b"healthz"] => (Resource::Health, PROBE_METHODS),
            [b"readyz"] => (Resource::Readiness, PROBE_METHODS),
            [id] => (Resource::Job(read_id(id)), JOB_METHODS),
            [id, b"content"] => (Resource::Content(read_id(id)), CONTENT_METHODS),
            [_, b"events" | b"retry"] => {
                return Err(Problem::not_implemented("this version does not offer events and retry yet"));
            }
            _ => return Err(Problem::not_found(format!("nothing is here; ask for {jobs_path}/{{id}}"))),
        };
        if !allow.split(", ").any(|method| method == head.method.as_str()) {
            return Err(Problem::method_not_allowed(&head.method, allow));
        }
        let waits = head.method != Method::DELETE && matches!(resource, Resource::Job(_) | Resource::Content(_));
        let wait = if waits { read_wait(head.uri.query().unwrap_or_default())? } else { Duration::ZERO };
        Ok(Self { resource, wait })
    }
}

fn read_id(segment: &[u8]) -> Result<JobId, Problem> {
    let id = std::str::from_utf8(segment).ok().and_then(|text| text.parse().ok());
    id.ok_or_else(|| Problem::not_found("no job has such an id; ids are UUIDs as in the answer to a submission"))
}

/// The parameter `wait`: a Go duration or whole seconds. Other parameters are left alone.
fn read_wait(query: &str) -> Result<Duration, Problem> {
    let mut values = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *path::decode(name) == *b"wait")
        .map(|(_, value)| path::decode(value));
    let Some(value) = values.next() else { return Ok(Duration::ZERO) };
    let shown = String::from_utf8_lossy(&value);
    if values.next().is_some() {
        return Err(Problem::bad_query("wait stands more than once; send it once".to_owned()));
    }
    if !shown.is_empty() && shown.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number holds are capped like any other wait that is too long.
        return Ok(Duration::from_secs(shown.parse().unwrap_or(u64::MAX)));
    }
    let bad = |why: &str| Problem::bad_query(format!("wait={shown} is not valid: {why}"));
    let span: GoDuration = shown.parse().map_err(|error: proxq_protocol::DurationError| bad(&error.to_string()))?;
    span.to_std().ok_or_else(|| bad("it must not be negative; write 30s, or whole seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_duration_or_whole_seconds() {
        for (query, expected) in
            [("", 0), ("x=1", 0), ("wait=30", 30_000), ("wait=1m30s", 90_000), ("a=b&w%61it=500ms", 500), ("wait=0", 0)]
        {
            assert_eq!(read_wait(query).unwrap(), Duration::from_millis(expected), "{query}");
        }
        assert_eq!(read_wait("wait=99999999999999999999").unwrap(), Duration::from_secs(u64::MAX));
        for bad in ["wait", "wait=", "wait=1.5", "wait=-1s", "wait=1d", "wait=1s&wait=2s", "wait=%FF"] {
            assert!(format!("{:?}", read_wait(bad).unwrap_err()).contains("BadQuery"), "{bad}");
        }
    }
}
