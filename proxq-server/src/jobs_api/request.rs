//! Which question a request to the jobs API is. Checked in this order: method, query, id.

use std::borrow::Cow;
use std::time::Duration;

use crate::config::{FOLLOW_HOPS, Prefix, ResultUrls};
use crate::ended::wait_span;
use crate::job::JobId;
use crate::path;
use crate::redirects::KnownRedirects;
use crate::reply::Problem;
use crate::result_url::Signed;
use http::Method;
use http::request::Parts;

const PROBE_METHODS: &str = "GET, HEAD";
const JOB_METHODS: &str = "GET, HEAD, DELETE";
const READ_METHODS: &str = "GET, HEAD";
const SIGNED_METHODS: &str = "GET, HEAD, DELETE";
const RETRY_METHODS: &str = "POST";
/// Some clients send the method of the first request on every hop, such as curl with `-X`. It is as good as `GET`.
const HOP_METHODS: &str = "GET, HEAD, POST, PUT, PATCH";
const MONITOR_METHODS: &str = "GET, HEAD, DELETE";

/// A well-formed question.
#[derive(Debug)]
pub(crate) struct JobsCall {
    /// About what.
    pub(crate) resource: Resource,
    /// How long the answer may wait for the job's end.
    pub(crate) wait: Duration,
    /// Whether a job may run again though it may have reached its upstream.
    pub(crate) confirmed: bool,
    /// Where there, a redirect is to be reported unless it is among these.
    pub(crate) redirects: Option<KnownRedirects>,
    /// What a signed URL says: it is judged by that alone.
    pub(crate) signed: Option<Signed>,
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
    /// A job's response, for a follower on its hop with this number.
    Hop(Result<JobId, Problem>, u32),
    /// A job's response, or its status until there is one.
    Monitor(Result<JobId, Problem>),
    /// A job's changes as they happen.
    Events(Result<JobId, Problem>),
    /// Another run of a failed job.
    Retry(Result<JobId, Problem>),
}

impl Resource {
    /// The job that it is about, if it is about one.
    pub(crate) fn job(&self) -> Option<&Result<JobId, Problem>> {
        match self {
            Self::Health | Self::Readiness => None,
            Self::Job(id)
            | Self::Content(id)
            | Self::Hop(id, _)
            | Self::Monitor(id)
            | Self::Events(id)
            | Self::Retry(id) => Some(id),
        }
    }

    /// What is answered where there is no such job.
    pub(crate) fn unknown(&self, id: JobId) -> Problem {
        match self {
            Self::Hop(..) | Self::Monitor(_) => Problem::gone(id),
            Self::Health | Self::Readiness | Self::Job(_) | Self::Content(_) | Self::Events(_) | Self::Retry(_) => {
                Problem::no_job(id)
            }
        }
    }

    /// Whether it is asked for again and again, by programs that watch over the server.
    pub(crate) fn is_probe(&self) -> bool {
        match self {
            Self::Health | Self::Readiness => true,
            Self::Job(_) | Self::Content(_) | Self::Hop(..) | Self::Monitor(_) | Self::Events(_) | Self::Retry(_) => {
                false
            }
        }
    }
}

impl JobsCall {
    /// Reads a request whose path lies at or below `jobs_path`.
    pub(crate) fn read(head: &Parts, jobs_path: &Prefix, result_urls: ResultUrls) -> Result<Self, Problem> {
        let below: Vec<_> = path::segments(head.uri.path()).skip(jobs_path.depth()).collect();
        let below: Vec<&[u8]> = below.iter().map(AsRef::as_ref).collect();
        let query = head.uri.query().unwrap_or_default();
        let signed = if is_content(&below) { read_signed(query, result_urls)? } else { None };
        let (resource, allow) = match below[..] {
            [b"healthz"] => (Resource::Health, PROBE_METHODS),
            [b"readyz"] => (Resource::Readiness, PROBE_METHODS),
            [id] => (Resource::Job(read_id(id)), JOB_METHODS),
            [id, b"content"] if signed.is_some() => (Resource::Content(read_id(id)), SIGNED_METHODS),
            [id, b"content"] => read_content(read_id(id), query)?,
            [id, b"events"] => (Resource::Events(read_id(id)), READ_METHODS),
            [id, b"retry"] => (Resource::Retry(read_id(id)), RETRY_METHODS),
            _ => return Err(Problem::not_found(format!("nothing is here; ask for {jobs_path}/{{id}}"))),
        };
        if !allow.split(", ").any(|method| method == head.method.as_str()) {
            return Err(Problem::method_not_allowed(allow));
        }
        let may_wait = head.method != Method::DELETE && matches!(resource, Resource::Job(_) | Resource::Content(_));
        let wait = if may_wait { read_wait(query)? } else { Duration::ZERO };
        let confirmed = matches!(resource, Resource::Retry(_)) && read_confirmation(query)?;
        let is_content = matches!(resource, Resource::Content(_));
        let redirects = if is_content { KnownRedirects::read(&head.headers)? } else { None };
        Ok(Self { resource, wait, confirmed, redirects, signed })
    }
}

