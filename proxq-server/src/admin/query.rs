//! The parameters of a request for jobs.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::model::JobFilter;
use super::search::{PAGE_MAX, PAGE_USUAL, Place};
use crate::job::JobId;
use crate::path::decode;
use crate::reply::Problem;
use crate::store::JobOrder;

/// What a request for jobs says.
#[derive(Clone, Debug)]
pub(crate) struct JobsQuery {
    pub(crate) filter: JobFilter,
    pub(crate) id: Option<JobId>,
    pub(crate) order: JobOrder,
    pub(crate) cursor: Option<Place>,
    pub(crate) limit: usize,
}

const KNOWN: &str =
    "state, queue, upstream, method, path, status, outcome, error, olderThan, newerThan, id, order, limit, cursor";

impl Default for JobsQuery {
    fn default() -> Self {
        Self { filter: JobFilter::default(), id: None, order: JobOrder::NewestFirst, cursor: None, limit: PAGE_USUAL }
    }
}

impl JobsQuery {
    /// Reads a query. An empty parameter says nothing.
    pub(crate) fn read(query: &str) -> Result<Self, Problem> {
        let mut read = Self::default();
        for (name, value) in parameters(query)? {
            if value.is_empty() {
                continue;
            }
            let filter = &mut read.filter;
            match &*name {
                "state" => filter.state = Some(value),
                "queue" => filter.queue = Some(value),
                "upstream" => filter.upstream = Some(value),
                "method" => filter.method = Some(value),
                "path" => filter.path = Some(value),
                "status" => filter.status = Some(value),
                "outcome" => filter.outcome = Some(value),
                "error" => filter.error = Some(value),
                "olderThan" => filter.older_than = Some(value),
                "newerThan" => filter.newer_than = Some(value),
                "id" => read.id = Some(id(&value)?),
                "order" => read.order = order(&value)?,
                "limit" => read.limit = limit(&value)?,
                "cursor" => read.cursor = Some(Place::read(&value)?),
                _ => return Err(Problem::bad_query(format!("there is no parameter {name:?}; known here: {KNOWN}"))),
            }
        }
        Ok(read)
    }

    /// The query that says this filter and where its page begins, in the form that [`JobsQuery::read`] reads.
    pub(crate) fn write(&self, cursor: Option<&str>) -> String {
        let filter = &self.filter;
        let order = (self.order == JobOrder::OldestFirst).then(|| "oldest".to_owned());
        let limit = (self.limit != PAGE_USUAL).then(|| self.limit.to_string());
        let parts = [
            ("state", filter.state.clone()),
            ("queue", filter.queue.clone()),
            ("upstream", filter.upstream.clone()),
            ("method", filter.method.clone()),
            ("path", filter.path.clone()),
            ("status", filter.status.clone()),
            ("outcome", filter.outcome.clone()),
            ("error", filter.error.clone()),
            ("olderThan", filter.older_than.clone()),
            ("newerThan", filter.newer_than.clone()),
            ("order", order),
            ("limit", limit),
            ("cursor", cursor.map(ToOwned::to_owned)),
        ];
        let written = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
        written.collect::<Vec<_>>().join("&")
    }
}

/// The parameters of a query, decoded (WHATWG URL, `application/x-www-form-urlencoded`).
pub(crate) fn parameters(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => Ok((name, value)),
                _ => Err(Problem::bad_query(
                    "the query is not UTF-8; encode its characters as UTF-8 and then with %".to_owned(),
                )),
            }
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let text: Cow<'_, str> = if text.contains('+') { text.replace('+', "%20").into() } else { text.into() };
    String::from_utf8(decode(&text).into_owned()).ok()
}

/// Encodes a value for a query.
pub(crate) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

fn id(value: &str) -> Result<JobId, Problem> {
    value.trim().parse().map_err(|_| Problem::bad_query("id is not valid: a job's id is a UUID".to_owned()))
}

fn order(value: &str) -> Result<JobOrder, Problem> {
    match value {
        "newest" => Ok(JobOrder::NewestFirst),
        "oldest" => Ok(JobOrder::OldestFirst),
        _ => Err(Problem::bad_query("order is not valid: write newest or oldest".to_owned())),
    }
}

fn limit(value: &str) -> Result<usize, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    limit.ok_or_else(|| Problem::bad_query(format!("limit is not valid: a page has 1 to {PAGE_MAX} jobs")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_decoded_and_empty_ones_say_nothing() {
        let read = JobsQuery::read("state=failed&path=%2Fa+b&upstream=&limit=7&order=oldest").unwrap();
        assert_eq!(read.filter.state.as_deref(), Some("failed"));
        assert_eq!(read.filter.path.as_deref(), Some("/a b"));
        assert_eq!((read.filter.upstream, read.limit, read.order), (None, 7, JobOrder::OldestFirst));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, what) in [
            ("limit=1000000", "a page has 1 to 100 jobs"),
            ("limit=0", "a page has 1 to 100 jobs"),
            ("limit=-1", "a page has 1 to 100 jobs"),
            ("order=up", "newest or oldest"),
            ("sate=failed", "no parameter \"sate\""),
            ("path=%ff", "not UTF-8"),
            ("id=7", "is a UUID"),
            ("cursor=x", "cursor=\"x\" is not valid"),
        ] {
            let detail = JobsQuery::read(query).unwrap_err().detail().to_owned();
            assert!(detail.contains(what), "{query}: {detail}");
        }
    }

    proptest! {
        #[test]
        fn a_filter_is_read_as_it_was_written(path in ".{1,30}", error in ".{1,30}") {
            let filter = JobFilter { path: Some(path), error: Some(error), ..JobFilter::default() };
            let query = JobsQuery { filter: filter.clone(), ..JobsQuery::default() };
            prop_assert_eq!(JobsQuery::read(&query.write(None)).unwrap().filter, filter);
        }

        #[test]
        fn no_query_is_too_odd(query in "[ -~]{0,60}") {
            let _any_answer = JobsQuery::read(&query);
        }
    }
}