/// Whether anybody may ask this, without a token: a probe, and a signed URL, which is judged by itself.
pub(crate) fn is_open(head: &Parts, jobs_path: &Prefix, result_urls: ResultUrls) -> bool {
    let below: Vec<_> = path::segments(head.uri.path()).skip(jobs_path.depth()).collect();
    let below: Vec<&[u8]> = below.iter().map(AsRef::as_ref).collect();
    let has_signature = || values(head.uri.query().unwrap_or_default(), "signature").next().is_some();
    matches!(below[..], [b"healthz" | b"readyz"])
        || result_urls == ResultUrls::On && is_content(&below) && has_signature()
}

fn is_content(below: &[&[u8]]) -> bool {
    matches!(below, [_, b"content"])
}

/// What a signed URL says. `None` where nothing is signed, or it means nothing here.
fn read_signed(query: &str, result_urls: ResultUrls) -> Result<Option<Signed>, Problem> {
    if result_urls == ResultUrls::Off {
        return Ok(None);
    }
    let Some(signature) = only_value(query, "signature")? else { return Ok(None) };
    for other in ["hop", "pending"] {
        if only_value(query, other)?.is_some() {
            return Err(Problem::bad_query(format!("signature and {other} exclude each other; send one of them")));
        }
    }
    let expires = only_value(query, "expires")?.unwrap_or_default();
    Ok(Some(Signed { expires, signature }))
}

/// Which of the questions about a job's response a query makes it.
fn read_content(id: Result<JobId, Problem>, query: &str) -> Result<(Resource, &'static str), Problem> {
    match (only_value(query, "hop")?, only_value(query, "pending")?) {
        (None, None) => Ok((Resource::Content(id), READ_METHODS)),
        (Some(hop), None) => Ok((Resource::Hop(id, read_hop(&hop)?), HOP_METHODS)),
        (None, Some(pending)) if pending == "202" => Ok((Resource::Monitor(id), MONITOR_METHODS)),
        (None, Some(other)) => Err(Problem::bad_query(format!("pending={other} is not valid: it must be 202"))),
        (Some(_), Some(_)) => {
            Err(Problem::bad_query("hop and pending exclude each other; send one of them".to_owned()))
        }
    }
}

/// The number of a hop. Whether there are so many is the upstream's to say.
fn read_hop(value: &str) -> Result<u32, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|number| digits && *number > 0);
    number.ok_or_else(|| {
        let last = format!("followHops, which is {FOLLOW_HOPS} unless it is configured");
        Problem::bad_query(format!("hop={value} is not valid: it must be a number from 1 to {last}"))
    })
}

fn read_id(segment: &[u8]) -> Result<JobId, Problem> {
    let id = std::str::from_utf8(segment).ok().and_then(|text| text.parse().ok());
    id.ok_or_else(|| Problem::not_found("no job has such an id; ids are UUIDs as in the answer to a submission"))
}

/// The value of a parameter that may stand once. Other parameters are left alone.
fn only_value(query: &str, wanted: &str) -> Result<Option<String>, Problem> {
    let mut values = values(query, wanted);
    let value = values.next().map(|value| String::from_utf8_lossy(&value).into_owned());
    if values.next().is_some() {
        return Err(Problem::bad_query(format!("{wanted} stands more than once; send it once")));
    }
    Ok(value)
}

/// The values of a parameter.
fn values<'q>(query: &'q str, wanted: &str) -> impl Iterator<Item = Cow<'q, [u8]>> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(move |(name, _)| *path::decode(name) == *wanted.as_bytes())
        .map(|(_, value)| path::decode(value))
}

/// The parameter `wait`: a Go duration or whole seconds.
fn read_wait(query: &str) -> Result<Duration, Problem> {
    let Some(value) = only_value(query, "wait")? else { return Ok(Duration::ZERO) };
    wait_span(&value).map_err(|why| Problem::bad_query(format!("wait={value} is not valid: {why}")))
}

/// The parameter `confirm`, whose only value is `may-duplicate`.
fn read_confirmation(query: &str) -> Result<bool, Problem> {
    match only_value(query, "confirm")?.as_deref() {
        None => Ok(false),
        Some("may-duplicate") => Ok(true),
        Some(other) => Err(Problem::bad_query(format!("confirm={other} is not valid: it must be may-duplicate"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_a_number() {
        assert_eq!((read_hop("1").unwrap(), read_hop("19").unwrap()), (1, 19));
        for bad in ["", "0", "-1", "+1", "1.0", "x", "99999999999", " 1", "1x"] {
            assert!(format!("{:?}", read_hop(bad).unwrap_err()).contains("BadQuery"), "{bad}");
        }
    }

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
